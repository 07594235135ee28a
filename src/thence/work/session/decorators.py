"""Decorators that open the event store and the error store of a project for a command."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TypeVar, cast

from thence.work.journal.refusals import ErrorStore
from thence.work.journal.store import EventStore

_R = TypeVar("_R")


def with_event_store(command: Callable[..., _R]) -> Callable[..., _R]:
    """Gives a command its project's EventStore as keyword `event_store`, closed at its end.

    The keyword does not show in the command's signature or help. The project is that of the
    working folder, found from any subdirectory or worktree; a caller may pass a store of its
    own. The command raises NotAProject outside of a project.
    """

    @wraps(command)
    def with_store(*arguments: object, **keywords: object) -> _R:
        with _stored(keywords) as completed:
            return command(*arguments, **completed)

    @wraps(command)
    async def with_store_until_it_ends(*arguments: object, **keywords: object) -> object:
        with _stored(keywords) as completed:
            return await cast(Awaitable[object], command(*arguments, **completed))

    if inspect.iscoroutinefunction(command):
        return _hiding("event_store", cast(Callable[..., _R], with_store_until_it_ends))
    return _hiding("event_store", with_store)


@contextmanager
def _stored(keywords: dict[str, object]) -> Iterator[dict[str, object]]:
    """Yields keywords with an EventStore, which is closed at the end unless it was given."""
    if keywords.get("event_store") is not None:
        yield keywords
        return
    with EventStore.at() as store:
        yield {**keywords, "event_store": store}


def with_error_store(command: Callable[..., _R]) -> Callable[..., _R]:
    """Gives a command its project's ErrorStore as keyword `error_store`, not shown in its help."""

    @wraps(command)
    def with_store(*arguments: object, **keywords: object) -> _R:
        if keywords.get("error_store") is None:  # the project is looked for only then
            keywords["error_store"] = ErrorStore.at()
        return command(*arguments, **keywords)

    return _hiding("error_store", with_store)


def _hiding(name: str, wrapper: Callable[..., _R]) -> Callable[..., _R]:
    """Hides a parameter from the signature that command-line tools read."""
    signature = inspect.signature(wrapper)
    kept = [part for part in signature.parameters.values() if part.name != name]
    wrapper.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        key: value for key, value in wrapper.__annotations__.items() if key != name
    }
    return wrapper
