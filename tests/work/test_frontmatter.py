"""The fields of a package's file: read as they were meant, or refused with the place."""

import random

import pytest

from thence.errors import PlanningError
from thence.work.plan.frontmatter import Fields, read

FILE = b"""---
work_package_id: "WP01"
title: 'It''s: "quoted" #1'   # for people
lane:   planned   # where it is

subtasks:
- T001
-   "T002"
dependencies: [WP02, {id: WP03}]
number: 028
hours: 0x10
weight: 1.50
is_ready: yes
is_open: False
since: 2025-11-20T10:00:00Z
agent:
history: |
  lane: none of it
    ---

goal: >-
  one
  line
"last": ~
---

# WP01

lane: done
---
"""


def refused(data):
    """Returns place and cause of the error that a file is refused with."""
    with pytest.raises(PlanningError) as caught:
        read(data, "a.md")
    assert caught.value.hint
    (problem,) = caught.value.problems
    assert caught.value.place.startswith(f"a.md:{problem['line']}:")
    return caught.value.place.removeprefix("a.md:"), caught.value.cause


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_fields_are_read_as_they_were_meant(start, end):
    fields = read(start + FILE.replace(b"\n", end), "a.md")
    assert fields.values == {
        "work_package_id": "WP01",
        "title": 'It\'s: "quoted" #1',
        "lane": "planned",
        "subtasks": ["T001", "T002"],
        "dependencies": ["WP02", {"id": "WP03"}],
        "number": "028",
        "hours": "0x10",
        "weight": "1.50",
        "is_ready": "yes",
        "is_open": "False",
        "since": "2025-11-20T10:00:00Z",
        "agent": None,
        "history": "lane: none of it\n  ---\n",
        "goal": "one line",
        "last": None,
    }
    assert fields.body.replace("\r\n", "\n") == "\n# WP01\n\nlane: done\n---\n"


def test_field_is_given_as_text():
    fields = read(FILE, "a.md")
    texts = [fields.text(key) for key in ("lane", "hours", "agent", "subtasks", "nothing")]
    assert texts == ["planned", "0x10", "", "", ""]


def test_file_without_fields_has_a_body_alone():
    assert read(b"\xef\xbb\xbf# a\r\n\xff", "a.md") == Fields({}, "# a\r\n\ufffd")
    assert read(b"", "a.md") == Fields({}, "")
    assert read(b"----\na: 1\n---\n", "a.md").values == {}
    assert read(b"---\n---", "a.md") == Fields({}, "")
    assert read(b"---  \n# note\n\n---\t\nb", "a.md") == Fields({}, "b")


@pytest.mark.parametrize(
    ("data", "place", "cause"),
    [
        (b"---\na: 1\n", "1:1", "the fields never end"),
        (b"---", "1:1", "the fields never end"),
        (b"---\na: b: c\n---\n", "2:5", "mapping values are not allowed here"),
        (b'---\r\na: 1\r\nbc: "x\r\n---\r\n', "4:1", "found unexpected end of stream"),
        (b"---\na: *x\n---\n", "2:4", "found undefined alias 'x'"),
        (b"---\na: 1\nb: \x01\n---\n", "3:4", "character 0x0001 has no place in YAML"),
        (b"---\na: 1\nb: caf\xe9\n---\n", "3:7", "this is not UTF-8"),
        (b"---\n- a\n---\n", "2:1", "these are not fields"),
        (b"---\n  text\n---\n", "2:3", "these are not fields"),
        (b"---\na: 1\nb: 1\na: 2\n---\n", "4:1", "a appears twice"),
        (b"---\na: &x [*x]\n---\n", "2:8", "it holds itself"),
        (b"---\na: " + b"[" * 600 + b"\n---\n", "2:54", "it is deeper than 50 levels"),
        (b'---\na: "\\U00110000"\n---\n', "1:1", "chr() arg not in range"),
        (b"---\na: 1\n...\nb\n---\n", "4:1", "but found another document"),
        (b"---\na: " + b"x" * 2**18 + b"\n---\n", "1:1", "it has 262152 bytes"),
    ],
)
def test_fields_that_are_broken_are_refused_with_line_and_column(data, place, cause):
    told = refused(data)
    assert told[0] == place
    assert told[1].startswith(cause)


def test_any_bytes_are_read_or_refused():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pieces = (b"&x ", b"*x", b"!!int ", b"%YAML 1.3\n", b"? ", b": ", b"- ", b"|", b">+2\n", b"{")
    pieces += (b"]", b"'", b'"', b"\t", b"\r", b"\n", b"\\U00110000", b"<<: ", b"\x00", b"lane")
    outcomes = set()
    for _ in range(400):
        data = bytearray(FILE)
        for _ in range(chance.randrange(1, 4)):
            start = chance.randrange(4, FILE.index(b"\n---\n", 4))
            data[start : start + chance.randrange(3)] = chance.choice(pieces)
        try:
            read(bytes(data), "a.md")
            outcomes.add("read")
        except PlanningError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
