"""How much of thence a reader meets on the two shortest ways through it: an append, and a why."""

from collections.abc import Callable
from contextvars import Context

import pytest
from tests.calls import called, counted

import thence

# way: the most functions of thence that it calls, in how many files; only lower numbers come here
CALLED_MAX = {"append": (50, 13), "why": (88, 12)}


@pytest.mark.parametrize("way", CALLED_MAX)
def test_way_through_the_code_gets_no_longer(tmp_path, way, monkeypatch):
    monkeypatch.setattr("thence.log.causes._watch", None)  # another test may have a tracer
    with thence.open(tmp_path / "log") as log:
        placed = log.append("order.placed", {"amount": 12}, actor="ada", subject="order/881")

        def append() -> thence.Event:
            return log.append(
                "order.failed",
                {"reason": "no stock"},
                actor="ada",
                subject="order/881",
                caused_by=[placed],
            )

        ways: dict[str, Callable[[], object]] = {"append": append, "why": lambda: log.why("@last")}
        append()
        log.why("@last")  # it makes the index
        # what an earlier test left around this one is no part of the way
        with called() as calls:
            Context().run(ways[way])
    functions, files = counted(way, calls)
    functions_max, files_max = CALLED_MAX[way]
    assert functions <= functions_max
    assert files <= files_max
