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


WORKER = """
import multiprocessing, sys
from thence.sim import EventWriter, create_action_event

def emit(writer):
    for number in range(500):
        assert writer.emit(create_action_event("run", number, "ada", "move"))

def work(folder):
    kept.append(EventWriter(folder, "run"))
    emit(kept[0])

kept = []
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    if sys.argv[3] == "inherited":
        kept.append(EventWriter(sys.argv[1], "run"))
        child = context.Process(target=lambda: emit(kept[0]))
    else:
        child = context.Process(target=work, args=(sys.argv[1],))
    child.start()
    child.join()
    assert child.exitcode == 0
"""


@pytest.mark.promise("W6")
@pytest.mark.parametrize(
    ("method", "writer"),
    [("fork", "its own"), ("fork", "inherited"), ("spawn", "its own"), ("forkserver", "its own")],
)
def test_the_writer_drains_at_the_end_of_a_multiprocessing_child(
    tmp_path: Path, method: str, writer: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(WORKER)
    folder = tmp_path / "run"
    ended = subprocess.run(
        [sys.executable, program, folder, method, writer],
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    with thence.open(folder, create=False) as log:
        assert [event.turn_number for event in log.read()] == list(range(500))


POOL = """
import multiprocessing, sys
import thence

kept = []

def work(number):
    if not kept:
        kept.append(thence.open(sys.argv[1]))
    for each in range(50):
        kept[0].emit("t", {"n": number * 50 + each})

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    ENDING
"""
POOL_ENDINGS = {
    "closed and joined": """with multiprocessing.Pool(2) as pool:
        pool.map(work, range(10))
        pool.close()
        pool.join()""",
    "an executor": """from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(work, range(10)))""",
}


@pytest.mark.promise("W6")
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("ending", POOL_ENDINGS)
def test_workers_of_a_pool_that_end_normally_drain(
    tmp_path: Path, ending: str, method: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(POOL.replace("ENDING", POOL_ENDINGS[ending]))
    log = tmp_path / "log"
    argv = [sys.executable, program, log, method]
    subprocess.run(argv, capture_output=True, timeout=60, check=True)
    with thence.open(log, create=False) as opened:
        written = [e.payload["n"] for e in opened.read() if e.event_type == "t"]
        assert sorted(written) == list(range(500))
        assert not any(e.event_type == "log.gap" for e in opened.read())
