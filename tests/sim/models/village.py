"""A scenario whose agents ask a model, and a model that answers by what it is told."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sim.models.endpoint import Endpoint, Script

ENGINE = """\
from thence.sim import BaseEngine


class Gifts(BaseEngine):
    def apply_action(self, view, action):
        if action.action_type != "give":
            return
        amount = min(action.payload["amount"], view.agent(action.agent_id)["money"])
        view.agent(action.agent_id)["money"] -= amount
        receiver = view.agent(action.payload["to"])
        receiver.set_within("money", receiver["money"] + amount)

    def reach(self, agent):
        return ["ann", "ben", "cleo"]
"""
SCENARIO = """\
simulation:
  {name: village, max_turns: 4, seed: 1, checkpoint_interval: 2, on_agent_error: %(policy)s}
llm:
  endpoints:
    local: {base_url: "%(url)s", model: qwen, timeout_s: 5, retries: 2, price_in: 1, price_out: 2}
state_variables:
  agent_vars:
    - {name: money, type: int, min: 0, max: 99, default: 10}
engine: {type: "./gifts.py:Gifts"}
validator: {type: declared}
agents:
  - &agent
    name: ann
    type: llm_agent
    prompt: "You may give money."
    %(keys)s
    actions:
      - name: give
        fields:
          to: {type: str, choices: [ann, ben, cleo]}
          amount: {type: int, min: 0, max: 5}
  - {<<: *agent, name: ben}
  - {<<: *agent, name: cleo}
"""


def written(
    folder: Path, url: str, *, policy: str = "skip", keys: str = "", **changes: str
) -> Path:
    """Writes the scenario with its engine and returns its file; `changes` replace texts in it."""
    folder.mkdir(exist_ok=True)
    (folder / "gifts.py").write_text(ENGINE)
    text = SCENARIO % {"url": url, "policy": policy, "keys": keys or "endpoint: local"}
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "village.yaml").write_text(text)
    return folder / "village.yaml"


@contextmanager
def village(model: Script, folder: Path, **changes: str) -> Iterator[tuple[Endpoint, Path]]:
    """Opens an endpoint that answers by a model, with the scenario whose agents ask there."""
    with Endpoint(model) as endpoint:
        yield endpoint, written(folder, endpoint.base_url, **changes)


def act(name: str = "none", **fields: object) -> str:
    """Returns the answer for an action."""
    return json.dumps({"action": {"do": name, **fields}})


def user(body) -> str:
    """Returns the text that an agent is asked with."""
    return body["messages"][1]["content"]


def generous(body) -> str:
    """Gives to the next agent what the own money leaves over by three; nothing for none."""
    name, money = re.search(r"You are (\w+)\..*?\bmoney = (\d+)", user(body), re.DOTALL).groups()
    to = {"ann": "ben", "ben": "cleo", "cleo": "ann"}[name]
    amount = (int(money) + len(name)) % 4
    return act("give", to=to, amount=amount) if amount else act()


def choices(endpoint, who: str, turn: int, action: str, field: str) -> list[str]:
    """Returns what a field of an action may be by an agent's request; [] without the action."""
    start = f"You are {who}. It is turn {turn}."
    body = next(one.body for one in endpoint.requests if user(one.body).startswith(start))
    kinds = body["response_format"]["json_schema"]["schema"]["properties"]["action"]["anyOf"]
    fields = {kind["properties"]["do"]["enum"][0]: kind["properties"] for kind in kinds}
    return sorted(fields[action][field]["enum"]) if action in fields else []
