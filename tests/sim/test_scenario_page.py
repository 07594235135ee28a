"""The page on scenarios is true: its example is read, its agent runs."""

import re
from pathlib import Path

from thence.sim import SimulationConfig, SimulationOrchestrator

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scenario.md"


def test_example_of_the_page_runs(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    (scenario,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (agents,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "agents.py").write_text(agents)
    path = tmp_path / "market.yaml"
    path.write_text(scenario)
    read = SimulationConfig.from_file(path)
    assert [agent.name for agent in read.agents] == ["ada-1", "ada-2", "ada-3"]
    result = SimulationOrchestrator(path, output_root=tmp_path / "out").run()
    assert (result.status, result.turns, result.error) == ("completed", 40, None)
