"""Random streams are well distributed, the same everywhere, and go on where a copy was made."""

import itertools
import math
import random

import pytest

from thence.sim.run.agents import RandomStream, stream

DRAWS = 20_000
NEIGHBOURS = [(7, "ada", turn, purpose) for turn in range(1, 1001) for purpose in ("a", "b")]


def drawn():
    return RandomStream("\x00".join(("7", "ada", "1", "haggle")))


def normal(statistic, mean, variance):
    """How far a statistic is from its mean; keys are fixed, so that a pass stays one."""
    return abs(statistic - mean) / math.sqrt(variance)


def chi_square(values, cells):
    """How far numbers below `cells` are from being equally frequent, in standard deviations."""
    expected = len(values) / cells
    counts = [values.count(cell) for cell in range(cells)]
    total = sum((count - expected) ** 2 / expected for count in counts)
    return normal(total, cells - 1, 2 * (cells - 1))


def correlation(pairs):
    """The correlation of uniform numbers in pairs, in standard deviations."""
    products = sum((a - 0.5) * (b - 0.5) for a, b in pairs) * 12
    return normal(products, 0, len(pairs))


@pytest.mark.parametrize("stop", [1, 2, 3, 1_000, 2**63, 2**64 - 1, 2**64, 2**70])
def test_randrange_draws_as_that_of_python_does(stop):
    ours, pythons = drawn(), drawn()
    draws = [ours.randrange(stop) for _ in range(100)]
    assert draws == [random.Random.randrange(pythons, stop) for _ in range(100)]
    assert ours.random() == pythons.random()


@pytest.mark.parametrize("given", [0, -1, None])
def test_randrange_refuses_what_that_of_python_refuses(given):
    with pytest.raises((ValueError, TypeError)):
        drawn().randrange(given)


def test_draws_are_the_same_on_every_machine_and_python():
    s = drawn()
    assert s.random() == 0.30253192702743203
    assert (s.getrandbits(1), s.getrandbits(64)) == (0, 660961079938189664)
    assert s.getrandbits(130) == 0x28F25E1AF0C433FFBBA465ECD5657562B
    assert (s.randint(0, 10**6), s.randrange(3, 1000, 7)) == (363364, 542)
    assert (s.choice("abcdefghij"), s.choices("abc", [5, 1, 1], k=6)) == ("e", list("aaaaab"))
    assert s.sample(range(100), 5) == [56, 10, 82, 54, 72]
    assert s.uniform(-1, 1) == -0.4741297801298541


def test_each_part_of_a_key_gives_other_numbers():
    keys = [
        (1, "ada", 2, "a"),
        (2, "ada", 2, "a"),
        (1, "ben", 2, "a"),
        (1, "ada", 3, "a"),
        (1, "ada", 2, "b"),
        (1, "ada", 2, ""),
        (11, "ada", 2, "a"),
        (1, "ada", 22, "a"),
        (1, "ada", 2, "a", "decide"),
        (1, "ada", 2, "a", "", "decide"),
    ]
    assert len({stream(*key).random() for key in keys}) == len(keys)
    assert stream(*keys[0]).random() == stream(*keys[0]).random()


def test_numbers_of_a_stream_are_uniform_and_independent():
    s = drawn()
    numbers = [s.random() for _ in range(DRAWS)]
    assert all(0 <= number < 1 for number in numbers)
    assert normal(sum(numbers), DRAWS / 2, DRAWS / 12) < 3
    assert chi_square([int(number * 100) for number in numbers], 100) < 3
    for lag in (1, 7, 8):
        assert correlation(list(zip(numbers, numbers[lag:], strict=False))) < 3


def test_each_bit_of_a_word_is_set_in_half_of_the_draws():
    s = drawn()
    words = [s.getrandbits(64) for _ in range(DRAWS)]
    for bit in range(64):
        count = sum(word >> bit & 1 for word in words)
        assert normal(count, DRAWS / 2, DRAWS / 4) < 4
    lengths = [s.getrandbits(k).bit_length() for k in range(200)]
    assert all(k - 40 < length <= k for k, length in enumerate(lengths))


def test_first_draws_of_neighbouring_keys_are_uniform_and_independent():
    firsts = [stream(*key).random() for key in NEIGHBOURS]
    assert chi_square([int(number * 50) for number in firsts], 50) < 3
    assert correlation(list(itertools.pairwise(firsts))) < 3
    assert correlation(list(zip(firsts, firsts[2:], strict=False))) < 3
    assert chi_square([stream(*key).randint(0, 2) for key in NEIGHBOURS], 3) < 3


def test_stream_refuses_another_seed_and_a_negative_number_of_bits():
    s = drawn()
    for call in (s.seed, s.getstate, lambda: s.setstate(())):
        with pytest.raises(TypeError, match="that of another purpose"):
            call()
    with pytest.raises(ValueError, match="non-negative"):
        s.getrandbits(-1)
    assert s.getrandbits(0) == 0
    assert s.random() == drawn().random()
