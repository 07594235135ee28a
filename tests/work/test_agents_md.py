"""The section of AGENTS.md: put in once, renewed in its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.cli.commands.work.planning import BEGIN, END, with_section
from thence.errors import PlanningError

SECTION = with_section(None)


def test_file_that_is_not_there_is_the_section_alone():
    assert SECTION.startswith(BEGIN + b"\n## ")
    assert SECTION.endswith(b"\n" + END + b"\n")
    assert with_section(b"") == SECTION


def test_section_is_put_at_the_end_behind_an_empty_line():
    assert with_section(b"# Rules\n") == b"# Rules\n\n" + SECTION
    assert with_section(b"# Rules") == b"# Rules\n\n" + SECTION
    assert with_section(b"\xff\r\n") == b"\xff\r\n\r\n" + SECTION.replace(b"\n", b"\r\n")


def test_old_section_is_renewed_in_its_place():
    for end in (b"\n", b"\r\n"):
        old = end.join((b"# Rules", BEGIN, b"old words", END + b"  ", b"# More", b""))
        renewed = with_section(old)
        assert renewed.startswith(b"# Rules" + end + BEGIN + end + b"## How")
        assert renewed.endswith(end + END + b"  " + end + b"# More" + end)
        assert b"old words" not in renewed
        assert with_section(renewed) == renewed


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a\n" + BEGIN + b"\n", 2),
        (END + b"\nb\n", 1),
        (b"a\r\nb\r\n" + END + b"\r\n" + BEGIN, 4),
        (BEGIN + b"\n" + END + b"\n" + BEGIN + b"\n" + END, 1),
    ],
)
def test_markers_that_are_no_pair_are_refused_with_their_line(data, line):
    with pytest.raises(PlanningError) as caught:
        with_section(data, "docs/AGENTS.md")
    assert caught.value.place == f"docs/AGENTS.md:{line}"
    assert caught.value.hint


@given(st.lists(st.sampled_from([b"# a", b"\xff", b"", b"\r", b"b" * 9])).map(b"\n".join))
def test_section_comes_once_and_all_other_bytes_stay(data):
    once = with_section(data)
    assert once.startswith(data)
    assert once.count(BEGIN) == once.count(END) == 1
    assert with_section(once) == once
    assert with_section(once + b"more\n") == once + b"more\n"
