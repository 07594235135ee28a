"""Which tests a person runs, and which the rest are: chosen by measured times.

A person runs the fastest test of each promise, then the cheapest of all others until the budget
is spent. What `durations.json` does not know yet is new, and a person runs it. Where speed must
not choose, a mark names the test: `@pytest.mark.promise("W12", tier="person")`.

Neither tries all that some tests could: a test with the mark `whole` takes a fixed part of its
cases by `tenth` and `some`. With `whole(rows=3)` a tier has three of those that its parameters
make, and with `whole(alone=True)` none. `make soak` runs them whole: with THENCE_WHOLE=1 those
functions give all, and each seed is a new one.
"""

import json
import os
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

TIERS = ("person", "rest")
PAGE = Path(__file__).with_name("durations.json")
# seconds of tests, as one of three workers on two processors took them
BUDGET_S = 40.0
# what is quicker is not worth a line of the page
SHORT_S = 0.03
EXAMPLES_OF_A_PERSON = 10
EXAMPLES_OF_THE_REST = 30
IS_WHOLE = os.environ.get("THENCE_WHOLE") == "1"
T = TypeVar("T")


def function_of(node_id: str) -> str:
    """Returns the id of a test function, whatever parameters it has."""
    return node_id.split("[")[0].split("@")[0]


def examples(count: int) -> int:
    """Returns how many examples a test tries that wants another number than the usual 100."""
    return max(1, count * settings.default.max_examples // 100)


def tenth(whole: T, few: T) -> T:
    """Returns what a test tries, or counts: a tenth or so in a tier, the whole in the soak."""
    return whole if IS_WHOLE else few


def seed(name: str) -> int:
    """Returns a seed that a name has in each run of a tier, and another one in each of the soak."""
    drawn = random.randrange(2**32) if IS_WHOLE else zlib.crc32(name.encode())
    print(f"seed of {name}: {drawn}")
    return drawn


def some(items: Iterable[T], count: int, name: str) -> list[T]:
    """Returns so many items in their order, the same for one name; in the soak all of them."""
    listed = list(items)
    if IS_WHOLE or count >= len(listed):
        return listed
    taken = sorted(random.Random(name).sample(range(len(listed)), count))
    return [listed[at] for at in taken]


def in_tiers(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Returns the tests of both tiers: in the soak all of them."""
    found, rows = [], dict[tuple[str, int], list[str]]()
    for item in items if IS_WHOLE else [item for item in items if not _of_whole(item, "alone")]:
        found.append(item)
        if count := _of_whole(item, "rows"):
            rows.setdefault((_function(item), count), []).append(item.nodeid)
    left_out = set[str]()
    for (function, count), ids in rows.items():
        left_out |= {*ids} - {*some(sorted(ids), count, function)}
    return [item for item in found if item.nodeid not in left_out]


def _of_whole(item: pytest.Item, name: str) -> int:
    return max((mark.kwargs.get(name, 0) for mark in item.iter_markers("whole")), default=0)


def chosen(
    promises: Mapping[str, Iterable[tuple[str, bool]]], took: Mapping[str, float]
) -> set[str]:
    """Returns the functions a person runs, of all in `took` with their seconds.

    `promises` tells for each promise the functions that hold it, and whether they are named.
    """
    found = set()
    for holders in promises.values():
        named = {function for function, is_named in holders if is_named}
        found |= named or {min((took[function], function) for function, _ in holders)[1]}
    spent = sum(took[function] for function in found)
    for function in sorted(took.keys() - found, key=lambda function: (took[function], function)):
        spent += took[function]
        if spent > BUDGET_S:
            break
        found.add(function)
    return found


def measured(page: Path = PAGE) -> dict[str, float]:
    """Returns the seconds that functions took, without those that took next to nothing."""
    listed = json.loads(page.read_text()) if page.exists() else {}
    return {f"{file}::{name}": s for file, names in listed.items() for name, s in names.items()}


def write(took: Mapping[str, float], page: Path = PAGE) -> None:
    """Writes the page of durations: files, functions, seconds."""
    listed: dict[str, dict[str, float]] = {}
    for function, seconds in sorted(took.items()):
        file, _, name = function.partition("::")
        if seconds >= SHORT_S:
            listed.setdefault(file, {})[name] = round(seconds, 2)
    page.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")


def times(items: Iterable[pytest.Item]) -> dict[str, float]:
    """Returns the seconds of the functions among some tests."""
    known = measured()
    return {function: known.get(function, 0.0) for item in items for function in [_function(item)]}


def kept(
    items: list[pytest.Item], tier: str, took: Mapping[str, float]
) -> Callable[[pytest.Item], bool]:
    """Returns what tells whether a test belongs to a tier, `took` being what `times` returns.

    The rest holds a person's tests of properties too, for it tries all their examples.
    """
    promises: dict[str, list[tuple[str, bool]]] = {}
    for item in (item for item in items if not any(item.iter_markers("rest"))):
        for mark in item.iter_markers("promise"):
            for name in mark.args:
                is_named = mark.kwargs.get("tier") == "person"
                promises.setdefault(name, []).append((_function(item), is_named))
    person = chosen(promises, took)

    def is_kept(item: pytest.Item) -> bool:
        is_rest = any(item.iter_markers("rest"))
        if tier == "person":
            return _function(item) in person and not is_rest
        return is_rest or is_property(item) or _function(item) not in person

    return is_kept


def is_property(item: pytest.Item) -> bool:
    """Tells whether a test tries examples that are drawn."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def _function(item: pytest.Item) -> str:
    return function_of(item.nodeid)
