"""How a command speaks, in what its streams do not show."""

import click
import pytest

from thence.cli.output import Painted, drawn


@pytest.mark.promise("A1a")
def test_no_part_of_a_line_is_obeyed_whether_it_is_painted_or_not():
    line = ("a\x1b[2J", Painted("b\nFORGED\x9b", fg="red"))
    assert drawn(line) == "a\\x1b[2J" + click.style("b\\nFORGED\\x9b", fg="red")
