"""The shipped scenarios and examples are the same runs on every machine and every Python.

`make test ARGS=tests/sim/test_shipped.py` under 3.12 or 3.13 compares with the same file.
`python -m tests.sim.test_shipped` writes it.
"""

import json
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from thence.sim import SimulationOrchestrator, open_run
from thence.sim.again.replay import content_hash
from thence.sim.scenario.scenario_file import shipped_files

GOLDEN = Path(__file__).with_name("shipped.json")
FILES = {file.stem: file for kind in ("scenarios", "examples") for file in shipped_files(kind)}


def digests(file, folder):
    """Returns the digests of a run's final state, and of its changes, actions and decisions."""
    result = SimulationOrchestrator(file, output_root=folder, verbosity="STATE").run()
    with open_run(result.output_dir) as run:
        events = [e for e in run.log.read() if e.event_type in ("STATE", "ACTION", "DECISION")]
    state = json.dumps(result.to_dict()["final_state"], sort_keys=True)
    return {
        "turns": result.turns,
        "events": len(events),
        "state": sha256(state.encode()).hexdigest(),
        "content": content_hash(events),
    }


@pytest.mark.promise("O11")
@pytest.mark.parametrize("name", sorted(FILES))
def test_shipped_scenario_is_the_run_that_it_is_on_every_python(tmp_path, name):
    assert digests(FILES[name], tmp_path) == json.loads(GOLDEN.read_text())[name]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        golden = {name: digests(FILES[name], Path(folder)) for name in sorted(FILES)}
    GOLDEN.write_text(json.dumps(golden, indent=2) + "\n")
