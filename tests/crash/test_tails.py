import pytest
from bench.tails import Tails, files


@pytest.fixture
def log(tmp_path):
    """A file with one whole line, looked at before."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a":1}\n')
    return path


def after(log, *states):
    tails = Tails(log.parent)
    for data in states:
        log.write_bytes(data)
        tails.look()
    return tails


@pytest.mark.parametrize(
    ("states", "torn", "glued"),
    [
        ([b"a\n", b"a\nb\n"], 0, 0),
        ([b"a\nbc", b"a\nbcd\n"], 1, 1),
        ([b"a\nbc", b"a\nbc"], 1, 0),
        ([b"a\nbc", b"a\nbc\nd\n"], 1, 0),
        ([b"a\nbc", b"a\nd\n"], 1, 0),
        ([b'{"a', b'{"a":1}\n'], 1, 0),
        ([b'{"a":1}', b'{"a":1}{"a":2}\n'], 1, 1),
        ([b"a\nbc", b"a\nbcd", b"a\nbcde\n"], 2, 1),
        ([b"a\nbc", b"a\nbcd\ne", b"a\nbcd\nef\n"], 2, 2),
        ([b"", b""], 0, 0),
    ],
)
def test_half_lines_and_what_they_are_glued_to_are_counted(log, states, torn, glued):
    tails = after(log, *states)
    assert (tails.torn, tails.glued) == (torn, glued)


def test_half_line_of_a_file_that_was_renamed_is_the_same_one(log):
    tails = after(log, b"a\nbc")
    log.rename(log.with_name("older"))
    log.write_bytes(b"d\n")
    tails.look()
    assert (tails.torn, tails.glued) == (1, 0)
    assert dict(tails.lines()) == {b"d": True, b"": False, b"a": True, b"bc": False}


@pytest.mark.parametrize(
    ("states", "lines"),
    [
        ([b"a\nbc", b"a\nbcd\ne\n"], [(b"a", True), (b"bcd", False), (b"e", True)]),
        ([b'{"a":1}\n{"b', b'{"a":1}\n{"b":2}\n'], [(b'{"a":1}', True), (b'{"b":2}', True)]),
        ([b'{"a":1}\n[]\n{}{}\n'], [(b'{"a":1}', True), (b"[]", False), (b"{}{}", False)]),
    ],
)
def test_line_is_whole_unless_torn_or_glued_or_no_json_among_json(log, states, lines):
    assert list(after(log, *states).lines()) == [*lines, (b"", False)]


def test_hidden_files_hold_no_records(tmp_path):
    for name in ("b", "a", ".c", ".d/e", "f/g"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [str(path.relative_to(tmp_path)) for path in files(tmp_path)] == ["a", "b", "f/g"]
