"""Writes the cassettes of scenarios anew after their requests changed, without asking a model.

    python -m tools.cassettes scenarios/*.yaml examples/*.yaml

Each step is answered as before: its n-th call by its n-th line of the old cassette, unless one
has the digest of the request. The new lines stand in the order of the calls.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from unittest.mock import patch

import msgspec

from thence.files import replace_file
from thence.sim import SimulationConfig, SimulationOrchestrator
from thence.sim.models.asking import Models, RecordedAnswer
from thence.sim.models.client import ModelRequest
from thence.sim.record.outcomes import Key, RecordedOutcome, read_lines


def rewritten(scenario: Path) -> tuple[list[RecordedOutcome], int]:
    """Returns the lines of a scenario's new cassette, and the number of old ones without a use."""
    config = SimulationConfig.from_file(scenario)
    rest: dict[str, list[RecordedOutcome]] = defaultdict(list)
    for line in read_lines(scenario.parent / (config.llm.cassette or "")):
        rest[line.step].append(line)
    lines: list[RecordedOutcome] = []

    async def played(_: Models, key: Key, __: str, ___: ModelRequest) -> RecordedAnswer:
        step, request, occurrence = key
        of_step = rest[step]
        if not of_step:
            raise SystemExit(f"{scenario}: the cassette has too few answers for step {step}")
        places = [place for place, line in enumerate(of_step) if line.request == request]
        line = of_step.pop(places[0] if places else 0)
        lines.append(msgspec.structs.replace(line, request=request, occurrence=occurrence))
        return msgspec.structs.replace(msgspec.convert(line.value, RecordedAnswer), fault="")

    with tempfile.TemporaryDirectory() as folder, patch.object(Models, "_played", played):
        result = SimulationOrchestrator(config, output_root=folder).run()
    if result.status != "completed":
        raise SystemExit(f"{scenario}: the run {result.status}: {result.error or result.reason}")
    return lines, sum(map(len, rest.values()))


def main(scenarios: list[str]) -> None:
    """Rewrites the cassette of each scenario that has one."""
    for scenario in map(Path, scenarios):
        if (cassette := SimulationConfig.from_file(scenario).llm.cassette) is None:
            continue
        lines, unused = rewritten(scenario)
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        replace_file(scenario.parent / cassette, data)
        print(f"{cassette}: {len(lines)} answers, {unused} of the old ones left out")


if __name__ == "__main__":
    main(sys.argv[1:])
