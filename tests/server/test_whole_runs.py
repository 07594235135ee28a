"""What a server reads and holds of a run.

A whole run as lines is not held in memory, by whomever and however slowly it is read; a question to
a small run is answered by an index, as one to a large run is.
"""

import re
from pathlib import Path

import pytest
from bench.load import grown
from tests.server.serving import Serving, serving

import thence
from thence.log.log_reader import INDEXED_BYTES_MIN
from thence.log.open import open_log

EVENTS, FEW_EVENTS, ASKED = 40_000, 9_000, 10
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


def read_bytes(server: Serving) -> int:
    """How much the server has read so far, of files and connections."""
    told = Path(f"/proc/{server.process.pid}/io").read_text()
    found = re.search(r"^rchar: (\d+)$", told, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.promise("Q7")
def test_small_run_is_not_read_whole_for_each_question_and_not_when_it_grows(tmp_path):
    asked = grown(tmp_path / "run", FEW_EVENTS)[500]
    size = (tmp_path / "run" / "events.jsonl").stat().st_size
    assert size < INDEXED_BYTES_MIN
    with serving(tmp_path) as server, open_log(tmp_path / "run") as log:
        for path in ("", "/events?limit=100", f"/events/{asked}", f"/causality/{asked}?depth=20"):
            server.json(f"/simulations/run{path}")
            before = read_bytes(server)
            for number in range(ASKED):
                log.append("NOTE", {"number": number})
                server.json(f"/simulations/run{path}")
            each = (read_bytes(server) - before) / ASKED
            print(f"{path}: {each:,.0f} bytes read of {size:,}")
            assert each < size / 2
