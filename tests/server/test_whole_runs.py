"""A whole run as lines is not held in memory, by whomever and however slowly it is read."""

from pathlib import Path

import pytest
from tests.server.serving import Serving, serving

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


def peak_kib(server: Serving) -> int:
    """Returns the most memory that the server has held so far."""
    told = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0])


@pytest.mark.promise("Q2")
def test_lines_of_a_large_run_come_in_constant_memory_also_for_a_slow_client(root: Path) -> None:
    with serving(root) as server:
        (event,) = server.json(PATH, limit=1)["events"]
        assert not server.get(f"{PATH}.ndjson", params={"type": "gone"}).content
        before = peak_kib(server)
        with server.client.stream("GET", f"{PATH}.ndjson") as answer:
            parts = answer.iter_raw()
            size = len(next(parts))
            for _ in range(50):  # meanwhile it waits, and does not gather what is not fetched
                assert server.get(f"{PATH}/{event['event_id']}").status_code == 200
            amid = peak_kib(server)
            size += sum(map(len, parts))
        whole = (root / "large" / "events.jsonl").stat().st_size
        assert size == whole > EVENTS * 900
        print(f"{before} KiB before, {amid} amid, {peak_kib(server)} behind")
        assert amid - before < GROWN_MAX_KIB
        assert peak_kib(server) - before < GROWN_MAX_KIB
