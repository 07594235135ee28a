"""A question to a small run is answered by an index, as one to a large run is."""

import re
from pathlib import Path

import pytest
from bench.load import grown
from tests.server.serving import Serving, serving

from thence.log.log_reader import INDEXED_BYTES_MIN
from thence.log.open import open_log

EVENTS = 9_000
ASKED = 10


def read_bytes(server: Serving) -> int:
    """How much the server has read so far, of files and connections."""
    told = Path(f"/proc/{server.process.pid}/io").read_text()
    found = re.search(r"^rchar: (\d+)$", told, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.promise("Q7")
def test_small_run_is_not_read_whole_for_each_question_and_not_when_it_grows(
    tmp_path: Path,
) -> None:
    asked = grown(tmp_path / "run", EVENTS)[500]
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
