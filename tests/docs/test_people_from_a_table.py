"""The page about people of a table: its commands say what is shown, by a model on this machine."""

import json
import random
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.docs.walk import masked, walked
from tests.sim.models.endpoint import Endpoint, Reply, completion

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "simulations" / "people-from-a-table.md"
ADDRESS = "http://127.0.0.1:8000/v1"
RUN = re.compile(r"hundred-\d{8}T\d{6}Z-\w{6}")
HEAD = "id,name,age,temper,share\np001,Ada,38,calm,2\np002,Bela,21,nervous,1\n"


def people() -> str:
    """Return the table of the page, with a hundred people."""
    chance = random.Random(1)
    rows = [
        f"p{number:03},P{number},{chance.randint(18, 80)},{chance.choice(['calm', 'nervous'])},2"
        for number in range(3, 101)
    ]
    return HEAD + "\n".join(rows) + "\n"


def counted(body) -> Reply:
    """Answer with the tokens that it takes: one for four characters."""
    answer = completion(anxious(body))
    tokens = sum(-(-len(message["content"]) // 4) for message in body["messages"])
    return Reply({**answer, "usage": {"prompt_tokens": tokens, "completion_tokens": 20}})


def anxious(body) -> str:
    """Answer as one who takes as much as the greediest neighbour, if nervous."""
    system, text = (message["content"] for message in body["messages"])
    own, *others = (int(claim) for claim in re.findall(r"\bclaim = (\d+)", text))
    if "enough" in text:
        return json.dumps({"answer": "no" if max(own, *others) > 4 else "yes"})
    amount = min(10, max(own, *others) + 1) if "nervous" in system else own
    action = {"do": "claim", "amount": amount}
    return json.dumps({"action": action, "note": "I took grain.", "importance": 3})


def steady(text: str) -> str:
    """Take out what differs from run to run, and numbers, which differ with the prompts."""
    return re.sub(r"\s+", " ", re.sub(r"[\d.,]*\d", "N", RUN.sub("run", masked(text))))


def walk(folder: Path):
    (folder / "people.csv").write_text(people())
    with Endpoint(counted) as endpoint:
        page = PAGE.read_text(encoding="utf-8").replace(ADDRESS, endpoint.base_url)
        return walked(page, folder)


@pytest.mark.promise("O12")
@pytest.mark.rest
def test_page_shows_what_its_commands_say(monkeypatch):
    assert HEAD in PAGE.read_text(encoding="utf-8")
    with TemporaryDirectory() as short:
        folder = Path(short).resolve() / "hundred"
        folder.mkdir()
        monkeypatch.setenv("XDG_CACHE_HOME", f"{short}/cache")
        for one in walk(folder):
            assert one.status == 0, one.said
            assert steady(one.said) == steady(one.shown), one.command
        assert len((folder / "turns.csv").read_text().splitlines()) == 8
        assert (folder / "claimed.svg").read_text().startswith("<?xml")
