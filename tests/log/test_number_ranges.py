"""Numbers in the order of arrival: stretches, late ones, twice-given ones, holes."""

from hypothesis import given
from hypothesis import strategies as st

from thence.log.check.verify import NumberRanges, subtract

numbers = st.lists(st.integers(1, 30), max_size=40)


@given(numbers)
def test_it_knows_what_a_set_of_the_numbers_knows(seqs):
    ranges = NumberRanges()
    seen = set()
    for seq in seqs:
        assert ranges.add(seq) == (seq not in seen)
        seen.add(seq)
        assert ranges.last == max(seen)
    missing = {n for first, last in ranges.holes() for n in range(first, last + 1)}
    assert missing == set(range(1, max(seen, default=0))) - seen


def test_stretches_are_kept_and_not_numbers():
    ranges = NumberRanges()
    ranges.extend(1, 10**15)  # numbers would fit into no memory
    ranges.extend(10**15 + 1, 5 * 10**15)
    ranges.extend(5 * 10**15 + 3, 9 * 10**15)
    assert list(ranges.holes()) == [(5 * 10**15 + 1, 5 * 10**15 + 2)]
    assert not ranges.add(4 * 10**15)


@given(st.integers(1, 20), st.integers(1, 20), st.lists(st.tuples(numbers, st.integers(0, 5))))
def test_what_is_told_of_a_hole_is_taken_off_it(first, length, told):
    hole = (first, first + length)
    ranges = [(start, start + size) for starts, size in told for start in starts]
    left = {n for begin, end in subtract(hole, ranges) for n in range(begin, end + 1)}
    covered = {n for begin, end in ranges for n in range(begin, end + 1)}
    assert left == set(range(hole[0], hole[1] + 1)) - covered
