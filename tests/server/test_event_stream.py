"""One stream within a process, where its bounds can be made small."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.codes import raises_code
from tests.server.listening import arrived, until
from tests.server.runs import make_run

from thence.core.query.filter import Filter
from thence.errors import EventNotFound, NotALog
from thence.log.open import open_log
from thence.server.logs import live
from thence.server.logs.live import Listener
from thence.server.logs.root import FoundLog, Root
from thence.server.routes.live_events import Stream
from thence.server.routes.state import ServerState
from thence.sim import EventWriter, create_action_event


@pytest.fixture(params=["read", "indexed"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = make_run(tmp_path, "run", count=5)
    if request.param == "indexed":
        with open_log(folder, create=False) as log:
            log.rebuild()
    return folder


def append(folder: Path, count: int) -> None:
    with EventWriter(folder, "run", on_full="block") as writer:
        for number in range(count):
            writer.emit(create_action_event("run", number, "ada", "move", {"number": number}))


def ids(data: bytes) -> list[str]:
    return [line[4:].decode() for line in data.split(b"\n") if line.startswith(b"id: ")]


def all_ids(folder: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in arrived(folder)]


async def taken(frames: AsyncIterator[bytes], found: list[str], count: int) -> None:
    while len(found) < count:
        found += ids(await anext(frames))


def played(folder: Path, work: Callable[[ServerState, Stream], object]) -> None:
    """Runs a work with a stream of a run from its first event on."""

    async def play() -> None:
        here = ServerState(Root(folder.parent))
        stream = Stream(here, "run", True, Filter(), None)
        try:
            await work(here, stream)
        finally:
            stream.leave()
            here.close()
        until(lambda: here.feeds.followed == 0)

    asyncio.run(asyncio.wait_for(play(), 60))


@pytest.mark.promise("Q9")
def test_slow_client_goes_on_by_what_the_log_holds(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEPT_BYTES_MAX", 1_000)

    async def work(here: ServerState, stream: Stream) -> None:
        await stream.begin()
        frames, found = stream.frames(), list[str]()
        await taken(frames, found, 5)
        beside = Listener(Filter())
        await asyncio.to_thread(here.feeds.subscribe, here.root.find("run"), beside)
        for total, is_behind in ((30, True), (55, True), (57, False)):
            await asyncio.to_thread(append, run, total - len(found))
            last = all_ids(run)[-1]
            await asyncio.to_thread(until, lambda last=last: beside.feed._last == last)
            assert (await beside.take(60) is None) == is_behind, total
            beside.feed.pass_over(beside)
            await taken(frames, found, total)
        here.feeds.unsubscribe(beside)
        assert found == all_ids(run)

    played(run, work)


@pytest.mark.promise("Q9")
def test_rare_events_are_kept_for_who_waits_for_them_whatever_else_comes(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEPT_BYTES_MAX", 1_000)

    async def work(here: ServerState, stream: Stream) -> None:
        rare, every = Listener(Filter.of(actor=["bob"])), Listener(Filter())
        for listener in (rare, every):
            await asyncio.to_thread(here.feeds.subscribe, here.root.find("run"), listener)
        await asyncio.to_thread(append, run, 40)
        await asyncio.to_thread(until, lambda: rare.feed._last == all_ids(run)[-1])
        assert await every.take(60) is None, "more came than is kept"
        assert rare.last_id == all_ids(run)[-1]
        with EventWriter(run, "run", on_full="block") as writer:
            writer.emit(create_action_event("run", 7, "bob", "move", {}))
        (frames,) = await rare.take(60)
        assert ids(frames.data) == all_ids(run)[-1:]
        for listener in (rare, every):
            here.feeds.unsubscribe(listener)

    played(run, work)


@pytest.mark.promise("Q9")
def test_slow_client_keeps_its_place_while_others_wait_for_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEPT_BYTES_MAX", 1_000)
    monkeypatch.setattr(live, "LISTENERS_MAX", 1)

    async def refused_always(here: ServerState) -> None:
        while True:
            with raises_code("read_failed", match="listen already"):
                await Stream(here, "run", True, Filter(), None).begin()

    async def work(here: ServerState, stream: Stream) -> None:
        await stream.begin()
        frames, found = stream.frames(), list[str]()
        waiting = asyncio.create_task(refused_always(here))
        for total in range(30, 300, 25):
            await asyncio.to_thread(append, run, total - max(len(found), 5))
            await taken(frames, found, total)
        assert found == all_ids(run)
        assert not waiting.done(), waiting.exception()
        waiting.cancel()

    played(run, work)


@pytest.mark.promise("Q9")
def test_lines_of_ids_that_came_before_are_repeated_to_nobody(run: Path) -> None:
    async def work(here: ServerState, stream: Stream) -> None:
        await stream.begin()
        frames, found = stream.frames(), list[str]()
        await taken(frames, found, 5)
        for total in (16, 40, 60):
            await asyncio.to_thread(append, run, total - len(found))
            await taken(frames, found, total)
            for old in (found[0], found[10], found[-1]):  # another tool's lines of known ids
                with (run / "events.jsonl").open("a") as file:
                    file.write(f'{{"event_id":"{old}"}}\n')
        await asyncio.to_thread(append, run, 1)
        await taken(frames, found, 61)
        assert found == all_ids(run)
        assert here.feeds.followed == 1

    played(run, work)


@pytest.mark.promise("Q9")
def test_stream_behind_what_its_feed_has_not_read_yet_hears_none_of_it_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_S", 60)  # the feed reads as somebody comes

    async def work(here: ServerState, stream: Stream) -> None:
        await stream.begin()
        await asyncio.to_thread(append, run, 1)
        behind = Stream(here, "run", True, Filter(), all_ids(run)[-1])
        await behind.begin()
        await asyncio.to_thread(append, run, 1)
        last = Stream(here, "run", True, Filter(), None)
        await last.begin()
        found: list[str] = []
        await taken(behind.frames(), found, 1)
        assert found == all_ids(run)[-1:]
        for other in (behind, last):
            other.leave()

    played(run, work)


@pytest.mark.promise("Q9")
def test_event_that_arrives_after_it_was_named_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the stream would begin before the event, and repeat it."""
    event = create_action_event("run", 1, "ada", "move", {})

    async def work(here: ServerState, stream: Stream) -> None:
        subscribe = here.feeds.subscribe

        def subscribe_then_write(location: FoundLog, listener: Listener) -> str | None:
            last = subscribe(location, listener)
            with EventWriter(run, "run", on_full="block") as writer:
                writer.emit(event)
            return last

        monkeypatch.setattr(here.feeds, "subscribe", subscribe_then_write)
        with pytest.raises(EventNotFound):
            await Stream(here, "run", True, Filter(), event.event_id).begin()
        monkeypatch.undo()
        await stream.begin()

    played(run, work)


@pytest.mark.promise("Q9")
def test_empty_log_that_another_takes_the_place_of_ends_the_stream(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with open_log(folder):
        pass

    async def play() -> None:
        here = ServerState(Root(tmp_path))
        stream = Stream(here, "run", False, Filter(), None)
        await stream.begin()
        folder.rename(tmp_path / "gone")
        make_run(tmp_path, "run", count=3)
        assert [some async for data in stream.frames() for some in ids(data)] == []
        stream.leave()
        here.close()

    asyncio.run(asyncio.wait_for(play(), 60))


def test_too_many_listeners_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LISTENERS_MAX", 1)

    async def work(here: ServerState, stream: Stream) -> None:
        await stream.begin()
        with raises_code("read_failed", match="listen already"):
            await Stream(here, "run", True, Filter(), None).begin()
        assert here.feeds.listeners == 1

    played(run, work)


@pytest.mark.promise("Q9")
def test_what_is_not_there_is_told_before_the_stream_begins(run: Path) -> None:
    async def work(here: ServerState, stream: Stream) -> None:
        with pytest.raises(EventNotFound):
            await Stream(here, "run", True, Filter(), "none").begin()
        with pytest.raises(NotALog):
            await Stream(here, "other", True, Filter(), None).begin()
        assert here.feeds.listeners == 0

    played(run, work)


@pytest.mark.promise("Q9")
def test_end_of_the_server_ends_the_stream(run: Path) -> None:
    async def work(here: ServerState, stream: Stream) -> None:
        await stream.begin()
        frames, found = stream.frames(), list[str]()
        await taken(frames, found, 5)
        here.close()
        assert [data async for data in frames] == []

    played(run, work)
