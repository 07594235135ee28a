"""Calls of components that may be async or not, in any mix."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

T = TypeVar("T")
CONCURRENT_MAX = 64


async def settled(who: str, call: Callable[[], T | Awaitable[T]]) -> T:
    """Returns what a call returns, awaited if need be; an error gets a note of who failed."""
    with blamed(who):
        answer = call()
        if inspect.isawaitable(answer):
            return await cast(Awaitable[T], answer)
        return answer


async def together(calls: Sequence[tuple[str, Callable[[], T | Awaitable[T]]]]) -> list[T]:
    """Returns what several calls return, in their order, those that wait all at once.

    At most `CONCURRENT_MAX` wait at a time. The first error, in the order of the calls, is
    raised when all have ended.
    """
    answers: list[object] = []
    try:
        for who, call in calls:
            with blamed(who):
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


@contextmanager
def blamed(who: str) -> Iterator[None]:
    """Notes on any error that passes which component was at work."""
    try:
        yield
    except Exception as error:
        error.add_note(who)
        raise


def _give_up(answers: Iterable[object]) -> None:
    """Closes coroutines that nobody will await."""
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()


async def _through(gate: asyncio.Semaphore, waiting: Awaitable[T], who: str) -> T:
    async with gate:
        with blamed(who):
            return await waiting
