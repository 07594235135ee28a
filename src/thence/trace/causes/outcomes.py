"""What a program learned from outside, such as a model's answer, recorded to be taken again.

A call is a step: what was asked stands in its begin, what came in its end. A program that is run
again in the same log asks the same in the same order, and gets what is recorded; from the first
thing on that is not, it calls.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import msgspec

from thence.core.event import Event
from thence.errors import InvalidEvent
from thence.log.causes import StepLog, current_step
from thence.trace.causes.steps import Step

if TYPE_CHECKING:
    from thence.log.open import Log

PAGE_EVENTS = 1_000
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The answer to a request: `value`, a JSON value, and `event`, which recorded it.

    It is a cause like the event: `with thence.because(outcome):`. `is_recorded` means that it
    was recorded before, and nothing was called.
    """

    value: Any
    event: Event
    is_recorded: bool

    @property
    def event_id(self) -> str:
        """The id of the event."""
        return self.event.event_id


class _Recorded:
    """The answers of one name and stream that a log held when they were first asked for."""

    def __init__(self, log: "Log", name: str, stream: str | None) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()
        self._answers: dict[str, list[Event]] = {}
        cursor: str | None = None
        filter_by: dict[str, Any] = {"type": [f"{name}.begun", f"{name}.ended"]}
        if stream is not None:
            filter_by["stream"] = stream
        requests: dict[str | None, str] = {}
        while True:
            page = log.query(limit=PAGE_EVENTS, cursor=cursor, **cast(Any, filter_by))
            for event in page.events:
                if event.begins:
                    requests[event.event_id] = _digest(event.payload.get("request"))
                elif digest := requests.pop(event.ends, None):
                    self._answers.setdefault(digest, []).append(event)
            cursor = page.next_cursor
            if cursor is None:
                return

    def next(self, digest: str) -> Event | None:
        """Returns the answer to a request that was asked so often before, None if there is none."""
        with self._lock:
            answers, count = self._answers.get(digest, []), self._counts[digest]
            self._counts[digest] += 1
        return answers[count] if count < len(answers) else None


_making = Lock()
_recorded: WeakKeyDictionary[StepLog, dict[tuple[str, str | None], _Recorded]] = WeakKeyDictionary()


def outcome(
    request: object,
    call: Callable[[], object],
    *,
    name: str = "call",
    log: StepLog | None = None,
    stream: str | None = None,
) -> CallOutcome:
    """Returns what `call` answers, or what is recorded as its answer to the same request.

    `request` is a value of a payload that says what is asked, such as a model's name and the
    messages to it; `call` takes nothing and returns such a value. A call is a step named "call",
    or `name`: what was asked is durable before, the answer after it. When the program is run
    again, it gets the answer that is recorded in the log under this name and stream: the n-th to
    the same request for the n-th time that this process asks. What was not answered, because the
    process was killed or the call failed, is asked again. So a run that must ask again has its own
    log or `stream`.

    `log` and `stream` are those of the step around where they are left out. The answer is a cause
    of nothing by itself: `with thence.because(outcome):`. Raises InvalidEvent for values that
    no payload holds, what `call` raises, and what `append` raises.
    """
    step, answered = _asked(request, name, log, stream)
    if answered is not None:
        return CallOutcome(answered.payload.get("result"), answered, True)
    with step as taken:
        taken.set(result=call())
    return CallOutcome(taken.ended.payload.get("result"), taken.ended, False)


async def outcome_async(
    request: object,
    call: Callable[[], Awaitable[object]],
    *,
    name: str = "call",
    log: StepLog | None = None,
    stream: str | None = None,
) -> CallOutcome:
    """Returns what `call` answers once it is awaited, as `outcome` does."""
    step, answered = _asked(request, name, log, stream)
    if answered is not None:
        return CallOutcome(answered.payload.get("result"), answered, True)
    async with step as taken:
        taken.set(result=await call())
    return CallOutcome(taken.ended.payload.get("result"), taken.ended, False)


def _asked(
    request: object, name: str, log: StepLog | None, stream: str | None
) -> tuple[Step, Event | None]:
    """Returns the step of a call, and the recorded answer if there is one."""
    around = current_step()
    if around is not None:
        log = around.log if log is None else log
        stream = around.words[2] if stream is None and around.log is log else stream
    if log is None:
        raise InvalidEvent(
            "could not ask",
            place=name,
            cause="no log is known here",
            hint="pass log=, what thence.open(path) returned, here or to a step around it",
        )
    request = log.plain(request, "request")
    digest = _digest(request)
    with _making:
        of_log = _recorded.setdefault(log, {})
        if (name, stream) not in of_log:
            of_log[name, stream] = _Recorded(cast("Log", log), name, stream)
    answered = of_log[name, stream].next(digest)
    step = Step(name, log, (None, None, stream), {"request": request})
    return step, answered


def _digest(request: object) -> str:
    return sha256(_encode(request)).hexdigest()
