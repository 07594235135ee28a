"""The service of lines, with a store."""

import random
import re
from collections.abc import Sequence

import pytest
from tests.codes import raises_code
from tests.server.team.engines import new_database
from tests.server.team.lines import foreign, line, lines, sealed

from thence.core.redaction import digests
from thence.errors import NotALog
from thence.server.team import accounts, redactions, store
from thence.server.team.accounts import Accounts
from thence.server.team.backups import back_up
from thence.server.team.database import Database
from thence.server.team.sqlite import SqliteDatabase, make_database
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService
from thence.sync.wire.messages import PAGE_BYTES_MAX, BatchRefused, Cursors, Missing

pytestmark = pytest.mark.usefixtures("engine")


def service(epoch: str = "e1") -> SyncService:
    return SyncService(Store(with_teams(epoch)))


def with_teams(epoch: str = "e1") -> Database:
    database = new_database(epoch)
    add_teams(database)
    return database


def add_teams(database: Database) -> None:
    """Adds two teams, and ann and eve, who write in red."""
    accounts = Accounts(database, str)
    for team in ("red", "blue"):
        accounts.add_team(team)
    for name in ("ann", "eve"):
        accounts.add_user(name, "red", "writer", lambda: "correct horse")


def statuses(
    found: SyncService,
    given: list[bytes],
    team: str = "red",
    log: str = "log",
    nodes: Sequence[str] = (),
) -> list[str]:
    """Brings lines by ada's login, which names some nodes; returns their statuses."""
    results = found.batch(team, log, "plain", given, login="ada", nodes=nodes).results
    return [verdict.status for verdict in results]


def digests_of(given: list[bytes]) -> list[bytes]:
    return [digests(each).line for each in given]


def named(given: list[bytes]) -> tuple[str, ...]:
    return tuple(digest.hex() for digest in digests_of(given))


def walked(found: SyncService, limit: int, team: str = "red", log: str = "log") -> list[bytes]:
    """Returns all lines of a log by its pages."""
    taken: list[bytes] = []
    cursor = ""
    while True:
        page = found.page(team, log, cursor, limit)
        taken += page.lines
        cursor = page.next
        if not page.more:
            return taken


@pytest.mark.promise("S12")
@pytest.mark.both_engines
def test_server_restored_from_a_backup_gets_back_what_it_lacks_and_no_cursor_skips_any(tmp_path):
    make_database(tmp_path / "server.db", "e1")
    database = SqliteDatabase(tmp_path / "server.db")
    add_teams(database)
    found = SyncService(Store(database))
    statuses(found, lines(3))
    back_up(tmp_path / "server.db", tmp_path / "copy.db")
    backup = SqliteDatabase(tmp_path / "copy.db")
    statuses(found, lines(5))
    cursor = found.page("red", "log").next
    restored = SyncService(Store(backup))
    assert walked(restored, 9) == lines(3)
    # a longer history than before, whose last line is the one that the cursor is behind
    assert statuses(restored, [line(4, node="ffffffffffff"), line(5)]) == ["success"] * 2
    for cursors in (Cursors(cursor), Cursors(seen=cursor)):
        with raises_code("cursor_unknown"):
            restored.page("red", "log", cursors.after, seen=cursors.seen)
        with raises_code("cursor_unknown"):
            restored.batch("red", "log", "plain", lines(9), cursors=cursors)
    assert restored.missing("red", "log", digests_of(lines(5))) == Missing(named([line(4)]), 5)
    assert statuses(restored, lines(5)) == [*["duplicate"] * 3, "success", "duplicate"]
    rest = restored.page("red", "log", found.page("red", "log", "", 3).next, 9).lines
    assert rest == [line(4, node="ffffffffffff"), line(5), line(4)]


@pytest.mark.promise("S12")
@pytest.mark.both_engines
def test_cursor_passes_what_its_holder_brought_and_nothing_that_others_did() -> None:
    found = service()
    first = found.batch("red", "log", "plain", lines(3))
    assert first.after == first.seen == found.mark("red", "log")
    second = found.batch("red", "log", "plain", lines(5), cursors=Cursors(first.after, first.seen))
    assert second.after == second.seen == found.mark("red", "log")
    theirs = lines(2, node="ffffffffffff")
    other = found.batch("red", "log", "plain", theirs)
    assert (other.after, other.seen) == ("", found.mark("red", "log"))
    cursors = Cursors(second.after, second.seen)
    for given in (lines(7), lines(7)):
        third = found.batch("red", "log", "plain", given, cursors=cursors)
        assert (third.after, third.seen) == (second.after, found.mark("red", "log"))
    assert found.page("red", "log", third.after).lines == [*theirs, *lines(2, first=6)]
    empty = found.batch("red", "log", "plain", [], cursors=Cursors(third.seen, third.seen))
    assert empty.after == empty.seen == third.seen
    with raises_code("cursor_unknown"):
        found.batch("red", "new", "plain", lines(1), cursors=Cursors(seen=third.seen))
    assert found.mark("red", "new") == ""


@pytest.mark.both_engines
def test_pages_give_all_lines_once_in_the_order_of_commits() -> None:
    found = service()
    given = lines(25)
    random.Random(1).shuffle(given)
    for at in range(0, 25, 4):
        statuses(found, given[at : at + 4])
    for limit in (1, 4, 25, 1000):
        assert walked(found, limit) == given
    end = found.page("red", "log").next
    assert found.page("red", "log", end) == ([], end, False)
    statuses(found, [line(26)])
    assert found.page("red", "log", end).lines == [line(26)]


def test_page_ends_before_it_is_too_large() -> None:
    found = service()
    bulk = "x" * 400_000
    given = [foreign(number, payload=bulk) for number in range(6)]
    statuses(found, given)
    page = found.page("red", "log")
    assert len(page.lines) == 2
    assert sum(map(len, page.lines)) <= PAGE_BYTES_MAX
    assert walked(found, 1000) == given


@pytest.mark.promise("S12")
def test_cursor_of_another_history_is_refused() -> None:
    one, other = service("e1"), service("e2")
    for found in (one, other):
        statuses(found, lines(3))
    cursor = one.page("red", "log").next
    restored = service("e1")
    statuses(restored, lines(2))
    replaced = service("e1")
    statuses(replaced, lines(3, first=7))
    for found in (other, restored, replaced):
        with raises_code("cursor_unknown"):
            found.page("red", "log", cursor)
    for rubbish in ("0", "e1.0.00", f"e1.{10**30}.{'0' * 16}", "e1.3." + "\u0663" * 16, "x" * 9999):
        with raises_code("cursor_unknown"):
            one.page("red", "log", rubbish)


def test_other_tools_line_is_one_whatever_the_order_of_its_members() -> None:
    found = service()
    assert statuses(found, [b'{"event_id":"a","b":1, "c":2}']) == ["success"]
    assert statuses(found, [b'{"c":2,"event_id":"a","b":1}']) == ["duplicate"]
    assert statuses(found, [b'{"event_id":"a","b":2}']) == ["success"]


def test_batch_with_what_is_no_event_is_refused_whole() -> None:
    found = service()
    good = line(1)
    deep = b'{"event_id":"deep","x":' + b"[" * 300 + b"]" * 300 + b"}"
    bad = [
        good[:-3] + b'0"}' if good[-3:-2] != b"0" else good[:-3] + b'1"}',
        b'{"no":"event"}',
        b'{"event_id":"a",\n"b":1}',
        b'{"event_id":"\\ud800"}',
        b'{"event_id":"a\\u0000"}',
        sealed({"event_id": "a\0", "event_type": "t", "seq": 1, "lamport_clock": 1}),
        b'{"event_id":"a","b":"' + b"x" * 2**20 + b'"}',
        b"\xff\xfe",
        deep,
        sealed({"event_id": "a", "event_type": "t", "seq": 2**60, "lamport_clock": 1}),
        sealed({"event_id": "a", "event_type": "t", "seq": 1, "lamport_clock": 0}),
        good.replace(b'"payload"', b'"event_id":"b","payload"'),
    ]
    for each in bad:
        with pytest.raises(BatchRefused) as refused:
            found.batch("red", "log", "plain", [good, each])
        assert len(refused.value.bad) == 1
    with pytest.raises(NotALog):
        found.page("red", "log")


def test_clock_too_far_ahead_is_rejected_and_the_others_are_taken() -> None:
    found = service()
    given = [line(1), line(2, clock=2**40 + 1), line(3, clock=2**40)]
    verdicts = found.batch("red", "log", "plain", given).results
    assert [verdict.status for verdict in verdicts] == ["success", "rejected", "success"]
    assert "clock" in (verdicts[1].error_message or "")
    assert walked(found, 10) == [given[0], given[2]]


@pytest.mark.both_engines
def test_every_statement_about_logs_names_the_team() -> None:
    tables = "logs|events|announced|redactions|claims"
    for module, count in ((store, 11), (redactions, 8), (accounts, 2)):
        values = [value for name, value in vars(module).items() if name.isupper()]
        texts = [
            text for value in values for text in (value if isinstance(value, tuple) else [value])
        ]
        touching = [
            text
            for text in texts
            if isinstance(text, str) and re.search(rf"\b(FROM|INTO|UPDATE) ({tables})\b", text)
        ]
        assert len(touching) >= count, module
        for text in touching:
            is_count_of_all = text == "SELECT coalesce(sum(revision), 0) FROM logs"
            assert ":team" in text or "(team, log," in text or is_count_of_all, text
