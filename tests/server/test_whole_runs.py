"""A whole run as lines is not held in memory, by whomever and however slowly it is read."""

from pathlib import Path

import pytest
from tests.server.serving import serving

import thence

EVENTS = 40_000
GROWN_MAX_KIB = 16 * 1024
PATH = "/logs/large/events"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a log of 37 MB in lines of 0.9 kB, with its index."""
    folder = tmp_path_factory.mktemp("root")
    with thence.open(folder / "large") as log:
        for _ in range(10):
            log.append_many([{"event_type": "bulk", "payload": {"text": "x" * 700}}] * 4_000)
        log.query()
    return folder


@pytest.mark.promise("Q2")
def test_lines_of_a_large_run_come_in_constant_memory_also_for_a_slow_client(root: Path) -> None:
    with serving(root) as server:
        (event,) = server.json(PATH, limit=1)["events"]
        assert not server.get(f"{PATH}.ndjson", params={"type": "gone"}).content
        before = server.kib("VmHWM")
        with server.client.stream("GET", f"{PATH}.ndjson") as answer:
            parts = answer.iter_raw()
            size = len(next(parts))
            for _ in range(50):  # meanwhile it waits, and does not gather what is not fetched
                assert server.get(f"{PATH}/{event['event_id']}").status_code == 200
            amid = server.kib("VmHWM")
            size += sum(map(len, parts))
        whole = (root / "large" / "events.jsonl").stat().st_size
        assert size == whole > EVENTS * 900
        print(f"{before} KiB before, {amid} amid, {server.kib('VmHWM')} behind")
        assert amid - before < GROWN_MAX_KIB
        assert server.kib("VmHWM") - before < GROWN_MAX_KIB
