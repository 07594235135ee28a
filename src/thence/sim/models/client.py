"""The client of a model's endpoint: one request, one answer, whatever the endpoint does.

What is sent is OpenAI's `POST /chat/completions`, without streaming.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from thence.sim.models.settings import EndpointSettings


class ModelRequest(msgspec.Struct, frozen=True):
    """What a model is asked: messages of `role` and `content`, and the answer's JSON Schema."""

    messages: tuple[Mapping[str, str], ...]
    schema: Mapping[str, Any] | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One request that gave no usable answer.

    `status` is that of HTTP, None without an answer; `reason` is one word of `REASONS`, `detail`
    says it in words; `waited_s` are the seconds until the next request, 0 behind the last.
    """

    status: int | None
    reason: str
    waited_s: float = 0.0
    detail: str = ""


class ModelAnswer(msgspec.Struct, frozen=True):
    """An answer: its text, the model that gave it as the endpoint names it, what it took.

    Tokens are those that the endpoint reports, None where it reports none; so is the cost without
    tokens or prices. `latency_s` is that of the request that was answered, `attempts` are those
    before it.
    """

    text: str
    model: str
    tokens_in: int | None
    tokens_out: int | None
    tokens_cached: int | None
    latency_s: float
    cost: float | None
    attempts: tuple[Attempt, ...] = ()


class Budget:
    """The calls and the cost of one run, over all its endpoints.

    A call counts once, however often its request is sent; `calls` and `cost` are what was spent
    before, where a run is resumed.
    """

    def __init__(
        self,
        max_calls: int | None = None,
        max_cost: float | None = None,
        *,
        calls: int = 0,
        cost: float = 0.0,
    ) -> None:
        self.max_calls = max_calls
        self.max_cost = max_cost
        self.calls = calls
        self.cost = cost


class ModelClient:
    """The client of one endpoint for one run, used from one event loop.

    `slots` is a folder that processes share: over all of them no more than the endpoint's
    `concurrency` requests are in flight.
    """

    def __init__(
        self, name: str, settings: EndpointSettings, budget: Budget, slots: Path | None = None
    ) -> None:
        self.name = name
        self.settings = settings

    def check(self) -> None:
        """Raises a ThenceError if no request can be sent: no key, no extra, no prices."""

    async def ask(self, request: ModelRequest, *, timeout_s: float | None = None) -> ModelAnswer:
        """Returns the answer to a request, within `timeout_s` seconds if given.

        Raises ModelCallFailed, EndpointDown and BudgetSpent.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Closes the connections."""
