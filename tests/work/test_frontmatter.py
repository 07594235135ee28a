"""The fields of a package's file: read, and changed without touching anything else."""

import random
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thence.errors import PlanningError
from thence.work.plan.frontmatter import FIELDS_BYTES_MAX, Fields, read, with_field

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


def refused(data, *asked):
    """Returns place and cause of the error that a file is refused with."""
    with pytest.raises(PlanningError) as caught:
        with_field(data, *asked, file="a.md") if asked else read(data, "a.md")
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
        "hours": 16,
        "weight": 1.5,
        "is_ready": "yes",
        "is_open": False,
        "since": "2025-11-20T10:00:00Z",
        "agent": None,
        "history": "lane: none of it\n  ---\n",
        "goal": "one line",
        "last": None,
    }
    assert fields.body.replace("\r\n", "\n") == "\n# WP01\n\nlane: done\n---\n"
    assert FILE.split(b"\n")[fields.line - 1 :][:2] == [b"", b"# WP01"]


def test_field_is_given_as_text():
    fields = read(FILE, "a.md")
    texts = [fields.text(key) for key in ("lane", "hours", "agent", "subtasks", "nothing")]
    assert texts == ["planned", "16", "", "", ""]


def test_file_without_fields_has_a_body_alone():
    assert read(b"\xef\xbb\xbf# a\r\n\xff", "a.md") == Fields({}, "# a\r\n\ufffd", 1)
    assert read(b"", "a.md") == Fields({}, "", 1)
    assert read(b"----\na: 1\n---\n", "a.md").values == {}
    assert read(b"---\n---", "a.md") == Fields({}, "", 2)
    assert read(b"---  \n# note\n\n---\t\nb", "a.md") == Fields({}, "b", 5)


@pytest.mark.parametrize(
    ("data", "place", "cause"),
    [
        (b"---\na: 1\n", "1:1", "the fields never end"),
        (b"---", "1:1", "the fields never end"),
        (b"---\na: b: c\n---\n", "2:5", "mapping values are not allowed here"),
        (b'---\r\na: 1\r\nbc: "x\r\n---\r\n', "4:1", "found unexpected end of stream"),
        (b"---\na: *x\n---\n", "2:4", "found undefined alias 'x'"),
        (b"---\na: 1\nb: \x01\n---\n", "3:4", "character 0x0001 has no place in YAML"),
        (b"---\na: 1\nb: caf\xe9\n---\n", "3:7", "this is no UTF-8"),
        (b"---\n- a\n---\n", "2:1", "these are no fields"),
        (b"---\n  text\n---\n", "2:3", "these are no fields"),
        (b"---\na: 1\nb: 1\na: 2\n---\n", "4:1", "a stands twice"),
        (b"---\na: &x [*x]\n---\n", "2:8", "it holds itself"),
        (b"---\na: " + b"[" * 600 + b"\n---\n", "2:54", "it is deeper than 50 levels"),
        (b"---\na: 1\n%YAML 1.3\n---\n", "3:1", "a directive has no place here"),
        (b'---\na: "\\U00110000"\n---\n', "2:1", "chr() arg not in range"),
        (b"---\na: 1\n...\nb\n---\n", "4:1", "but found another document"),
        (b"---\na: " + b"x" * FIELDS_BYTES_MAX + b"\n---\n", "1:1", "the fields have 65540 bytes"),
    ],
)
def test_fields_that_are_broken_are_refused_with_line_and_column(data, place, cause):
    for asked in ((), ("lane", "doing")):
        told = refused(data, *asked)
        assert told[0] == place
        assert told[1].startswith(cause)


def test_aliases_that_multiply_are_refused_with_the_line_where_they_go_too_far():
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    read(("---\n" + "\n".join(lines[:12]) + "\n---\n").encode(), "a.md")
    place, cause, *_ = refused(("---\n" + "\n".join(lines) + "\n---\n").encode())
    assert place == "16:18"
    assert cause.startswith("it stands for more than 100000 values")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("key", "value", "was", "now"),
    [
        ("lane", "doing", b"planned   #", b"doing   #"),
        ("lane", "for review: 1", b"planned   #", b'"for review: 1"   #'),
        ("work_package_id", "WP02", b'"WP01"', b'"WP02"'),
        ("title", "Ada's", b"'It''s: \"quoted\" #1'", b"'Ada''s'"),
        ("title", "a\nb\x7f", b"'It''s: \"quoted\" #1'", b'"a\\nb\\u007f"'),
        ("agent", "claude", b"agent:", b"agent: claude"),
        ("last", "x", b"~", b"x"),
        ("number", 28, b"028", b"28"),
        ("is_open", True, b"False", b"true"),
        ("is_ready", "no", b"yes", b'"no"'),
        ("since", "2026-11-20", b"2025-11-20T10:00:00Z", b'"2026-11-20"'),
    ],
)
def test_value_is_spliced_in_its_place(key, value, was, now, end):
    data = FILE.replace(b"\n", end)
    changed = with_field(data, key, value)
    assert changed == data.replace(was, now, 1)
    assert read(changed, "a.md").values == {**read(data, "a.md").values, key: value}
    assert with_field(changed, key, value) is changed


@pytest.mark.parametrize("key", ["history", "goal"])
def test_value_of_several_lines_is_replaced_whole(key):
    changed = with_field(FILE, key, "short")
    assert read(changed, "a.md").values == {**read(FILE, "a.md").values, key: "short"}
    assert changed.count(b"\n") < FILE.count(b"\n")
    assert f"\n{key}: short\n".encode() in changed


def test_absent_field_is_added_before_the_end():
    assert with_field(b"---\r\na: 1\r\n---\r\nb", "lane", "doing") == (
        b"---\r\na: 1\r\nlane: doing\r\n---\r\nb"
    )
    assert with_field(b"---\n  a: |\n    b\n\n  # c\n---", "n", 1) == (
        b"---\n  a: |\n    b\n\n  # c\n  n: 1\n---"
    )
    assert with_field(b"---\n---\n", "lane", "doing") == b"---\nlane: doing\n---\n"


def test_file_without_fields_gets_them_on_top():
    assert with_field(b"", "lane", "doing") == b"---\nlane: doing\n---\n"
    assert with_field(b"\xef\xbb\xbf# a\r\nb\n", "lane", "doing") == (
        b"\xef\xbb\xbf---\r\nlane: doing\r\n---\r\n# a\r\nb\n"
    )


@pytest.mark.parametrize(
    ("data", "place", "cause"),
    [
        (b"---\na: 1\nlane: [doing]\n---\n", "3:7", "lane holds more than one value"),
        (b"---\nlane:\n  a: 1\n---\n", "3:3", "lane holds more than one value"),
        (b"---\n{a: 1}\n---\n", "2:1", "the fields stand in braces"),
        (b"---\nlane: &x a\nb: *x\n---\n", "2:1", "lane can't be changed alone"),
        (b"---\na: &x b\nlane: *x\n---\n", "2:1", "lane can't be changed alone"),
        (b"---\na: &x\nlane: *x\n---\n", "2:1", "lane can't be changed alone"),
        (b"---\n? lane\n---\n", "2:1", "lane can't be changed alone"),
        (b"---\na: 1\n...\n---\n", "2:1", "lane can't be changed alone"),
    ],
)
def test_field_that_can_not_be_changed_alone_is_refused(data, place, cause):
    assert refused(data, "lane", "doing") == (place, cause)


def test_field_in_braces_is_spliced_too():
    assert with_field(b"---\n{a: 1, lane: 'x' }\n---\n", "lane", "y") == (
        b"---\n{a: 1, lane: 'y' }\n---\n"
    )


def test_yaml_is_imported_only_when_a_file_is_read():
    code = (
        "import sys, thence.work.plan.frontmatter; print([m for m in sys.modules if 'ruamel' in m])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


above = st.sampled_from(
    [
        'a: "x: y" # c\n',
        "b: 'it''s'\n",
        "# comment: é😀\n",
        "\n",
        "c: |\n  lane: no\n\n",
        "d: >\n  folded\n  text\n",
        "e:\n- lane: 1\n-   2\n",
        "f: {lane: x}\n",
        "g: plain\n  lane more\n",
        "h: 😀\u00a0é\n",
        "i:\n",
        "j: |+\n  kept\n\n",
    ]
)
lane = st.sampled_from(
    [
        "",
        "lane: planned\n",
        "lane:\n",
        "lane:   'planned'  # c\n",
        'lane:\n    # c\n    "planned"\n',
        "lane: |\n  planned\n\n",
        "lane: >-\n  planned\n# c\n",
        "lane: planned\n  and more\n",
        "lane: !!str planned\n",
        '"lane" : planned\n',
        "lane: &x planned\n",
        "lane: 2025-11-20\n",
        "lane: |2\n   planned\n",
    ]
)
values = (
    st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
    | st.sampled_from(["doing", "for_review", "null", "Yes", "~", "1", "- a", "a #b", "028", "1e3"])
    | st.integers(-(2**63), 2**64 - 1)
    | st.booleans()
)


@given(
    st.lists(above, max_size=4, unique=True),
    lane,
    st.lists(above, max_size=4, unique=True),
    values,
    st.booleans(),
)
@example([], "lane: |\n  planned\n\n", ["# comment: é😀\n"], "x", True)
def test_any_value_reads_back_and_all_other_bytes_stay(before, of_lane, after, value, is_crlf):
    after = [each for each in after if each.startswith(("#", "\n")) or each not in before]
    head, tail = "---\n" + "".join(before), "".join(after)
    data = f"{head}{of_lane}{tail}---\nlane: body\n"
    if is_crlf:
        head, tail, data = (each.replace("\n", "\r\n") for each in (head, tail, data))
    changed = with_field(data.encode(), "lane", value).decode()
    old, new = read(data.encode(), "a.md"), read(changed.encode(), "a.md")
    assert new.values == {**old.values, "lane": value}
    assert type(new.values["lane"]) is type(value)
    assert changed.startswith(head)
    end = (tail if of_lane else "") + ("---\r\nlane: body\r\n" if is_crlf else "---\nlane: body\n")
    assert changed.endswith(end)
    assert with_field(changed.encode(), "lane", value) == changed.encode()


def test_any_bytes_are_read_and_changed_or_refused():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pieces = (b"&x ", b"*x", b"!!int ", b"%YAML 1.3\n", b"? ", b": ", b"- ", b"|", b">+2\n")
    pieces += (
        b"{",
        b"]",
        b"'",
        b'"',
        b"\t",
        b"\r",
        b"\n",
        b"\\U00110000",
        b"<<: ",
        b"\x00",
        b"lane",
    )
    outcomes = set()
    for _ in range(400):
        data = bytearray(FILE)
        for _ in range(chance.randrange(1, 4)):
            start = chance.randrange(4, FILE.index(b"\n---\n", 4))
            data[start : start + chance.randrange(3)] = chance.choice(pieces)
        try:
            changed = with_field(bytes(data), "lane", "for review")
            assert read(changed, "a.md").text("lane") == "for review"
            outcomes.add("changed")
        except PlanningError:
            outcomes.add("refused")
    assert outcomes == {"changed", "refused"}
