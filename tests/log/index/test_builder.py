"""An index that follows a log block by block says what one built at once says."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.events import drafted, line_of, stamped
from tests.log.index.logs import add, fits, index_of, new_index, rotate, told
from tests.tiers import examples

from thence.log.index.builder import RECENT_EVENTS

IDS = [f"{number:026}" for number in range(12)]
NODES = [digit * 12 for digit in "12a"]
ODD_TEXTS = ["", "x", "a\x00b", "\U0010ffff", "\ufeff", "Zoë"]

numbers = st.integers(1, 9) | st.sampled_from([2**53 - 2, 2**53 - 1, 2**63])
texts = st.sampled_from(ODD_TEXTS)


@st.composite
def own_lines(draw: st.DrawFn) -> bytes:
    members = {key: draw(texts) for key in ("stream", "subject", "actor") if draw(st.booleans())}
    item = drafted(
        draw(st.sampled_from(IDS)),
        draw(st.sampled_from(["a", "b.failed"])),
        members,
        draw(st.lists(st.sampled_from([*IDS, "elsewhere"]), max_size=3)),
    )
    return stamped(item, draw(numbers), draw(st.integers(1, 9)), draw(st.sampled_from(NODES)))


@st.composite
def foreign_lines(draw: st.DrawFn) -> bytes:
    event_id = draw(st.sampled_from([*IDS[:4], "other", "a\\u0000b", "\\ud83e\\udd80", ""]))
    when = draw(st.sampled_from(["", "2026-11-20T07:13:00Z", "2026-11-20T07:13:00.5+02:00", "x"]))
    turn = draw(st.sampled_from(["1", "-1", "99999999999999999999999", "1e400", '"x"', "null"]))
    node = draw(st.sampled_from(["", *NODES, "Zo\\u00eb", "a\\u0000b"]))
    clock = draw(st.sampled_from(["null", "0", "-1", "1", "4", "9", "2147483648", "2147483649"]))
    return (
        f'{{"event_id":"{event_id}","event_type":"a","timestamp":"{when}","turn_number":{turn},'
        f'"node_id":"{node}","lamport_clock":{clock},'
        f'"caused_by":["{draw(st.sampled_from(IDS))}"]}}\n'
    ).encode()


bad_lines = st.sampled_from(
    [b"\n", b"{}\n", b"noise\n", b"\0\0\0\n", b'{"event_id":1}\n', b"\xff\xfe\n", b"[1]\r\n"]
)
joined = st.tuples(own_lines(), own_lines()).map(lambda two: two[0][:-1] + two[1])
steps = st.lists(
    st.lists(own_lines() | foreign_lines() | bad_lines | joined, max_size=6)
    | st.sampled_from(["rotate", "half"]),
    max_size=8,
)


@given(steps, st.integers(0, 9))
@settings(deadline=None, max_examples=examples(60), suppress_health_check=list(HealthCheck))
def test_batches_of_any_lines_in_any_order_give_what_reading_the_log_gives(history, bits):
    with new_index(bits) as (folder, index):
        for number, step in enumerate(history):
            if step == "rotate":
                rotate(folder, number)
            elif step == "half":
                add(folder, [line_of(event_id=IDS[0])[:-9]])
            else:
                add(folder, step)
            fits(index, folder)
        followed = told(index)
        index.rebuild()
        assert told(index) == followed


def test_the_first_thousand_bad_lines_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with index_of(folder) as index:
        for size in (1, 700, 700):
            add(folder, [b"bad\n"] * size)
            index.refresh()
        counted = "SELECT (SELECT count(*) FROM damage), (SELECT sum(bad_lines) FROM segments)"
        assert index.answer(lambda db: db.execute(counted).fetchone()) == (1_000, 1_401)
        index.rebuild()
        assert index.answer(lambda db: db.execute(counted).fetchone()) == (1_000, 1_401)


def test_causes_are_found_however_long_before_they_were_read(tmp_path: Path) -> None:
    events = 3 * RECENT_EVENTS
    distances = (1, RECENT_EVENTS - 1, 3 * RECENT_EVENTS // 2, 5 * RECENT_EVENTS // 2)
    ids = [f"{number:026}" for number in range(events)]
    named = [[ids[at - back] for back in distances if back <= at] for at in range(events)]
    add(
        tmp_path,
        (
            stamped(drafted(event_id, "noted", {}, causes), at, at)
            for at, (event_id, causes) in enumerate(zip(ids, named, strict=True), 1)
        ),
    )
    with index_of(tmp_path) as index:
        index.refresh()
        links = index.answer(lambda db: db.execute("SELECT child, parent FROM causes").fetchall())
        waiting = index.answer(lambda db: db.execute("SELECT count(*) FROM waiting").fetchone())
    expected = {(at, at - back) for at in range(events + 1) for back in distances if at > back}
    assert set(links) == expected
    assert len(links) == len(expected)
    assert waiting == (0,)
