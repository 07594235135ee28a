"""What other programs append to a log's file: served or reported, and no append made worse by it.

Bytes that were there before an append are there after it, or in quarantine.
"""

import pytest
from tests.log.damaged import COUNT, append_after, codes, current, made, numbers
from tests.log.processes import ran

import thence
from thence.core.vocabulary import PLAIN
from thence.log.check.verify import verify
from thence.log.files.disk import OS_DISK


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "log")


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
