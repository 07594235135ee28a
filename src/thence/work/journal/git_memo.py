"""The cache of git's answers about commits, in the home; such an answer never changes."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from thence.errors import ThenceError
from thence.files import replace_file
from thence.work.vcs.repository import Repository, is_shallow

ENTRIES_MAX = 5_000
_FILE = "memo.json"
_T = TypeVar("_T")


class Memo:
    """Git's answers, JSON values by key. New answers are stored by `save`."""

    def __init__(self, repo: Repository, home: Path) -> None:
        self._repo = repo
        self._path = home / _FILE
        self._answers = _read(self._path)
        self._is_new = False

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def once(self, key: str, ask: Callable[[], _T]) -> _T:
        """Returns the cached answer, else asks for it; `key` names every commit."""
        if key not in self._answers:
            self.add(key, ask())
        answer: _T = self._answers[key]
        return answer

    def last(self, key: str, of: str, ask: Callable[[], _T]) -> _T:
        """Returns the answer as `once` does; only the answer for the last `of` is cached."""
        pair = self._answers.get(key)
        if pair is None or pair[0] != of:
            pair = [of, ask()]
            self.add(key, pair)
        answer: _T = pair[1]
        return answer

    def add(self, key: str, answer: object) -> None:
        """Adds an answer."""
        self._answers[key] = answer
        self._is_new = True

    def save(self) -> None:
        """Stores new answers; not of a shallow clone, whose answers change once it is complete."""
        if self._is_new and not is_shallow(self._repo):
            newest = dict([*self._answers.items()][-ENTRIES_MAX:])
            with suppress(ThenceError):
                replace_file(self._path, json.dumps(newest).encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        answers = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return answers if isinstance(answers, dict) else {}
