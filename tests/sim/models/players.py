"""The models of our scenarios; `python -m tests.sim.models.players` records their cassettes.

Villages speak in even turns and give way in odd ones, the sooner the more the others did. Fishers
go out for longer as long as it pays; the careful ones take what grows.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

from tests.sim.models.endpoint import Endpoint

from thence.sim import SimulationConfig, SimulationOrchestrator

ROOT = Path(__file__).parents[3]
SCENARIOS, EXAMPLES = ROOT / "scenarios", ROOT / "examples"
WORDS = {
    "north": "We go down to {claim}. Whoever gives up nothing leaves the river to nobody.",
    "mill": "The mill stands at {claim}. I follow whoever goes first.",
    "abbey": "We need little. {claim} is all that we ask for.",
    "town": "{claim} for the town, and there are more of us than of you all.",
    "south": "Let each give a third: for us that is {third}.",
}


def village(body) -> str:
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


def fisher(body) -> str:
    """Returns for how long a fisher goes out, by the fish that it sees and what it caught."""
    system, text = (message["content"] for message in body["messages"])
    number = {
        name: float(re.search(rf"\b{name} = ([\d.]+)", text).group(1))
        for name in ("catch", "hours", "fish")
    }
    if "your children" in system:
        grown = 0.35 * number["fish"] * (1 - number["fish"] / 2_000)
        hours = 0.8 * grown / 15 / (0.0036 * number["fish"])
    else:
        pays = 2 * number["catch"] > number["hours"] or "turn 1." in text
        hours = number["hours"] * ((1.2 if "richest" in system else 1.1) if pays else 0.8)
    return json.dumps({"action": {"do": "fish", "hours": round(min(hours, 12.0), 1)}})


def neighbour(body) -> str:
    """Returns what one of a village does who may have heard that the granary is half empty."""
    system, text = (message["content"] for message in body["messages"])
    own = int(re.search(r"\bclaim = (\d+)", text).group(1))
    near = re.findall(r"agent/(\w+)/claim = \d+", text)
    turn = int(re.search(r"It is turn (\d+)", text).group(1))
    most = max(int(claim) for claim in re.findall(r"agent/\w+/claim = (\d+)", text))
    is_nervous = "nervous" in system
    if "half empty" not in system + text and not (is_nervous and most > 5 and most > own):
        return json.dumps({"action": {"do": "none"}, "note": "A quiet day.", "importance": 1})
    note = {"note": "The granary is half empty.", "importance": 8}
    if (turn + len(near)) % 2:
        others = [name for name in near if f"You are {name}." not in text]
        to = others[turn % len(others)]
        action = {"do": "say", "to": to, "text": "The granary is half empty, take what you need."}
    else:
        action = {"do": "claim", "amount": min(10, own + (4 if is_nervous else 2))}
    return json.dumps({"action": action, **note})


MODELS = {
    SCENARIOS / "negotiation.yaml": village,
    EXAMPLES / "commons.yaml": fisher,
    SCENARIOS / "village.yaml": neighbour,
}


def recorded(scenario: Path, folder: Path) -> Path:
    """Plays a scenario by its model and returns the run's folder."""
    with Endpoint(MODELS[scenario]) as endpoint:
        text, file = scenario.read_text(), folder / scenario.name
        for table in SCENARIOS.glob("*.csv"):
            shutil.copy(table, folder)
        text = text.replace("http://127.0.0.1:8000/v1", endpoint.base_url)
        text = text.replace("../scenarios", str(SCENARIOS))
        text = text.replace("./negotiation.py", str(SCENARIOS / "negotiation.py"))
        file.write_text(text.replace(f"  cassette: {scenario.stem}.jsonl\n", ""))
        config = SimulationConfig.from_file(file)
        return SimulationOrchestrator(config, output_root=folder / "runs").run().output_dir


if __name__ == "__main__":
    for scenario in MODELS:
        with tempfile.TemporaryDirectory() as place:
            run = recorded(scenario, Path(place))
            print(shutil.copy(run / "outcomes.jsonl", scenario.with_suffix(".jsonl")))
