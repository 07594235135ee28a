"""A model of the pages: an endpoint on this machine that answers as people of a granary do."""

import json
import re
from typing import Any

from tests.sim.models.endpoint import Endpoint, Reply, completion


def model() -> Endpoint:
    """Return an endpoint; it listens while it is entered."""
    return Endpoint(counted)


def counted(body: Any) -> Reply:
    """Answer with the tokens that it takes: one for four characters."""
    answer = completion(anxious(body))
    tokens = sum(-(-len(message["content"]) // 4) for message in body["messages"])
    return Reply({**answer, "usage": {"prompt_tokens": tokens, "completion_tokens": 20}})


def anxious(body: Any) -> str:
    """Answer as one who takes as much as the greediest neighbour, if nervous; else nothing."""
    system, text = (message["content"] for message in body["messages"])
    if "claim" not in system + text:
        note = {"note": "I waited.", "importance": 3} if "The note is" in system else {}
        return json.dumps({"action": {"do": "none"}, **note})
    own, *others = (int(claim) for claim in re.findall(r"\bclaim = (\d+)", text))
    if "enough" in text:
        return json.dumps({"answer": "no" if max(own, *others) > 4 else "yes"})
    amount = min(10, max(own, *others) + 1) if "nervous" in system else own
    action = {"do": "claim", "amount": amount}
    return json.dumps({"action": action, "note": "I took grain.", "importance": 3})
