"""Paths that are put together once: an opening asks for the same ones again and again."""

from os import PathLike
from pathlib import PosixPath
from typing import Self

CHILDREN_MAX = 64  # names in quarantine are new each time


class Place(PosixPath):
    """A path that remembers what was found below and above it."""

    __slots__ = ("_above", "_children")

    def __truediv__(self, name: str | PathLike[str]) -> Self:
        try:
            return self._children[name]
        except AttributeError:
            self._children: dict[str | PathLike[str], Self] = {}
        except KeyError:
            if len(self._children) == CHILDREN_MAX:
                self._children.clear()
        found = self._children[name] = super().__truediv__(name)
        return found

    @property
    def parent(self) -> Self:
        try:
            return self._above
        except AttributeError:
            self._above: Self = super().parent
            return self._above
