"""Failures of agents that a run goes on after, and the policy for them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from thence.errors import ThenceError
from thence.sim.actions import Action
from thence.sim.agents import BaseAgent, Decision
from thence.sim.concurrency import Fault, Part, TimeoutOf, mark_error
from thence.sim.config import SimulationConfig
from thence.sim.scenario import AgentErrorPolicy
from thence.sim.views import Observation

# an error's text in an event, which names the component's problem and is no transcript
_ERROR_CHARACTERS_MAX = 1_000


class FailurePolicy(msgspec.Struct, frozen=True):
    """The policy for agents that raise, hang or return nonsense; timeouts are in seconds.

    `known_failures` are the facts of recorded failures by their step. An agent is not called
    where such a failure stands: the same one is recorded.
    """

    on_agent_error: AgentErrorPolicy = "fail"
    timeout_s: float | None = None
    agent_timeouts_s: Mapping[str, float] = {}
    known_failures: Mapping[str, Mapping[str, Any]] = {}

    @property
    def collects(self) -> bool:
        """True if the run goes on after a failure of an agent."""
        return self.on_agent_error != "fail"

    def timeouts(self, agents: Sequence[BaseAgent]) -> TimeoutOf | None:
        """Returns the function of the timeout by an agent's index, None if none has one."""
        if self.timeout_s is None and not self.agent_timeouts_s:
            return None
        return lambda place: self.agent_timeouts_s.get(agents[place].name, self.timeout_s)


def policy_of(
    config: SimulationConfig, known_failures: Mapping[str, Mapping[str, Any]]
) -> FailurePolicy:
    """Returns the policy that a scenario sets."""
    settings = config.simulation
    timeouts_s = {agent.name: agent.timeout_s for agent in config.agents if agent.timeout_s}
    return FailurePolicy(settings.on_agent_error, settings.timeout_s, timeouts_s, known_failures)


def actions_of(answer: Decision, part: Part, *, collects: bool) -> Sequence[Action] | Fault:
    """Returns an agent's answer as a list.

    For an answer of another type a Fault is returned with `collects`, else its error is raised.
    """
    fault = None
    actions: Sequence[object] = (answer,)
    if isinstance(answer, Iterable):
        try:
            actions = tuple(answer)
        except Exception as error:  # door: a lazy answer, such as a generator, runs agent's code
            fault = Fault("raised", error)
    if fault is None:
        wrong = [each for each in actions if not _is_action(each)]
        if not wrong:
            return cast(Sequence[Action], actions)
        fault = Fault("nonsense", _no_decision(wrong[0], part))
    mark_error(fault.error, part)
    if not collects:
        raise fault.error
    return fault


def known_fault(facts: Mapping[str, Any], part: Part, observation: Observation) -> Fault:
    """Returns the fault of a recorded failure; what the agent had read is read again."""
    table = observation.ledger.table
    for subject in facts.get("reads", ()):
        scope, _, name = subject.rpartition("/")
        observation.value(table.index(scope, name))
    error = ThenceError("could not get a decision", place="again", cause=facts["error"])
    mark_error(error, part)
    return Fault(facts["kind"], error)


def failure_facts(
    fault: Fault, policy: AgentErrorPolicy, observation: Observation
) -> dict[str, object]:
    """Returns the facts of a new failure; `reads` names the variables that the agent had read."""
    table = observation.ledger.table
    return {
        "kind": fault.kind,
        "error": _text(fault.error),
        "policy": policy,
        "reads": [table[index].subject for index in observation.reads],
    }


def _text(error: Exception) -> str:
    try:
        text = str(error)
    except Exception:  # door: a user's error whose own text can't be read
        text = ""
    if not isinstance(error, ThenceError):
        text = f"{type(error).__name__}: {text}"
    return text[:_ERROR_CHARACTERS_MAX]


def _no_decision(answer: object, part: Part) -> ThenceError:
    return ThenceError(
        "could not take the decision",
        place=f"of {part.component}",
        cause=f"it returned {answer!r:.60}",
        hint="decide_action returns an Action with a map as payload, a list, or None",
    )


def _is_action(answer: object) -> bool:
    return isinstance(answer, Action) and isinstance(answer.payload, Mapping)
