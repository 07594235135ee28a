"""The ways to append: one, many in one piece, from tasks, again after an unknown outcome."""

import asyncio
import signal
import threading

import pytest
from tests.disks import FULL, Scripted
from tests.log.faults import WAIT_S

import thence
from thence.core.new_event import HostEvent, Position
from thence.core.vocabulary import PLAIN
from thence.errors import (
    HeadsMoved,
    InvalidEvent,
    LogBusy,
    LogFull,
    OutcomeUnknown,
    WriterClosed,
)
from thence.log.open import Log, LogSettings


@pytest.mark.promise("P1")
def test_many_are_appended_in_one_piece_with_one_sync(tmp_path):
    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.append("first")
        disk.calls.clear()
        root, *rest = log.append_many(
            {"event_type": "t", "payload": {"n": n}, "subject": f"s/{n}", "actor": "ada"}
            for n in range(1_000)
        )
        assert disk.order("write", "sync_data") == ["write", "sync_data"]
    assert [event.payload["n"] for event in (root, *rest)] == list(range(1_000))
    assert (root.subject, root.actor) == ("s/0", "ada")
    assert list(log.read())[1:] == [root, *rest]


def test_many_stand_together_whatever_other_threads_append(tmp_path):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=20_000)) as log:

        def append(name):
            for _ in range(20):
                log.append_many({"event_type": name} for _ in range(7))

        threads = [threading.Thread(target=append, args=(f"t{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    types = [event.event_type for event in log.read()]
    assert len(types) == 6 * 20 * 7
    for start in range(0, len(types), 7):
        assert len(set(types[start : start + 7])) == 1


@pytest.mark.parametrize(
    "wrong", [{}, {"payload": {}}, {"event_type": "t", "colour": 1}, "t", None, {"event_type": ""}]
)
def test_one_wrong_of_many_is_named_and_none_is_appended(log, wrong):
    with pytest.raises(InvalidEvent):
        log.append_many([{"event_type": "good"}, wrong])
    assert log.append_many([]) == []
    assert list(log.read()) == []


def test_task_is_refused_as_a_thread_is(tmp_path):
    disk = Scripted()

    async def main(log):
        guard = thence.Unchanged(Position(), {"s"})
        first = await log.append_async("t", subject="s", guard=guard, event_id="once")
        assert await log.append_async("t", subject="s", event_id="once") == first
        with pytest.raises(HeadsMoved):
            await log.append_async("t", subject="s", guard=guard)
        disk.error["write"] = FULL
        with pytest.raises(LogFull):
            await log.append_async("t")
        disk.error["write"] = None
        await log.append_async("t")
        log.close()
        with pytest.raises(WriterClosed):
            await log.append_async("t")

    with Log(tmp_path, PLAIN, disk=disk) as log:
        asyncio.run(main(log))


def test_unknown_outcome_that_nobody_can_retry_is_raised_again():
    unknown = OutcomeUnknown("could not")
    with pytest.raises(OutcomeUnknown) as caught:
        unknown.retry()
    assert caught.value is unknown


@pytest.mark.promise("P1")
def test_append_in_a_signal_handler_amid_an_append_is_refused_at_once(tmp_path):
    disk, refused = Scripted(), []

    def handler(number, frame):
        log.emit("emitted")
        try:
            log.append("appended", timeout_s=WAIT_S)
        except LogBusy as error:
            refused.append(error)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with Log(tmp_path, PLAIN, disk=disk) as log:
            log.append("first")
            disk.once("sync_data", lambda: signal.raise_signal(signal.SIGUSR1))
            log.append("interrupted")
            assert "signal handler" in str(refused[0])
            signal.raise_signal(signal.SIGUSR1)  # between appends it is an append as any
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(refused) == 1
    types = [event.event_type for event in log.read()]
    assert types == ["first", "interrupted", "emitted", "emitted", "appended"]


def test_event_of_work_names_the_heads_of_its_subject(tmp_path):
    with thence.open(tmp_path, "work") as log:
        first = log.append("WPCreated", {}, subject="WP01", stream="001-a")
        other = log.append("WPCreated", {}, subject="WP01", stream="002-b")
        second = log.append("WPStatusChanged", {}, subject="WP01", stream="001-a")
        third = log.append("Noted", {}, subject="WP01", stream="001-a", caused_by=[other, second])
    assert (first.caused_by, other.caused_by) == ((), ())
    assert second.caused_by == (first.event_id,)
    assert third.caused_by == (other.event_id, second.event_id)


def test_event_from_elsewhere_names_its_source_and_inferred_causes(log):
    cause = log.append("asked")
    new = HostEvent("done", source="shop", source_id="7", inferred_causes=(cause.event_id,))
    (event,) = log._host_append([new])
    assert (event.header.source, event.header.source_id) == ("shop", "7")
    assert event.header.inferred_causes == (cause.event_id,)
    assert log.why(event).cone == ()
    assert log.verify().findings == ()
    for wrong in (
        {"source": "shop"},
        {"source_id": "7"},
        {"source": "shop", "source_id": "7", "inferred_causes": ("",)},
        {"inferred_causes": tuple(str(n) for n in range(33))},
    ):
        with pytest.raises(InvalidEvent):
            log._host_append([HostEvent("done", **wrong)])
