"""Which lines of a Markdown file say something."""

import pytest

from thence.work.plan.prose import lines_of


def kept(text):
    """Returns the lines outside code and comments as (number, level, text)."""
    return [tuple(line) for line in lines_of(text.encode()).lines]


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("# a", 1, "a"),
        ("   ###### a # b ##  ", 6, "a # b"),
        ("##", 2, ""),
        ("## ##", 2, ""),
        ("#\ta#", 1, "a#"),
        ("####### a", 0, "####### a"),
        ("    # a", 0, "    # a"),
        ("#a", 0, "#a"),
        ("a # b", 0, "a # b"),
    ],
)
def test_heading_is_told_from_other_lines(line, level, text):
    assert kept(line) == [(1, level, text)]


def test_other_separators_end_no_line():
    assert kept("a\u2028b\x0bc\x85d") == [(1, 0, "a\u2028b\x0bc\x85d")]


def test_faults_are_told_once_with_the_line_where_they_begin():
    data = b"a\n\xff\n\xfe\n>>>>>>> a\n<<<<<<<\n```\nb"
    faults = lines_of(data).faults
    assert [(number, message) for number, message, _ in faults] == [
        (2, "this is not UTF-8"),
        (4, "this is a merge marker of git"),
        (6, "this code block never ends"),
    ]
    assert faults[2][2] == "end it with ```"
    assert lines_of("\ufffd".encode()).faults == ()
    assert lines_of(b"a <!-- b").faults == ((1, "this comment never ends", "end it with -->"),)
