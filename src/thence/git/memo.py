"""What git has answered, kept from one command to the next: a cache that may be lost."""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from msgspec.msgpack import decode, encode

from thence.errors import ThenceError
from thence.files import replace_file
from thence.git.repository import Repository, is_shallow

_FILE = "memo"
_T = TypeVar("_T")


class Memo:
    """Git's answers, plain values by a name and what they hold for; `save` stores new ones.

    `home` is the folder that they are kept in.
    """

    def __init__(self, repo: Repository, home: Path) -> None:
        self._home = home
        self._repo = repo
        self._stored = b""

    @cached_property
    def _kept(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The answers of each name; the file is read at the first question."""
        with suppress(OSError, ValueError, RecursionError):
            self._stored = (self._home / _FILE).read_bytes()
            return decode(self._stored, type=dict[str, tuple[str, dict[str, Any]]])
        return {}

    def table(self, name: str, of: str) -> dict[str, Any]:
        """Returns the answers of a name that hold for `of`, to be added to; the others go."""
        held = self._kept.get(name)
        if held is None or held[0] != of:
            held = self._kept[name] = (of, {})
        return held[1]

    def last(self, name: str, of: str, ask: Callable[[], _T]) -> _T:
        """Returns the cached answer, else asks; only that for the last `of` is cached."""
        table = self.table(name, of)
        if not table:
            table["answer"] = ask()
        answer: _T = table["answer"]
        return answer

    def save(self) -> None:
        """Stores new answers; not of a shallow clone, whose answers change once it is complete."""
        data = encode(self._kept) if "_kept" in vars(self) else self._stored
        if data != self._stored and not is_shallow(self._repo):
            with suppress(ThenceError):
                replace_file(self._home / _FILE, data)
