"""However a program ends short of a kill, its event writer drains."""

import subprocess
import sys
from pathlib import Path

import pytest

import thence

PROGRAM = """
import gc, os, sys, threading
from thence.sim import EventWriter, create_action_event

def emit(writer):
    for number in range(500):
        assert writer.emit(create_action_event("run", number, "ada", "move"))

def used_and_forgotten():
    emit(EventWriter(sys.argv[1], "run"))

writer = EventWriter(sys.argv[1], "run")
"""

ENDINGS = {
    "the end of the program": "emit(writer)",
    "an unhandled exception": "emit(writer)\nraise KeyError('gone')",
    "sys.exit": "emit(writer)\nsys.exit(3)",
    "Ctrl-C": "emit(writer)\nimport signal\nsignal.raise_signal(signal.SIGINT)",
    "the end of a thread": "threading.Thread(target=emit, args=(writer,)).start()",
    "garbage collection": "used_and_forgotten()\ngc.collect()\nos._exit(0)",
    "an atexit callback": "import atexit\natexit.register(emit, writer)",
}


@pytest.mark.promise("W6")
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_writer_drains_at(tmp_path: Path, ending: str) -> None:
    program = PROGRAM + ENDINGS[ending]
    subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, timeout=60)
    with thence.open(tmp_path, create=False) as log:
        written = [event.turn_number for event in log.read()]
        assert written == list(range(500))
        assert log.verify().ok
