"""What a log's own notices excuse: told regions and numbers, and by whom they may be told."""

import pytest
from tests.events import NODE, OTHER_NODE, drafted, event_of, stamped

from thence.core.values.vocabulary import PLAIN, SIM
from thence.log.crash.damage_record import DamageRecord
from thence.log.storage.segment import CURRENT

OLDER = "events_2026-01-01_00-00-00-000000.jsonl"
NEWER = "events_2026-01-02_00-00-00-000000.jsonl"


def notice(kind, facts, node_id=NODE):
    return event_of(stamped(drafted("01A", f"log.{kind}", {"payload": facts}), 5, 5, node_id))


def region(offset=100, size=20, file=CURRENT):
    return {"file": file, "offset": offset, "bytes": size}


def told_by(*events, own=(NODE,), file=CURRENT, offset=10_000, older=None):
    told = DamageRecord(PLAIN, own)
    for event in events:
        told.add(event, file, offset, older)
    return told


@pytest.mark.parametrize("kind", ["torn", "segment_suspect"])
def test_told_region_holds_what_lies_in_it_with_its_newline_or_without(kind):
    told = told_by(notice(kind, region()))
    assert told.holds(CURRENT, 100, 20)
    assert told.holds(CURRENT, 105, 3)
    assert told.holds(CURRENT, 99, 22)
    assert not told.holds(CURRENT, 98, 10)
    assert not told.holds(CURRENT, 100, 22)
    assert not told.holds(CURRENT, 110, 12)
    assert not told.holds(NEWER, 100, 20)


@pytest.mark.parametrize("kind", ["recovered", "gap", "node_changed", "joined", "write_failed"])
def test_other_notices_tell_no_region(kind):
    assert not told_by(notice(kind, region())).holds(CURRENT, 100, 20)


def test_what_is_no_notice_tells_nothing():
    facts = {**region(), "first_seq": 2, "last_seq": 3}
    spoken = event_of(stamped(drafted("01A", "torn", {"payload": facts}), 5, 5))
    told = told_by(spoken)
    assert not told.holds(CURRENT, 100, 20)
    assert told.numbers == {}


def test_several_regions_of_a_segment_are_told_side_by_side():
    told = told_by(notice("torn", region(100, 20)), notice("torn", region(300, 5)))
    assert told.holds(CURRENT, 300, 5)
    assert told.holds(CURRENT, 100, 20)
    assert not told.holds(CURRENT, 200, 1)
    assert not told.holds(CURRENT, 100, 205)


def test_only_what_this_log_wrote_itself_is_believed():
    facts = {**region(), "first_seq": 2, "last_seq": 3}
    strange = notice("torn", facts, OTHER_NODE)
    assert not told_by(strange).holds(CURRENT, 100, 20)
    assert told_by(strange).numbers == {}
    foreign = event_of(b'{"event_id":"x","event_type":"log.torn","payload":{"file":"events.jsonl",'
                       b'"offset":100,"bytes":20}}')  # fmt: skip
    assert foreign.is_foreign
    assert not told_by(foreign).holds(CURRENT, 100, 20)
    assert not told_by(foreign, own=()).holds(CURRENT, 100, 20)
    assert told_by(strange, own=(NODE, OTHER_NODE)).holds(CURRENT, 100, 20)
    # nobody knows who wrote here
    told = told_by(strange, own=())
    assert told.holds(CURRENT, 100, 20)
    assert told.numbers == {OTHER_NODE: [(2, 3)]}


@pytest.mark.parametrize(
    "facts",
    [
        {"file": CURRENT, "offset": 100},
        {"file": CURRENT, "bytes": 20},
        {"offset": 100, "bytes": 20},
        {"file": 7, "offset": 100, "bytes": 20},
        {"file": CURRENT, "offset": "100", "bytes": 20},
        {"file": CURRENT, "offset": 100, "bytes": True},
        {"file": CURRENT, "offset": -1, "bytes": 2_000},
        {"file": CURRENT, "offset": 100.0, "bytes": 20},
    ],
)
def test_region_without_a_place_is_none(facts):
    told = told_by(notice("torn", facts))
    assert not told.holds(CURRENT, 100, 1)


def test_region_at_the_beginning_of_a_file_counts():
    told = told_by(notice("torn", region(0, 0)))
    assert told.holds(CURRENT, 0, 0)
    assert told.holds(CURRENT, 0, 1)
    assert not told.holds(CURRENT, 0, 2)


def test_current_segment_of_a_notice_is_the_one_it_stands_in_or_the_one_before():
    within = told_by(notice("torn", region(100, 20)), file=NEWER, offset=120, older=OLDER)
    assert within.holds(NEWER, 100, 20)
    assert not within.holds(OLDER, 100, 20)
    before = told_by(notice("torn", region(100, 20)), file=NEWER, offset=119, older=OLDER)
    assert before.holds(OLDER, 100, 20)
    assert not before.holds(NEWER, 100, 20)
    nothing_before = told_by(notice("torn", region(100, 20)), file=NEWER, offset=0)
    assert nothing_before.holds(NEWER, 100, 20)


def test_region_of_a_named_segment_is_of_that_one():
    told = told_by(notice("torn", region(file=OLDER)), file=NEWER, older=CURRENT)
    assert told.holds(OLDER, 100, 20)
    assert not told.holds(NEWER, 100, 20)
    assert not told.holds(CURRENT, 100, 20)


def test_segment_written_anew_has_its_regions_no_more():
    first = notice("torn", region())
    anew = notice("recovered", {"file": CURRENT, "rewritten": True})
    assert not told_by(first, anew).holds(CURRENT, 100, 20)
    assert told_by(first, anew, first).holds(CURRENT, 100, 20)
    # under the name that it has by now
    told = DamageRecord(PLAIN, (NODE,))
    told.add(first, NEWER, 10_000, None)
    told.add(anew, NEWER, 10_000, None)
    assert not told.holds(NEWER, 100, 20)
    older = notice("torn", region(file=OLDER))
    assert not told_by(older, notice("recovered", {"file": OLDER, "rewritten": True})).holds(
        OLDER, 100, 20
    )


@pytest.mark.parametrize("word", [False, 1, None, "true"])
def test_segment_that_was_not_written_anew_keeps_its_regions(word):
    told = told_by(
        notice("torn", region()), notice("recovered", {"file": CURRENT, "rewritten": word})
    )
    assert told.holds(CURRENT, 100, 20)


def test_nothing_is_lost_when_an_unknown_segment_was_written_anew():
    anew = notice("recovered", {"file": OLDER, "rewritten": True})
    assert told_by(notice("torn", region()), anew).holds(CURRENT, 100, 20)


def test_numbers_are_told_by_node_in_the_order_heard():
    told = told_by(
        notice("torn", {"first_seq": 4, "last_seq": 6}),
        notice("recovered", {"first_seq": 1, "last_seq": 1}),
        notice("torn", {"first_seq": 9, "last_seq": 9}, OTHER_NODE),
        own=(NODE, OTHER_NODE),
    )
    assert told.numbers == {NODE: [(4, 6), (1, 1)], OTHER_NODE: [(9, 9)]}


@pytest.mark.parametrize(
    "facts",
    [
        {"first_seq": 4},
        {"last_seq": 4},
        {"first_seq": 0, "last_seq": 4},
        {"first_seq": "4", "last_seq": 6},
        {"first_seq": 4, "last_seq": -6},
        {"first_seq": True, "last_seq": True},
    ],
)
def test_numbers_without_an_end_are_none(facts):
    assert told_by(notice("torn", facts)).numbers == {}


@pytest.mark.parametrize("kind", ["segment_suspect", "gap", "node_changed"])
def test_numbers_of_other_notices_are_not_heard(kind):
    assert told_by(notice(kind, {"first_seq": 4, "last_seq": 6})).numbers == {}


def test_types_that_may_be_notices_are_known_by_the_vocabulary():
    plain, sim = DamageRecord(PLAIN, ()), DamageRecord(SIM, ())
    assert plain.may_be_notice(["noted", "log.gap"])
    assert not plain.may_be_notice(["noted", "catalog.gap", "SYSTEM"])
    assert not plain.may_be_notice([])
    assert sim.may_be_notice(["ACTION", "SYSTEM"])
    assert not sim.may_be_notice(["ACTION", "log.gap"])


def test_notice_of_a_simulation_is_heard_by_its_error_type():
    details = {"error_type": "log_torn", "status": "warning", "retry_count": 0, **region()}
    members = {"simulation_id": "s", "turn_number": 1, "details": details}
    event = event_of(stamped(drafted("01A", "SYSTEM", members), 5, 5))
    event.vocabulary = SIM
    told = DamageRecord(SIM, (NODE,))
    told.add(event, CURRENT, 10_000, None)
    assert told.holds(CURRENT, 100, 20)
