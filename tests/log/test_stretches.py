"""Numbers in the order of arrival: stretches, late ones, twice-given ones, holes."""

from hypothesis import given
from hypothesis import strategies as st

from thence.log.check.verify import NumberRanges, without

numbers = st.lists(st.integers(1, 30), max_size=40)


@given(numbers)
def test_it_knows_what_a_set_of_the_numbers_knows(seqs):
    stretches = NumberRanges()
    seen = set()
    for seq in seqs:
        assert stretches.add(seq) == (seq not in seen)
        seen.add(seq)
        assert stretches.last == max(seen)
    missing = {n for first, last in stretches.holes() for n in range(first, last + 1)}
    assert missing == set(range(1, max(seen, default=0))) - seen


def test_stretches_are_kept_and_not_numbers():
    stretches = NumberRanges()
    stretches.extend(1, 1000)
    stretches.extend(1001, 5000)
    stretches.extend(5003, 9000)
    assert list(stretches.holes()) == [(5001, 5002)]
    assert (stretches._firsts, stretches._lasts) == ([1, 5003], [5000, 9000])
    assert not stretches.add(4000)


@given(st.integers(1, 20), st.integers(1, 20), st.lists(st.tuples(numbers, st.integers(0, 5))))
def test_what_is_told_of_a_hole_is_taken_off_it(first, length, told):
    hole = (first, first + length)
    stretches = [(start, start + size) for starts, size in told for start in starts]
    left = {n for begin, end in without(hole, stretches) for n in range(begin, end + 1)}
    covered = {n for begin, end in stretches for n in range(begin, end + 1)}
    assert left == set(range(hole[0], hole[1] + 1)) - covered
