"""What editors, tools and people do to a log's files: told exactly, never made worse by us.

Whatever happens, events that are still there are served, appends work or are refused with a
reason, and bytes that were there before an append are there after it, or in quarantine.
"""

import os
import signal
import subprocess

import pytest
from tests.events import line_of
from tests.log.damaged import COUNT, append_after, codes, current, lines_in, made, numbers, rewrite
from tests.log.processes import ran, started

import thence
from thence.core.vocabulary import PLAIN
from thence.log.check.verify import verify
from thence.log.files.disk import OS_DISK

MARK = b"\xef\xbb\xbf"


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "log")


# editors


@pytest.mark.parametrize(
    ("edit", "told", "kept"),
    [
        (lambda data: data + b"\n", [], COUNT),
        (lambda data: data + b"\n\n\r\n", ["bad_line"], COUNT),
        (lambda data: data[:-1], ["torn"], COUNT - 1),
        (lambda data: data.replace(b"\n", b"\r\n"), ["stray_bytes"], COUNT),
        (lambda data: data[:-1].replace(b"\n", b"\r\n"), ["stray_bytes", "torn"], COUNT - 1),
        (lambda data: MARK + data, ["stray_bytes"], COUNT),
        (
            lambda data: MARK + data.replace(b"\n", b"\r\n"),
            ["stray_bytes", "stray_bytes"],
            COUNT,
        ),
        (lambda data: data.replace(b"\n", b"", 1), ["stray_bytes"], COUNT),
        (lambda data: data.replace(b"\n", b""), ["torn"], 0),
        (lambda data: data.replace(b"\n", b"\n\n"), [], COUNT),
        (lambda data: data.replace(b"\n", b" \n"), ["stray_bytes"] * COUNT, COUNT),
    ],
    ids=[
        "newline added", "newlines added", "newline dropped", "crlf", "crlf, newline dropped",
        "mark", "mark and crlf", "two lines joined", "all joined", "blank lines", "blanks",
    ],
)  # fmt: skip
def test_what_an_editor_does_is_told_and_the_log_goes_on(folder, edit, told, kept):
    lines = lines_in(folder)
    rewrite(folder, edit(b"".join(lines)))
    assert codes(folder) == told
    assert numbers(folder) == list(range(kept))
    append_after(folder)
    assert numbers(folder) == list(range(COUNT))


def test_newlines_lost_at_the_end_of_a_converted_file_lose_no_event(folder):
    lines = lines_in(folder)
    rewrite(folder, b"".join(lines)[:-1] + b"\r")
    append_after(folder)
    assert numbers(folder) == list(range(COUNT))


def test_sed_in_place_while_a_writer_is_open(folder):
    with thence.open(folder) as log:
        log.append("before", {"n": COUNT})
        subprocess.run(["sed", "-i", "3s/noted/nited/", current(folder)], check=True)
        after = log.append("after", {"n": COUNT + 1})
        assert [f.code for f in log.verify().findings] == ["bad_line", "events_lost"]
        assert [e.payload["n"] for e in log.read()] == [0, 1, 3, 4, 5, 6, 7]
        assert after.seq == COUNT + 2


def test_lines_put_in_another_order_are_all_there_and_told(folder):
    lines = lines_in(folder)
    rewrite(folder, lines[0], lines[2], lines[1], *lines[3:])
    assert codes(folder) == ["inconsistent"]
    append_after(folder)
    assert sorted(numbers(folder)) == list(range(COUNT))


def test_lines_that_stand_twice_are_served_once_and_no_damage(folder):
    lines = lines_in(folder)
    rewrite(folder, *lines, lines[1], lines[1])
    assert codes(folder) == []
    append_after(folder)
    assert numbers(folder) == list(range(COUNT))


def test_line_that_was_removed_is_lost_with_its_number(folder):
    lines = lines_in(folder)
    rewrite(folder, *lines[:2], *lines[3:])
    (finding,) = verify(OS_DISK, folder, PLAIN).findings
    assert (finding.code, finding.seq, finding.count) == ("events_lost", 3, 1)
    append_after(folder)
    assert codes(folder) == ["events_lost"]


def test_changed_and_signed_line_of_a_known_id_is_told(folder):
    lines = lines_in(folder)
    forged = line_of({"n": 9}, event_id=lines[0][13:39].decode(), seq=1)
    rewrite(folder, *lines, forged)
    assert "inconsistent" in codes(folder)
    append_after(folder)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_line_of_another_tool_is_served_and_spoils_no_append(folder, end):
    with thence.open(folder) as log:
        log.append("before")
        with current(folder).open("ab") as file:
            file.write(b'{"event_id":"theirs","event_type":"note","payload":{"n":99}}' + end)
        log.append("after")
    assert codes(folder) == []
    assert numbers(folder) == [*range(COUNT), 99]
    assert verify(OS_DISK, folder, PLAIN).unverified == 1


@pytest.mark.parametrize("bad", [b"\0" * 4096, b"\xff\xfe\x80", b"half a line", b"{}\n", b"\n\0\n"])
def test_bytes_that_another_program_appends_spoil_no_append(folder, bad):
    with thence.open(folder) as log:
        log.append("before")
        with current(folder).open("ab") as file:
            file.write(bad)
        before = current(folder).read_bytes()
        appended = log.append("after")
        assert appended.line in [event.line for event in log.read()]
        after = current(folder).read_bytes()
    aside = b"".join(path.read_bytes() for path in folder.glob(".thence/quarantine/*"))
    whole = before[: before.rfind(b"\n") + 1]
    assert after.startswith(whole)
    assert before[len(whole) :] in aside
    append_after(folder)


# truncation


@pytest.mark.parametrize("cut", [0, 0.5, 0.99])
@pytest.mark.parametrize("is_open", [True, False])
def test_file_cut_short_goes_on_with_larger_numbers_while_a_writer_knows_them(folder, cut, is_open):
    with thence.open(folder) as log:
        last = log.append("before")
        data = current(folder).read_bytes()
        size = int(len(data) * cut)
        if not is_open:
            log.close()
        os.truncate(current(folder), size)
        whole = data[:size].count(b"\n")
        with log if is_open else thence.open(folder) as writer:
            appended = writer.append("after")
            events = list(writer.read())
    assert [event.line for event in events][:whole] == data.splitlines()[:whole]
    assert events[-1] == appended
    if is_open:
        assert appended.seq > last.seq
        assert "events_lost" in codes(folder)


# size


READ_IT = """
import resource, sys
import thence
log = thence.open(sys.argv[1])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = log.verify()
count = sum(1 for _ in log.read())
if sys.argv[2] == "append":
    log.append("after")
    count = sum(1 for _ in log.read())
log.close()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
print(count, [f.code for f in found.findings], grown // 1024)
"""


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_hundred_megabytes_without_a_newline_need_little_memory(folder, end):
    with current(folder).open("ab") as file:
        for _ in range(100):
            file.write(b"x" * 1024 * 1024)
        file.write(end)
    done = ran(READ_IT, folder, "append")
    count, rest = done.stdout.split(" ", 1)
    told, grown_mb = rest.rsplit(" ", 1)
    assert told == ("['bad_line']" if end else "['torn']")
    assert int(count) == COUNT + (1 if end else 2)
    assert int(grown_mb) < 30
    if not end:
        (aside,) = folder.glob(".thence/quarantine/*")
        assert aside.stat().st_size == 100 * 1024 * 1024
        aside.unlink()


# a writer that is stopped while others change the file


def test_writer_stopped_over_a_change_of_the_file_goes_on_right(folder):
    code = """
import sys, thence
with thence.open(sys.argv[1]) as log:
    for line in sys.stdin:
        print(log.append("theirs").seq, flush=True)
"""
    writer = started(code, folder)
    assert writer.stdin is not None
    assert writer.stdout is not None
    print("go", file=writer.stdin, flush=True)
    assert int(writer.stdout.readline()) == COUNT + 1
    writer.send_signal(signal.SIGSTOP)
    data = current(folder).read_bytes()
    current(folder).unlink()
    current(folder).write_bytes(data.replace(b"\n", b"\r\n") + b"half")
    writer.send_signal(signal.SIGCONT)
    print("go", file=writer.stdin, flush=True)
    assert int(writer.stdout.readline()) > COUNT + 1
    writer.communicate()
    assert writer.returncode == 0
    assert codes(folder) == ["stray_bytes"]
    assert numbers(folder) == list(range(COUNT))
