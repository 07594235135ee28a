"""The model of the scenario `negotiation`; `python -m tests.sim.models.negotiators` records it.

Villages speak in even turns and give way in odd ones, the sooner the more the others did.
"""

import json
import re
import tempfile
from pathlib import Path

from tests.sim.models.endpoint import Endpoint

from thence.sim import SimulationConfig, SimulationOrchestrator
from thence.sim.asking import write_cassette
from thence.sim.outcomes import read_outcomes

SCENARIO = Path(__file__).parents[3] / "scenarios" / "negotiation.yaml"
CASSETTE = SCENARIO.with_suffix(".jsonl")
WORDS = {
    "north": "We go down to {claim}. Whoever gives up nothing leaves the river to nobody.",
    "mill": "The mill stands at {claim}. I follow whoever goes first.",
    "abbey": "We need little. {claim} is all that we ask for.",
    "town": "{claim} for the town, and there are more of us than of you all.",
    "south": "Let each give a third: for us that is {third}.",
}


def answer(body) -> str:
    """Returns a village's answer to what it sees."""
    text = body["messages"][1]["content"]
    name = re.search(r"You are (\w+)", text).group(1)
    turn, need, claimed = (
        int(re.search(pattern, text).group(1))
        for pattern in (r"It is turn (\d+)", r"\bneed = (\d+)", r"claimed = (\d+)")
    )
    claim = int(re.search(rf"agent/{name}/claim = (\d+)", text).group(1))
    if turn % 2 == 0:
        words = WORDS[name].format(claim=claim, third=need * 2 // 3)
        action = {"do": "say", "to": "all", "text": words}
        note = {"note": f"I said that {claim} is mine", "importance": 4}
    else:
        over = (claimed - 100) / claimed
        step = max(1, round(claim * over * (0.6 if name in ("town", "abbey") else 0.9)))
        action = {"do": "claim", "amount": max(claim - step, need // 2)}
        note = {"note": f"{claimed} was claimed of 100", "importance": 6}
    return json.dumps({"action": action, **note})


def recorded(folder: Path) -> Path:
    """Plays the scenario by this model and returns the run's folder."""
    with Endpoint(answer) as endpoint:
        text = SCENARIO.read_text().replace("http://127.0.0.1:8000/v1", endpoint.base_url)
        file = folder / "negotiation.yaml"
        file.write_text(text.replace("  cassette: negotiation.jsonl\n", ""))
        config = SimulationConfig.from_file(file)
        return SimulationOrchestrator(config, output_root=folder / "runs").run().output_dir


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        run = recorded(Path(place))
        print(write_cassette(read_outcomes(run).values(), CASSETTE), "answers in", CASSETTE)
