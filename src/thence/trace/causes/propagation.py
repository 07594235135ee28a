"""Causes that go along with work: to threads and pools, to other processes, by messages.

Within a process the work takes the causes, the step and the ends of failed steps around its
submission along. Between processes a token goes: the headers of W3C Trace Context, where
`traceparent` continues the trace that came in and `tracestate` names the causes, as
docs/reference/formats/segment.md says.
"""

import hashlib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from concurrent import futures
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from thence.core.codec import CAUSES_MAX, ID
from thence.core.ids import ulid_value
from thence.core.new_event import PassedCause, parse_cause
from thence.errors import InvalidEvent
from thence.log.write.drafting import warn
from thence.trace.causes.steps import Because
from thence.trace.causes.surroundings import Surroundings, surroundings

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
# https://www.w3.org/TR/trace-context/: a value has at most 256 characters, the list 32 members
STATE_VALUE_MAX = 256
_MEMBERS_MAX = 32
_OWN = "thence="
_PARENT = re.compile(
    r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_NO_TRACE = "0" * 32
_P = ParamSpec("_P")
_R = TypeVar("_R")


def carry() -> dict[str, str]:
    """Returns a token for the causes around, for `carried` to use elsewhere.

    It has `traceparent` and `tracestate`, ASCII texts of at most 55 and 512 characters, as
    HTTP and message headers hold them; it is empty where no cause is around. A step, or a
    span of `thence.otel`, around is named with its log, so that any log can name it as a cause;
    events that `because` names are found only in their own log. What is carried is durable if the
    step is.
    Raises InvalidEvent for more causes than a token holds, 3 or more.
    """
    around = surroundings()
    if not around.causes:
        return {}
    value = ";".join(around.texts)
    if len(value) > STATE_VALUE_MAX:
        raise InvalidEvent(
            "could not carry the causes around",
            place=f"{len(around.causes)} causes",
            cause=f"{TRACESTATE} holds {STATE_VALUE_MAX} characters, and they have {len(value)}",
            hint="begin a step there: it is one cause, and has these",
        )
    newest = around.causes[0]
    trace, others = _trace(around)
    span_id = number_of(newest) % 2**64 or 1 if around.span is None else around.span.key[1]
    return {
        TRACEPARENT: f"00-{trace}-{span_id:016x}-01",
        TRACESTATE: ",".join(filter(None, (_OWN + value, others))),
    }


def carried(token: Mapping[str, str]) -> Because:
    """Names the causes of a token for all that is appended inside the block.

    `token` is what `carry` returned, or a mapping that holds its two entries among others, such as
    the headers of a request; case does not matter. The block replaces the causes around, as
    `because` does; where the token names none, it names none. A malformed one, as strangers may
    send, is skipped with a warning. Raises InvalidEvent for what is not a mapping.
    """
    if not isinstance(token, Mapping):
        raise InvalidEvent(
            "could not take up a token",
            place=f"{token!r:.80}",
            cause=f"it must be a mapping, not {type(token).__name__}",
            hint="pass what thence.carry() returned, or the headers that hold it",
        )
    entries = {
        key.lower(): value
        for key, value in token.items()
        if isinstance(key, str) and isinstance(value, str)
    }
    parent = _PARENT.fullmatch(entries.get(TRACEPARENT, "").strip())
    trace = parent["trace"] if parent and parent["trace"] != _NO_TRACE else ""
    members = [text.strip() for text in entries.get(TRACESTATE, "").split(",")][:_MEMBERS_MAX]
    others = ",".join(text for text in members if text and not text.startswith(_OWN))
    own = next((text[len(_OWN) :] for text in members if text.startswith(_OWN)), "")
    causes = _parsed(own.split(";")[:CAUSES_MAX] if own else ())
    return Because(*causes, (trace, others) if trace else None)


class Propagated(Generic[_P, _R]):
    """A function that runs with the causes around the place where `propagate` was called.

    It can be pickled as its function can; then it takes the causes along, not the step.
    """

    def __init__(self, function: Callable[_P, _R], around: Surroundings) -> None:
        self._function = function
        self._around = around
        update_wrapper(self, function, updated=())

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return self._around.run(lambda: self._function(*args, **kwargs))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        ends = tuple(end.text for end in self._around.ends)
        trace = _trace(self._around) if self._around.causes else None
        return arrived, (self._function, tuple(self._around.texts), ends, trace)


@overload
def propagate(work: futures.Executor) -> futures.Executor: ...


@overload
def propagate(work: Callable[_P, _R]) -> Callable[_P, _R]: ...


def propagate(work: Any) -> Any:
    """Returns a function that runs with the causes around this call, wherever it runs.

    `threading.Thread(target=thence.propagate(work))`, `pool.map(thence.propagate(work), items)`,
    `loop.run_in_executor(None, thence.propagate(work))`: a thread, a pool and an executor know
    nothing of the step that gives them work, nor of the tracer's span. The function takes and
    returns what `work` does. In the same process a step inside it has the subject and actor of the
    step around, and a span inside it the span around as parent; in another one it has its causes.

    For an executor it returns one that does so with each function submitted, where it is
    submitted; both share the workers. Raises InvalidEvent for a coroutine or generator function,
    whose body runs elsewhere: tasks have the causes by themselves.
    """
    if isinstance(work, futures.Executor):
        return _PropagatingExecutor(work)
    is_elsewhere = (
        inspect.iscoroutinefunction(work)
        or inspect.isgeneratorfunction(work)
        or inspect.isasyncgenfunction(work)
    )
    if not callable(work) or is_elsewhere:
        raise InvalidEvent(
            "could not pass causes to work",
            place=f"{work!r:.80}",
            cause="its body runs elsewhere" if is_elsewhere else "it is not a function",
            hint="pass a function or an executor; asyncio's tasks have the causes by themselves",
        )
    return Propagated(work, surroundings())


class _PropagatingExecutor(futures.Executor):
    """An executor of somebody else, which is given functions that have their causes."""

    def __init__(self, executor: futures.Executor) -> None:
        self._executor = executor

    def submit(
        self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> futures.Future[_R]:
        return self._executor.submit(propagate(fn), *args, **kwargs)

    def map(
        self,
        fn: Callable[..., _R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[_R]:
        function = propagate(fn)
        return self._executor.map(function, *iterables, timeout=timeout, chunksize=chunksize)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


_Scope = MutableMapping[str, Any]
_App = Callable[[_Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]


class CauseMiddleware:
    """ASGI middleware: what a request appends has the causes that its headers carry.

    `app = CauseMiddleware(app)`; the caller sends the headers of `carry`. Any sender
    of a request can then name causes, so use it only where you trust the callers.
    """

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(
        self, scope: _Scope, receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        """Serves a request, a WebSocket's too; other scopes are passed on as they are."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        names = (TRACEPARENT.encode(), TRACESTATE.encode())
        token = {
            name.decode(): b",".join(v for n, v in scope["headers"] if n.lower() == name).decode(
                "latin-1"
            )
            for name in names
        }
        with carried(token):
            await self._app(scope, receive, send)


def _parsed(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[PassedCause, ...]]:
    """Returns the ids of causes, and those whose log is known; passes over malformed ones."""
    ids: list[str] = []
    passed: list[PassedCause] = []
    for text in texts:
        cause = parse_cause(text)
        if cause is not None:
            ids.append(cause.event_id)
            passed.append(cause)
        elif ID.fullmatch(text):
            ids.append(text)
        else:
            warn("cause_ignored", {TRACESTATE: text[:200], "form": "ID@CLOCK@LOG_ID"})
    return tuple(dict.fromkeys(ids)), tuple(passed)


def arrived(
    function: Callable[_P, _R],
    causes: tuple[str, ...],
    ends: tuple[str, ...] = (),
    trace: tuple[str, str] | None = None,
) -> Callable[_P, _R]:
    """Returns a function with causes that were around elsewhere, such as in another process."""
    ids, passed = _parsed(causes)
    parsed_ends = tuple(end for end in map(parse_cause, ends) if end is not None)
    return cast(
        Callable[_P, _R], Propagated(function, Surroundings(ids, passed, None, parsed_ends, trace))
    )


def _trace(around: Surroundings) -> tuple[str, str]:
    """Returns the id of the trace that the causes around belong to, as far as it is known here.

    It is the one that came in, else that of the outermost step, or of the cause which that has.
    """
    if around.trace is not None:
        return around.trace
    first, step = around.causes[0], around.step
    if step is not None and step.begun.event_id == first:
        while step.outer is not None:
            step = step.outer
        first = next(iter(step.begun.caused_by), step.begun.event_id)
    return f"{number_of(first):032x}", ""


def number_of(event_id: str) -> int:
    """Returns 128 bits for an id: a ULID's own, of another the first of its SHA-256."""
    value = ulid_value(event_id)
    if value is None:
        text = event_id.encode("utf-8", "surrogatepass")  # of another tool's line
        value = int.from_bytes(hashlib.sha256(text).digest()[:16])
    return value or 1
