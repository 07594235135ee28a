"""Mesa's model of agents that pass money on, which records what they do.

`python -m bench.peers.mesa_records AGENTS TURNS LEVEL LOGGER FILE`: LOGGER is `structlog` or
`orjson`. At ACTION each decision and each action is one record, at STATE each change too, with the
members that an event of thence has but for its id and its causes, which Mesa does not know. The
file is buffered and never synced. It prints `played_s` as `mesa_money` does, with the bytes of a
record, and `peak_mb`, the most memory that the process held.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import structlog

from bench.peers.mesa_money import Giver, Money

Record = Callable[..., object]


class Recording(Giver):
    """An agent that records its decision, its action and what it changed."""

    model: "RecordedMoney"

    def give(self) -> None:
        if self.wealth <= 0:
            return
        model, name = self.model, f"a{self.unique_id}"
        receiver = self.random.choice(model.everyone)
        other, payload = f"a{receiver.unique_id}", {"to": f"a{receiver.unique_id}"}
        model.record("DECISION", name, "decide", decision_type="give", old=None, new=payload)
        model.record("ACTION", name, "act", action_type="give", action_payload=payload)
        before = receiver.wealth
        receiver.wealth += 1
        self.wealth -= 1
        if model.records_changes:
            model.record("STATE", other, "apply", name="money", old=before, new=before + 1)
            model.record("STATE", name, "apply", name="money", old=self.wealth + 1, new=self.wealth)


class RecordedMoney(Money):
    """The model, without the DataCollector."""

    def __init__(self, agents: int, record: Record, *, records_changes: bool) -> None:
        super(Money, self).__init__(seed=1)
        self.everyone = list(Recording.create_agents(self, agents))
        self.records_changes = records_changes
        self._record = record

    def record(self, event_type: str, agent: str, phase: str, **details: Any) -> None:
        """Write one record of an agent in this turn."""
        turn = self.steps
        step = f"{turn}.{phase}.{agent}.0"
        self._record(event_type, turn_number=turn, agent_id=agent, step=step, details=details)

    def step(self) -> None:
        self.agents.shuffle_do("give")


def by_structlog(file: BinaryIO) -> Record:
    """Return the function that records by structlog, by its own renderer of JSON, with a time."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(TextIOWrapper(file, write_through=True)),
        cache_logger_on_first_use=True,
    )
    logger: Any = structlog.get_logger().bind(simulation_id="money")
    record: Record = logger.info
    return record


def by_orjson(file: BinaryIO) -> Record:
    """Return the function that writes a map by orjson, with a time."""
    write, dumps, now = file.write, orjson.dumps, datetime.now

    def record(event_type: str, **members: Any) -> None:
        moment = now(UTC).isoformat()
        entry = {"event": event_type, "timestamp": moment, "simulation_id": "money", **members}
        write(dumps(entry) + b"\n")

    return record


LOGGERS = {"structlog": by_structlog, "orjson": by_orjson}


def play(agents: int, turns: int, level: str, logger: str, path: Path) -> dict[str, float]:
    """Plays a run; returns its costs."""
    with path.open("wb", buffering=1 << 20) as file:
        model = RecordedMoney(agents, LOGGERS[logger](file), records_changes=level == "STATE")
        model.step()
        begun_s = time.process_time()
        for _ in range(turns - 1):
            model.step()
        file.flush()
        played_s = time.process_time() - begun_s
    assert sum(agent.wealth for agent in model.everyone) == agents
    data = path.read_bytes()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"played_s": played_s, "peak_mb": peak_mb, "bytes": len(data) / data.count(b"\n")}


if __name__ == "__main__":
    agents_, turns_, level_, logger_, file_ = sys.argv[1:]
    print(json.dumps(play(int(agents_), int(turns_), level_, logger_, Path(file_))))
