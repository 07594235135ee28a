"""The state that the routes of one app share: root, open logs, summaries, threads."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from thence.errors import SuppressCodes, ThenceError
from thence.server.http.workers import Workers
from thence.server.logs.root import AGENTS, FoundLog, LacksIndex, Logs, OpenLog, Root
from thence.server.logs.summaries import Summaries, line_bytes

# how long a page waits for an index, and after how long it loads again
INDEX_WAIT_S = 2.0
# after how long a list of logs is sent without what is not counted yet
COUNT_WAIT_S = 0.25
# and how many logs are counted in this time; for more nobody waits
_COUNTED_IN_TIME = 50
# how many logs a thread counts before a list has its turn
_COUNTED_AT_ONCE = 5
_RELOADED_AFTER_S = 1

T = TypeVar("T")


class ServerState:
    """The objects that the routes of an app share."""

    def __init__(self, root: Root) -> None:
        self.root = root
        # a folder in the working tree whose files are shown with their owners
        self.repository: Path | None = None
        self.logs = Logs(root)
        self.summaries = Summaries(self.logs)
        self.workers = Workers()
        self.is_closed = False
        self.streams: set[object] = set()
        # by the id of a log: the making of its index, and how many events of about how many it has
        self._making: dict[str, asyncio.Task[None]] = {}
        self._read_events: dict[str, tuple[int, int]] = {}
        self._counting: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._indexing: asyncio.Task[None] | None = None

    async def ask(
        self,
        log_id: str,
        work: Callable[[OpenLog], T],
        is_simulation: bool = False,
        *,
        is_patient: bool = True,
    ) -> T:
        """Runs work on an open log, once it has an index, in a thread and returns its result.

        Unless it `is_patient`, it waits for the index a moment only, and then raises 503 with how
        far that is. Raises NotALog for a missing log, or for one that is no simulation where one is
        asked for, and what the work raises.
        """
        question = partial(self.logs.ask, log_id, work, is_simulation)
        if log_id not in self._making:
            try:
                return await self.workers.run(partial(question, False))
            except LacksIndex as lacking:
                self._begin_index(lacking.log)
        wait_s = None if is_patient else INDEX_WAIT_S
        done, _ = await asyncio.wait({self._making[log_id]}, timeout=wait_s)
        if not done:
            read, about = self._read_events.get(log_id, (0, 0))
            progress = f"{read:,} of about {about:,} events" if about else "waiting for another one"
            words = f"the index of {log_id} is being built: {progress}"
            raise HTTPException(503, words, {"Retry-After": str(_RELOADED_AFTER_S)})
        return await self.workers.run(partial(question, True))

    def locate(self) -> list[FoundLog | None]:
        """Lists the logs under the root, None for one that can't be read."""
        logs = list(self.root.logs())
        self.summaries.keep_only({log.id for log in logs if log is not None})
        return logs

    async def inspect_all(self, work: Callable[[list[FoundLog | None]], T]) -> T:
        """Runs work on all logs, once each has an index."""

        def locate() -> tuple[list[FoundLog | None], list[FoundLog]]:
            logs = self.locate()
            return logs, [log for log in logs if log is not None and self._needs_index(log)]

        logs, missing = await self.workers.run(locate)
        await self._make_indexes(missing)
        return await self.workers.run(partial(work, logs))

    async def list_logs(
        self,
        locate: Callable[[], list[FoundLog | None]],
        work: Callable[[list[FoundLog | None]], T],
    ) -> T:
        """Runs work on the logs that `locate` finds, with what is known of each by then.

        Those with an index, and small ones, are counted in a moment. The others get their indexes
        one by one, and nobody waits for that.
        """
        logs = await self._list(locate)
        if self._counting is None or self._counting.done():
            self._counting = asyncio.ensure_future(self._count([*filter(None, logs)]))
        missing = sum(log is not None and self.summaries.listed(log) is None for log in logs)
        wait_s = COUNT_WAIT_S if missing <= _COUNTED_IN_TIME else 0
        await asyncio.wait({self._counting}, timeout=wait_s)
        return await self._list(partial(work, logs))

    async def _list(self, work: Callable[[], T]) -> T:
        """Runs work for a list: its page, or the counting of a few logs, one at a time."""
        async with self._turn:
            return await self.workers.run(work)

    async def _count(self, logs: Sequence[FoundLog]) -> None:
        """Counts the logs of a list, and begins the indexes that are missing."""

        def uncounted(some: Sequence[FoundLog]) -> list[FoundLog]:
            lacking = [log for log in some if log.id in self._making or self._needs_index(log)]
            for log in some:
                if log not in lacking:
                    self.summaries.count(log)
            return lacking

        missing: list[FoundLog] = []
        try:
            for at in range(0, len(logs), _COUNTED_AT_ONCE):
                some = logs[at : at + _COUNTED_AT_ONCE]
                missing += await self._list(partial(uncounted, some))
        except (OSError, ThenceError, HTTPException):
            return  # the next list counts on
        if missing and (self._indexing is None or self._indexing.done()):
            self._indexing = asyncio.ensure_future(self._make_indexes(missing))

    async def _make_indexes(self, logs: Sequence[FoundLog]) -> None:
        """Makes the indexes of logs one after another."""
        for log in logs:
            self._begin_index(log)
            await asyncio.wait({self._making[log.id]})

    def _begin_index(self, log: FoundLog) -> None:
        """Begins to make the index of a log, unless that has begun."""
        if log.id not in self._making:
            self._making[log.id] = asyncio.ensure_future(self._make_index(log))

    async def _make_index(self, found: FoundLog) -> None:
        """Makes the index of a log; what fails is raised by the question to it."""

        def make() -> None:
            with self.logs.using(found) as log, SuppressCodes("read_failed"):
                length, size = line_bytes(log.folder), log.reader.size()

                def note(read: int) -> None:
                    self._read_events[found.id] = round(read / length), round(size / length)

                note(0)
                log.index.refresh(on_read=note)
            self.summaries.count(found)  # of many logs in memory not all stay open

        try:
            await self.workers.run(make, "index")
        except (OSError, ThenceError, HTTPException):
            return
        finally:
            del self._making[found.id]
            self._read_events.pop(found.id, None)

    def _needs_index(self, location: FoundLog) -> bool:
        """Reports whether summing up a log would take seconds, as it has no index yet."""
        if self.summaries.has(location.id):
            return False
        with SuppressCodes("read_failed"):
            return self.logs.lacks_index(location)
        return False

    def has_files(self, log: FoundLog) -> bool:
        """Reports whether a log is that of the coding agents in the repository that is served."""
        is_place = self.root.places.get(log.id) == log.folder
        return is_place and log.kind == AGENTS and self.repository is not None

    def close(self) -> None:
        """Ends the live streams and closes the logs."""
        self.is_closed = True
        self.logs.close()


def app_state(request: Request) -> ServerState:
    """Returns the shared state of the app of a request."""
    state = request.app.state.served
    assert isinstance(state, ServerState)
    return state
