"""A question to a small run costs no more of the processor than one to a large run."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from bench.load import grown, processor_s
from tests.ratios import ratio
from tests.server.serving import Serving, serving

from thence.answers import INDEXED_BYTES_MIN
from thence.replica import open_log

EVENTS = {"small": 3_000, "large": 15_000}
ASKED = 40
# both by an index it is about 1, by reading a small run from 6 on
RATIO_MAX = 3.0


class Served(NamedTuple):
    """A server, the folder that it serves, an event of each run in it."""

    server: Serving
    root: Path
    ids: dict[str, str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serves a run on either side of the size from which on the library makes an index."""
    root = tmp_path_factory.mktemp("sizes")
    ids = {name: grown(root / name, count)[500] for name, count in EVENTS.items()}
    small, large = ((root / name / "events.jsonl").stat().st_size for name in EVENTS)
    assert small < INDEXED_BYTES_MIN < large
    with serving(root) as server:
        yield Served(server, root, ids)


@pytest.mark.promise("Q7")
@pytest.mark.parametrize("path", ["events?limit=100", "events/ID", "causality/ID"])
def test_question_to_a_small_run_costs_what_one_to_a_large_run_does(
    served: Served, path: str
) -> None:
    server, _, ids = served

    def cost(run: str) -> float:
        asked = f"/simulations/{run}/{path.replace('ID', ids[run])}"
        server.json(asked)
        before = processor_s(server.process.pid)
        for _ in range(ASKED):
            server.json(asked)
        return processor_s(server.process.pid) - before

    found = ratio(lambda: cost("small"), lambda: cost("large"), RATIO_MAX)
    assert found.value < RATIO_MAX


@pytest.mark.promise("Q7")
def test_small_run_that_grows_is_not_read_whole_each_time(served: Served) -> None:
    server, root, _ = served

    def cost(run: str) -> float:
        spent = 0.0
        with open_log(root / run) as log:
            for number in range(ASKED):
                log.append("NOTE", {"number": number})
                before = processor_s(server.process.pid)
                server.json(f"/simulations/{run}")
                spent += processor_s(server.process.pid) - before
        return spent

    for run in EVENTS:
        server.json(f"/simulations/{run}")
    found = ratio(lambda: cost("small"), lambda: cost("large"), RATIO_MAX)
    assert found.value < RATIO_MAX
