"""The Activity Log of a package's file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.work.plan.spec_kitty import entries_of, written_time

LOG = """---
lane: doing
---
# WP01
- 2025-01-01T00:00:00Z – nobody – above the log

## Activity Log ##

Entries, newest last; this is prose:
```
- 2025-01-01T00:00:00Z – agent – lane=doing – an example
```
- 2025-11-20T10:00:00Z – system – lane=planned – Prompt created.
- 2025-11-20T11:00:00.5+01:00 — `ada` — shell_pid=4711 — lane=doing — Begun - at last – soon
* 2025-11-20 10:30 - bob -- done by hand
- 2025-11-20T10:31:00Z – bob – lane=for_review –
- 2025-11-20T10:31:00Z – bob – shell_pid= – lane=done
- just a remark
- 2025-13-20T10:00:00Z – bob – no such month
  - 2025-11-20T10:32:00Z – bob

### Older
- 2025-11-20T10:33:00Z – x=1 – agent=eve – z
## Notes
- 2025-01-01T00:00:00Z – nobody – below the log
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_read_whichever_dashes_and_fields_stand_there(end):
    entries, unread = entries_of(LOG.replace("\n", end).encode(), 4)
    assert [entry[:5] for entry in entries] == [
        (13, "2025-11-20T10:00:00.000000Z", "system", "planned", "Prompt created."),
        (14, "2025-11-20T10:00:00.500000Z", "ada", "doing", "Begun - at last – soon"),
        (15, "2025-11-20T10:30:00.000000Z", "bob", "", "done by hand"),
        (16, "2025-11-20T10:31:00.000000Z", "bob", "for_review", ""),
        (17, "2025-11-20T10:31:00.000000Z", "bob", "done", ""),
        (20, "2025-11-20T10:32:00.000000Z", "bob", "", ""),
        (23, "2025-11-20T10:33:00.000000Z", "eve", "", "z"),
    ]
    assert unread == (18, 19)
    assert [entry.digest for entry in entries] == [
        entry.digest for entry in entries_of(LOG.encode(), 4)[0]
    ]


def test_file_without_a_log_has_no_entries():
    assert entries_of(b"") == ((), ())
    assert entries_of(b"# a\n- 2025-11-20T10:00:00Z - ada - b\n") == ((), ())


def test_equal_lines_are_told_apart_wherever_they_stand():
    line = b"- 2025-11-20T10:00:00Z - ada - b\n"
    twice, _ = entries_of(b"## Activity Log\n" + line + b"\n" + line)
    first, second = (entry.digest for entry in twice)
    assert second == f"{first}.2"
    (moved,), _ = entries_of(b"prose\n\n# Activity Log\n\n" + line)
    assert moved.digest == first


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-11-20", "2025-11-20T00:00:00.000000Z"),
        ("1970-01-01T00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("1969-12-31T23:59:59Z", ""),
        ("9999-12-31T23:59:59-23:00", ""),
        ("0001-01-01", ""),
        ("now", ""),
        ("", ""),
    ],
)
def test_time_is_given_in_the_form_of_an_event(text, time):
    assert written_time(text) == time


@given(st.text("-–= \t\nlanedoig0123456789:TZ*#`", max_size=80))
def test_any_text_is_read(text):
    data = b"# Activity Log\n- 2025-11-20T10:00:00Z - a\n- 2025-11-20T10:00:00Z - " + text.encode()
    entries, unread = entries_of(data)
    count = data.count(b"\n") + 1
    assert all(1 <= line <= count for line in (*unread, *(entry.line for entry in entries)))
