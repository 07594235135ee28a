"""Two threads that decode a class for the first time at once."""

import subprocess
import sys

import pytest

# the class inside takes its time while msgspec looks at it
PROGRAM = """
import sys, threading, msgspec
from thence.core.ready import ready

looked_at, goes_on = threading.Event(), threading.Event()

def slow():
    looked_at.set()
    goes_on.wait(1)
    return int

class Inside(msgspec.Struct):
    x: "slow()" = 0

class Outside(msgspec.Struct):
    a: int = 0
    inside: Inside | None = None
    c: int = 0

way = ready if sys.argv[1] == "ready" else lambda kind: kind
first = threading.Thread(target=lambda: msgspec.json.decode(b"{}", type=way(Outside)))
first.start()
looked_at.wait(60)
print(msgspec.json.decode(b'{"c": 1}', type=way(Outside)).c)
goes_on.set()
first.join()
"""


@pytest.mark.parametrize(("way", "ended"), [("ready", (0, "1\n")), ("as it is", (-11, ""))])
def test_the_second_waits_for_the_first_where_msgspec_ends_the_process(way, ended):
    words = [sys.executable, "-c", PROGRAM, way]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == ended
