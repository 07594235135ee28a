"""What a failure is, by one rule, on every surface that asks for failures."""

import json
from pathlib import Path

import pytest
from tests.events import NODE, drafted, new_id, stamped

import thence
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.failures import is_failure, is_rejection
from thence.core.query.filter import Filter
from thence.core.vocabulary import PLAIN, SIM, WORK, Vocabulary
from thence.sim import EventFilter, EventWriter, create_system_event

LOST = ("events_dropped", "write_failed")
FAILURES = (
    (PLAIN, "refund.failed", {}),
    (PLAIN, "disk.error", {"status": "success"}),
    (PLAIN, "x", {"status": "failure"}),
    (PLAIN, "record.error", {"message": "no"}),
    *((PLAIN, f"log.{kind}", {"count": 1}) for kind in LOST),
    *((WORK, f"log.{kind}", {"count": 1}) for kind in LOST),
    *((SIM, "SYSTEM", {"error_type": kind, "status": "warning"}) for kind in LOST),
    (SIM, "SYSTEM", {"error_type": "run_failed", "status": "failure"}),
    (SIM, "SYSTEM", {"error_type": "agent_failed", "status": "failure"}),
)
OTHERS = (
    (PLAIN, "refund.ended", {"status": "success"}),
    (PLAIN, "refund.cancelled", {"error_type": "CancelledError", "status": "failure"}),
    (PLAIN, "record.warning", {"error_type": "ValueError"}),
    (PLAIN, "failed", {"error_type": "e"}),
    (PLAIN, "x.failed.again", {"note": "failure"}),
    (WORK, "ErrorLogged", {"error_type": "validation", "reason": "not in doing"}),
    (WORK, "ErrorLogged", {"error_type": "runtime", "reason": "no space"}),
    (SIM, "SYSTEM", {"error_type": "causes_joined", "status": "warning"}),
    (SIM, "SYSTEM", {"error_type": "llm_call", "status": "retry"}),
    (SIM, "SYSTEM", {"error_type": "action_rejected", "status": "failure"}),
    (SIM, "SYSTEM", {"error_type": "action_retried", "status": "retry"}),
)


def event(vocabulary: Vocabulary, kind: str, payload: dict[str, object]) -> Event:
    item = drafted(new_id(), kind, {vocabulary.payload_key: payload})
    read = parse(stamped(item, 1, 1, NODE)[:-1], vocabulary)
    assert isinstance(read, Event)
    return read


@pytest.mark.parametrize(("vocabulary", "kind", "payload"), [*FAILURES, *OTHERS])
def test_failure_is_told_by_its_type_its_status_or_what_was_lost(vocabulary, kind, payload):
    told, has_failed = event(vocabulary, kind, payload), (vocabulary, kind, payload) in FAILURES
    assert is_failure(told) is has_failed
    assert Filter.of(failed=has_failed).matches(told)
    is_refused = payload.get("error_type") in ("action_rejected", "validation")
    assert is_rejection(told) is is_refused


def test_rejections_of_a_log_are_counted_beside_its_failures(tmp_path: Path) -> None:
    with EventWriter(tmp_path, "run", mode="sync", verbosity="DETAIL") as writer:
        for turn, kind in enumerate(("action_rejected", "llm_call", "action_rejected", "slow")):
            status = "warning" if kind == "slow" else "failure"
            writer.emit(create_system_event("run", turn, kind, status))
    with thence.open(tmp_path) as log:
        assert log.failures() == (1, 2)
        assert log.failures(turn="1..2") == (1, 1)
        assert log.failures(type="no.*") == log.failures(actor="ada") == (0, 0)


@pytest.mark.parametrize("vocabulary", [PLAIN, SIM, WORK], ids=lambda one: one.name)
def test_index_filter_and_last_error_agree_on_each(tmp_path: Path, vocabulary: Vocabulary) -> None:
    all_of = [(*one, True) for one in FAILURES] + [(*one, False) for one in OTHERS]
    lines, failed = [], []
    for host, kind, payload, is_failed in all_of:
        if host is not vocabulary:
            continue
        clock = len(lines) + 1
        item = drafted(new_id(), kind, {vocabulary.payload_key: payload})
        lines.append(stamped(item, clock, clock, NODE))
        failed += [clock] * is_failed
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    with thence.open(tmp_path, vocabulary) as log:
        log.rebuild()
        assert [one.lamport_clock for one in log.query(failed=True)] == failed
        assert log.query(failed=True).total == len(failed)
        assert log.query(failed=False).total == len(lines) - len(failed)
        assert len(log.query(failed=False)) == len(lines) - len(failed)
        assert log.query(failed=True, type="no").total == 0
        assert log.resolve("@last-error").lamport_clock == failed[-1]


def test_step_and_span_that_failed_are_found_and_one_that_was_retried_too(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        for is_ok in (False, True):
            try:
                with thence.step("pay", log=log):
                    if not is_ok:
                        raise ValueError("no card")
            except ValueError:
                pass
        assert [one.event_type for one in log.query(failed=True)] == ["pay.failed"]
        with pytest.raises(thence.InvalidFilter, match="failed"):
            log.query(failed="yes")


def test_filter_of_a_simulation_asks_for_failures_of_events_of_every_shape(tmp_path: Path) -> None:
    built = [
        create_system_event("run", 1, "model_failed", "failure"),
        create_system_event("run", 1, "slow", "warning"),
    ]
    failed, others = EventFilter(failed=True), EventFilter(failed=False)
    for one, is_failed in zip(built, (True, False), strict=True):
        for shape in (one, one.to_dict(), json.loads(one.to_json())):
            assert failed.matches(shape) is is_failed
            assert others.matches(shape) is not is_failed
    with EventWriter(tmp_path, "run", mode="sync", verbosity="DETAIL") as writer:
        for one in built:
            writer.emit(one)
    with thence.open(tmp_path) as log:
        assert [one.payload["error_type"] for one in log.query(failed=True)] == ["model_failed"]
        assert failed.filter == Filter.of(failed=True)
