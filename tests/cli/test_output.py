"""How a command speaks, in what its streams do not show."""

import subprocess
import sys

import click
import pytest
from tests.cli.installed import environment

from thence.cli.output import Painted, drawn

KEEPING = """
import sys
from thence.cli.output import Output
from thence.settings import Settings

class Told:
    def __del__(self):
        print("freed", flush=True)

def command():
    told = Told()
    if "kept" in sys.argv:
        Output(Settings()).keep({"deep": [told]})

command()
print("ended", flush=True)
"""


@pytest.mark.parametrize(("how", "said"), [("kept", "ended"), ("let go", "freed\nended")])
def test_value_that_is_kept_is_never_freed(how, said):
    argv = [sys.executable, "-c", KEEPING, how]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


@pytest.mark.promise("A1a")
def test_no_part_of_a_line_is_obeyed_whether_it_is_painted_or_not():
    line = ("a\x1b[2J", Painted("b\nFORGED\x9b", fg="red"))
    assert drawn(line) == "a\\x1b[2J" + click.style("b\\nFORGED\\x9b", fg="red")
