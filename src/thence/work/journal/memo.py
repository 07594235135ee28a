"""What git has told of commits, kept in the home: it never changes, so nobody asks twice."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from thence.work.vcs.repository import Repository

ENTRIES_MAX = 5_000
_FILE = "memo.json"
_T = TypeVar("_T")


class Memo:
    """Answers of git by what it was asked of, all of JSON. What is new is kept by `remember`."""

    def __init__(self, repo: Repository, home: Path) -> None:
        self._repo = repo
        self._path = home / _FILE
        self._known = _read(self._path)
        self._is_new = False

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def once(self, key: str, ask: Callable[[], _T]) -> _T:
        """Returns the answer to what was asked before, else asks; `key` names every commit."""
        if key not in self._known:
            self.add(key, ask())
        known: _T = self._known[key]
        return known

    def last(self, key: str, of: str, ask: Callable[[], _T]) -> _T:
        """Returns the answer as `once` does; of all that was asked `of` the last is kept."""
        known = self._known.get(key)
        if known is None or known[0] != of:
            known = [of, ask()]
            self.add(key, known)
        answer: _T = known[1]
        return answer

    def add(self, key: str, answer: object) -> None:
        """Adds an answer that somebody has got."""
        self._known[key] = answer
        self._is_new = True

    def remember(self) -> None:
        """Keeps what git has told; not of a shallow clone, which may tell more when it is whole."""
        is_shallow = (self._repo.common / "shallow").exists()
        if self._is_new and not is_shallow:
            kept = dict([*self._known.items()][-ENTRIES_MAX:])
            draft = self._path.with_name(f"{_FILE}.{os.getpid()}")
            with suppress(OSError):
                draft.write_text(json.dumps(kept), encoding="utf-8")
                draft.replace(self._path)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
