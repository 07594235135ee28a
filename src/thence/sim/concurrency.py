"""Calls of components, async or not, in any mix."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import msgspec

T = TypeVar("T")
CONCURRENT_MAX = 64
_MARK = "_thence_fault"


class Part(msgspec.Struct, frozen=True):
    """A part of a run: a call of a component, maybe for an agent, with the ids of its causes."""

    component: str
    causes: Callable[[], Iterable[str]] = tuple
    agent: str | None = None


async def await_result(part: Part, call: Callable[[], T | Awaitable[T]]) -> T:
    """Returns the result of a call, awaited if needed; an error is marked with the part."""
    with marking_errors(part):
        answer = call()
        if inspect.isawaitable(answer):
            return await cast(Awaitable[T], answer)
        return answer


async def ask(
    calls: Sequence[tuple[Callable[..., T | Awaitable[T]], tuple[object, ...]]],
    part_of: Callable[[int], Part],
) -> list[T]:
    """Returns the results of several calls, in their order; awaitables run concurrently.

    At most `CONCURRENT_MAX` run at a time. The first error, in the order of the calls, is
    raised when all have ended, marked with the part of its call.
    """
    answers: list[object] = []
    for place, (call, arguments) in enumerate(calls):
        try:
            answers.append(call(*arguments))
        except BaseException as error:
            _close_coroutines(answers)
            if isinstance(error, Exception):
                mark_error(error, part_of(place))
            raise
    pending = [place for place, answer in enumerate(answers) if _is_awaitable(answer)]
    if pending:
        limit = asyncio.Semaphore(CONCURRENT_MAX)
        awaited = [
            _await_within(limit, cast(Awaitable[T], answers[place]), part_of(place))
            for place in pending
        ]
        outcomes = await asyncio.gather(*awaited, return_exceptions=True)
        for place, outcome in zip(pending, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            answers[place] = outcome
    return cast(list[T], answers)


def _is_awaitable(answer: object) -> bool:
    return (answer is not None and hasattr(type(answer), "__await__")) or (
        inspect.isgenerator(answer) and inspect.isawaitable(answer)
    )


def mark_error(error: Exception, part: Part) -> None:
    """Marks an error with the part that raised it; the first, innermost mark stays."""
    if _MARK not in error.__dict__:
        error.add_note(part.component)
        error.__dict__[_MARK] = part


@contextmanager
def marking_errors(part: Part) -> Iterator[None]:
    """Marks any error of the block with a part."""
    try:
        yield
    except Exception as error:
        mark_error(error, part)
        raise


def take_mark(error: BaseException) -> Part | None:
    """Removes and returns the part that an error is marked with; None without a mark."""
    part: Part | None = error.__dict__.pop(_MARK, None)
    return part


def _close_coroutines(answers: Iterable[object]) -> None:
    """Closes coroutines that will not be awaited."""
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()


async def _await_within(limit: asyncio.Semaphore, pending: Awaitable[T], part: Part) -> T:
    async with limit:
        with marking_errors(part):
            return await pending
