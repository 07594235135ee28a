"""The usual events of a turn, written as drafts at once: two byte strings each, and no object.

What a turn's events have in common is bound once in closures. An event that is out of the ordinary
is left to the recorder's general way, which makes members and `codec.draft` of them: by its causes,
by values that need a check, by its size, by another attempt. The bytes are the same in both ways:
two writers of one form are the price of a tenth of a run's time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from thence.core.codec import CAUSES_MAX, encode
from thence.core.json_values import INT_MAX, INT_MIN, is_plain
from thence.log.open import new_id, now
from thence.sim.record.ledger import Ids
from thence.sim.record.writer import UsualEvent
from thence.sim.run.agents import Accepted
from thence.sim.scenario.state import Variable

# of an encoded payload or value; a larger event may be too long, or has parts that are kept aside
_BYTES_MAX = 4_096
_HEAD = b'{"event_id":"%b","event_type":"%b","event_version":1,"timestamp":"%b"'


class UsualEvents(NamedTuple):
    """The writers of one turn's events; each returns "" for an event that is not usual."""

    decide: Callable[[Accepted], str]
    act: Callable[[Accepted], str]
    change: Callable[[Variable, Any, Any, str, Ids], str]


class Labels:
    """The texts of a run's lines as JSON, each encoded once."""

    def __init__(self, simulation_id: str) -> None:
        self.simulation = encode(simulation_id)
        self.agents: dict[str, bytes] = {}
        self.variables: dict[int, tuple[bytes, bytes]] = {}

    def agent(self, name: str) -> bytes:
        """Returns an agent's name as JSON, without its quotes."""
        text = self.agents[name] = encode(name)[1:-1]
        return text

    def variable(self, variable: Variable) -> tuple[bytes, bytes]:
        """Returns a variable's name and its scope as JSON."""
        texts = encode(variable.declaration.name), encode(variable.scope)
        self.variables[variable.index] = texts
        return texts


def usual_events(
    labels: Labels,
    turn: int,
    append: Callable[[UsualEvent], None],
    recent: dict[str, Ids],
    counts: dict[str, int],
) -> UsualEvents:
    """Returns the writers of a turn's events.

    `append` takes them, `recent` keeps their causes, `counts` their number by type.
    """
    common = b'"],"simulation_id":%b,"turn_number":%d' % (labels.simulation, turn)
    agents, variables = labels.agents, labels.variables

    def put(event_type: str, causes: Ids, rest: bytes) -> str:
        event_id = new_id()
        head = _HEAD % (event_id.encode(), event_type.encode(), now().encode())
        tail = b',"caused_by":["%b%b%b' % ('","'.join(causes).encode(), common, rest)
        append(UsualEvent(event_id, head, tail, (), causes))
        recent[event_id] = causes
        counts[event_type] += 1
        return event_id

    def decide(accepted: Accepted) -> str:
        kind = _checked(accepted)
        if not kind:
            return ""
        agent = accepted.action.agent_id
        name = agents.get(agent) or labels.agent(agent)
        rest = (
            b',"agent_id":"%b","step":"%d.decide.%b.%d",'
            b'"details":{"decision_type":%b,"old_value":null,"new_value":%b}'
        ) % (name, turn, name, accepted.ordinal, kind, accepted.payload)
        return put("DECISION", accepted.causes, rest)

    def act(accepted: Accepted) -> str:
        kind = _unchanged(accepted)
        if not kind:
            return ""
        agent = accepted.action.agent_id
        name = agents.get(agent) or labels.agent(agent)
        rest = (
            b',"agent_id":"%b","step":"%d.act.%b.%d",'
            b'"details":{"action_type":%b,"action_payload":%b}'
        ) % (name, turn, name, accepted.ordinal, kind, accepted.payload)
        return put("ACTION", accepted.causes, rest)

    def change(variable: Variable, old: Any, new: Any, step: str, causes: Ids) -> str:
        if not (_is_number(old) and _is_number(new) and 0 < len(causes) <= CAUSES_MAX):
            return ""
        if len(step) > _BYTES_MAX or not step.isprintable():  # by the name of a user's rule
            return ""
        name, scope = variables.get(variable.index) or labels.variable(variable)
        rest = (
            b',"step":%b,"details":{"variable_name":%b,"old_value":%b,"new_value":%b,"scope":%b}'
        ) % (encode(step), name, encode(old), encode(new), scope)
        return put("STATE", causes, rest)

    return UsualEvents(decide, act, change)


def _checked(accepted: Accepted) -> bytes:
    """Returns the type of a usual decision as JSON, b"" of another one; keeps the payload's."""
    action = accepted.action
    kind = action.decision_type or action.action_type
    if (
        accepted.attempt
        or action.decision is not None
        or action.instead_of is not None
        or type(kind) is not str
        or not is_plain(action.payload)
        or not 0 < len(accepted.causes) <= CAUSES_MAX
    ):
        return b""
    try:
        text, body = encode(kind), encode(action.payload)
    except ValueError:  # a lone surrogate, which is repaired
        return b""
    if len(text) + len(body) > _BYTES_MAX:
        return b""
    accepted.payload = body
    return text


def _unchanged(accepted: Accepted) -> bytes:
    """Returns the type of an action as JSON; b"" unless its payload still is the decided one.

    An engine may have changed the payload, which is written as it is now.
    """
    if not accepted.payload or not 0 < len(accepted.causes) <= CAUSES_MAX:
        return b""
    try:
        kind = accepted.action.action_type
        if encode(accepted.action.payload) != accepted.payload or type(kind) is not str:
            return b""
        return encode(kind) if len(kind) <= _BYTES_MAX else b""
    except (TypeError, ValueError, RecursionError):
        return b""


def _is_number(value: Any) -> bool:
    """Reports whether a value is a number that JSON holds as it is."""
    if type(value) is int:
        return INT_MIN <= value <= INT_MAX
    return type(value) is float and value - value == 0  # no infinity, and a number
