"""The numbers of one node's events as a log is read: which are there, which are given twice."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class NumberRanges:
    """The sequence numbers and the clock of one node, in the order of arrival.

    It keeps stretches, not numbers: a log without holes costs one. `clock` is the highest
    lamport_clock so far.
    """

    def __init__(self) -> None:
        self.clock = 0
        # the first and the last number of each stretch; both grow
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        # numbers that came after larger ones
        self._late: set[int] = set()

    @property
    def last(self) -> int:
        """The highest number so far, 0 for none."""
        return self._lasts[-1] if self._lasts else 0

    def extend(self, first: int, last: int) -> None:
        """Takes numbers in that follow one another and are all above `last`."""
        if self._lasts and first == self._lasts[-1] + 1:
            self._lasts[-1] = last
        else:
            self._firsts.append(first)
            self._lasts.append(last)

    def add(self, seq: int) -> bool:
        """Takes any number in; False if it was there."""
        if seq > self.last:
            self.extend(seq, seq)
            return True
        stretch = bisect_right(self._firsts, seq) - 1
        if seq in self._late or (stretch >= 0 and seq <= self._lasts[stretch]):
            return False
        self._late.add(seq)
        return True

    def holes(self) -> Iterator[tuple[int, int]]:
        """Yields the first and last number of each hole, from 1 to the highest number."""
        expected = 1
        late = ((seq, seq) for seq in self._late)
        for first, last in sorted([*zip(self._firsts, self._lasts, strict=True), *late]):
            if first > expected:
                yield expected, first - 1
            expected = max(expected, last + 1)


def without(hole: tuple[int, int], told: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yields what is left of a hole outside of stretches of numbers."""
    first, last = hole
    for begin, end in sorted(told):
        if begin > last or first > last:
            break
        if begin > first:
            yield first, begin - 1
        first = max(first, end + 1)
    if first <= last:
        yield first, last
