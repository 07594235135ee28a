"""Calls of components that may be async or not, in any mix."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import msgspec

T = TypeVar("T")
CONCURRENT_MAX = 64
_FAULT = "_thence_fault"


class Part(msgspec.Struct, frozen=True):
    """A component at work, and for which agent; `causes` returns the ids of what led to it."""

    who: str
    causes: Callable[[], Iterable[str]] = tuple
    agent: str | None = None


async def settled(part: Part, call: Callable[[], T | Awaitable[T]]) -> T:
    """Returns what a call returns, awaited if need be; an error is blamed on the part."""
    with blamed(part):
        answer = call()
        if inspect.isawaitable(answer):
            return await cast(Awaitable[T], answer)
        return answer


async def together(calls: Sequence[tuple[Part, Callable[[], T | Awaitable[T]]]]) -> list[T]:
    """Returns what several calls return, in their order, those that wait all at once.

    At most `CONCURRENT_MAX` wait at a time. The first error, in the order of the calls, is
    raised when all have ended.
    """
    answers: list[object] = []
    try:
        for part, call in calls:
            with blamed(part):
                answers.append(call())
    except BaseException:
        _give_up(answers)
        raise
    waiting = [at for at, answer in enumerate(answers) if inspect.isawaitable(answer)]
    if waiting:
        gate = asyncio.Semaphore(CONCURRENT_MAX)
        ended = await asyncio.gather(
            *(_through(gate, cast(Awaitable[T], answers[at]), calls[at][0]) for at in waiting),
            return_exceptions=True,
        )
        for at, end in zip(waiting, ended, strict=True):
            if isinstance(end, BaseException):
                raise end
            answers[at] = end
    return cast(list[T], answers)


def blame(error: Exception, part: Part) -> None:
    """Notes on an error which component was at work, the innermost for good."""
    if _FAULT not in error.__dict__:
        error.add_note(part.who)
        error.__dict__[_FAULT] = part


@contextmanager
def blamed(part: Part) -> Iterator[None]:
    """Blames any error that passes on a component."""
    try:
        yield
    except Exception as error:
        blame(error, part)
        raise


def take_fault(error: BaseException) -> Part | None:
    """Returns the component that an error came from, once; None where none was at work."""
    found: Part | None = error.__dict__.pop(_FAULT, None)
    return found


def _give_up(answers: Iterable[object]) -> None:
    """Closes coroutines that nobody will await."""
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()


async def _through(gate: asyncio.Semaphore, waiting: Awaitable[T], part: Part) -> T:
    async with gate:
        with blamed(part):
            return await waiting
