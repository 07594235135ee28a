"""Runs of model agents killed amid their calls and resumed: one history, hardly a call paid twice.

Each is killed with SIGKILL at a random call. Content hash and events must be those of a run that
nobody killed; no answer that was recorded is asked for again, so that at most the calls in flight
are paid twice.
"""

import json
import os
import random
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import act, user, written
from tests.sim.worlds import history, unlike

from thence.core.diff import VOLATILE
from thence.sim import SimulationOrchestrator, replay, resume
from thence.sim.record.outcomes import read_outcomes

AGENTS = 3
DELAY_S = 0.02
KEYS = (
    "memory: 3\n    talk: true",
    "memory: {size: 5, reflect: 2}",
    "talk: {reach: all}",
)
_TIMES = {*VOLATILE, "latency_s"}


class Killer:
    """A model that kills the process that asks, so many seconds after so many requests."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process, self.requests_left, self.wait_s = 0, 0, 0.0
        self.is_ready = threading.Event()

    def count(self) -> None:
        """Counts a request, and kills behind the last one."""
        with self.lock:
            self.requests_left -= 1
            if self.requests_left == 0:
                self.is_ready.wait(30)
                threading.Timer(self.wait_s, os.kill, (self.process, signal.SIGKILL)).start()

    def __call__(self, body: Any) -> str:
        """Gives, says or does nothing, and notes it; at times what is of no use comes first."""
        if not body:
            return "ready"
        self.count()
        system, text = body["messages"][0]["content"], user(body)
        mood = crc32(text.encode()) % 5
        note = {"note": f"I had {len(text)}", "importance": 1 + mood} if '"note"' in system else {}
        if "What do you conclude" in system:
            return json.dumps(note)
        if mood == 0 and len(body["messages"]) == 2:
            return "I would rather not say."
        answer = act("give", to=("ann", "ben", "cleo")[mood % 3], amount=mood)
        if mood == 1:
            answer = act("say", to="all", text=f"I had {len(text)}") if "say" in system else act()
        return json.dumps({**json.loads(answer), **note})

    def kill(self, run: Callable[[], object], requests: int, wait_s: float) -> None:
        """Plays a run in a child, which is killed."""
        self.is_ready.clear()
        self.requests_left, self.wait_s = requests, wait_s
        self.process = os.fork()
        if not self.process:
            try:
                run()
                signal.pause()
            finally:
                os._exit(1)
        self.is_ready.set()
        _, status = os.waitpid(self.process, 0)
        assert os.WIFSIGNALED(status)


def _events(folder: Path) -> list[Any]:
    """Returns a run's events without what differs by the clock, and without ends.

    A process killed between the event of its end and result.json is followed by another end.
    """
    return [
        (*head, {name: value for name, value in details.items() if name not in _TIMES}, causes)
        for *head, details, causes in history(folder)[1]
        if ".end." not in head[1]
    ]


def faults(seed: int, root: Path, seen: Counter[str]) -> list[str]:
    """Kills and resumes one run; returns what was not the same, and what was paid for twice."""
    rng, model = random.Random(seed), Killer()
    with Endpoint(model, delay_s=DELAY_S) as endpoint:
        scenario = written(root, endpoint.base_url, keys=rng.choice(KEYS))

        def run(run_id: str, **settings: Any) -> Any:
            return SimulationOrchestrator(
                scenario, output_root=root / "runs", run_id=run_id, **settings
            )

        level = rng.choice(["MILESTONE", "DECISION", "STATE", "DETAIL"])
        settings = {"verbosity": level, "mode": rng.choice(["sync", "async"])}
        whole = run("whole", **settings).run()
        requests = _bodies(endpoint, 0)
        model.kill(
            lambda: run("killed", **settings).run(),
            rng.randint(1, requests.total()),
            rng.uniform(0, 3 * DELAY_S),
        )
        # its answer comes after the endpoint has read all that the killed process had sent
        urllib.request.urlopen(endpoint.base_url, b"{}").close()
        folder, sent = root / "runs" / "killed", _bodies(endpoint, requests.total())
        recorded = len(read_outcomes(folder))
        is_ended = (folder / "result.json").exists()
        final_state = whole.final_state if is_ended else resume(folder).run().final_state
        paid = _bodies(endpoint, requests.total())
        twice = (paid - requests).total()
        differences = [] if whole.status == "completed" else [f"the whole run {whole.status}"]
        if requests - paid or set(paid) != set(requests):
            differences.append("other requests than those of the whole run")
        if twice > min(AGENTS, sent.total() - recorded):
            differences.append(f"{twice} paid twice, {sent.total() - recorded} were in flight")
        if final_state != whole.final_state:
            differences.append("another final state")
        differences += unlike(_events(whole.output_dir), _events(folder))
        played = replay(folder)
        if played.sha256 != replay(whole.output_dir).sha256:
            differences.append("another content hash")
        if played.step:
            differences.append(f"replay: {played.step}: {played.difference}")
    seen.update(kills=1, calls=requests.total(), paid_twice=twice, ended_before=is_ended)
    return [f"{level}: {difference}" for difference in differences]


def _bodies(endpoint: Endpoint, start: int) -> Counter[str]:
    """Returns how often each request came, from the one at `start` on."""
    return Counter(json.dumps(one.body) for one in endpoint.requests[start:] if one.body)
