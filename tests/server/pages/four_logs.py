"""Four logs that people ask about: a society, an agent's session, a traced program, a board."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from tests.server.test_board_page import write
from tests.sim.models.endpoint import FAULTS, Endpoint, Reply, completion
from tests.sim.models.village import ENGINE, act, user, written
from tests.trace.agents.played import PlayedRepository, Session
from tests.work.project_events import planned

import thence
from thence.otel import SpanProcessor
from thence.sim import SimulationConfig, SimulationOrchestrator

PEOPLE = [f"p{number:02}" for number in range(14)]
SLOW_REQUEST = 17


def make_logs(root: Path) -> None:
    """Makes the logs society, agents, shop and project in a folder."""
    _make_society(root)
    _make_session(root)
    _make_trace(root)
    _make_board(root)


def _make_society(root: Path) -> None:
    """People who ask models: p05 always answers in prose, p02 is refused at times, p13 is wordy."""
    asked = dict.fromkeys(PEOPLE, 0)

    def answer(body: dict[str, Any]) -> str | Reply:
        (who,) = (name for name in PEOPLE if f"You are {name}." in user(body))
        asked[who] += 1
        if who == "p05":
            return f"I would rather keep it all, said p05 for the {asked[who]}. time."
        if who == "p02" and asked[who] < 3:
            return FAULTS["bad_request"]
        usage = {"prompt_tokens": 90, "completion_tokens": 40 if who == "p13" else 4}
        to = PEOPLE[(PEOPLE.index(who) + 1) % len(PEOPLE)]
        return Reply(completion(act("give", to=to, amount=1)) | {"usage": usage})

    others = "".join(f"  - {{<<: *agent, name: {name}}}\n" for name in PEOPLE[1:])
    changes = {"[ann, ben, cleo]": f"[{', '.join(PEOPLE)}]", "name: ann": f"name: {PEOPLE[0]}"}
    changes["max_turns: 4"] = "max_turns: 8"
    changes["  - {<<: *agent, name: ben}\n  - {<<: *agent, name: cleo}\n"] = others
    with Endpoint(answer) as at:
        scenario = written(root / ".society", at.base_url, **changes)
        text = ENGINE.replace('["ann", "ben", "cleo"]', repr(PEOPLE))
        (scenario.parent / "gifts.py").write_text(text)
        config = SimulationConfig.from_file(scenario)
        run = SimulationOrchestrator(config, output_root=root, run_id="society").run
        with ThreadPoolExecutor() as threads:  # no event loop runs there
            threads.submit(run).result()


def _make_session(root: Path) -> None:
    """Two prompts of a coding agent, a command that failed, a call in flight."""
    played = PlayedRepository(root / ".shop", {"pay.py": "def pay(total):\n    return total\n"})
    agent = Session(played, "s1", ask="Retry a payment when the bank's gateway times out")

    def call(command: str, lasted_s: float = 0.0, **ended: object) -> None:
        facts = agent.facts(tool="Bash", input={"command": command})
        its = (f"tool/{command}", agent.actor, agent.name, (agent.cause,))
        begun = played.record("tool.begun", facts, *its, begins=True)
        time.sleep(lasted_s)
        if ended:
            kind = "tool.failed" if "error" in ended else "tool.ended"
            facts = agent.facts(tool="Bash", **ended)
            played.record(kind, facts, *its, ends=begun.event_id)

    for number in range(60):
        call(f"grep -rn retry {number}", output="none")
    call("pytest tests/pay", 0.4, output="no gateway answers\n" * 200)
    call("git push", 0.1, error="remote: no such branch: retry-pay")
    agent.edit("pay.py", "return total", "return total or 0")
    agent.commit("Retry a payment")
    agent.ask("Now write it down")
    call("mkdocs build", 0.6, output="built")
    call("mkdocs serve")
    played.log.close()
    shutil.copytree(played.top / ".git/thence/agents", root / "agents")


def _make_trace(root: Path) -> None:
    """Requests to a traced shop that asks two models; it is killed while it sends a receipt."""
    log, provider = thence.open(root / "shop"), TracerProvider()
    provider.add_span_processor(SpanProcessor(log))
    tracer = provider.get_tracer("shop")

    def chat(model: str, tokens: int, cost: float) -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        with tracer.start_as_current_span(f"chat {model}", attributes=attributes) as span:
            used = {"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.cost": cost}
            span.set_attributes(used)

    def step(name: str, lasted_s: float) -> None:
        with tracer.start_as_current_span(name):
            time.sleep(lasted_s)

    for number in range(25):
        with tracer.start_as_current_span("checkout", attributes={"order": number}):
            chat("small-1", 300 + number, 0.001)
            step("reserve stock", 0.02)
            step("ask the bank", 0.3 if number == SLOW_REQUEST else 0.01)
            chat("large-2", 2_000, 0.04)
    step("sweep carts", 0.1)
    tracer.start_span("send the receipt")
    log.close()


def _make_board(root: Path) -> None:
    """Nine packages: one waits for another, one was sent back, one changed hands."""
    clone = planned(count=9, WP03=["WP01"], WP04=["WP02", "WP03"])
    clone.move("WP01", "planned", "doing", actor="ada")
    clone.move("WP01", "doing", "for_review", actor="ada")
    clone.move("WP01", "for_review", "done", actor="eve")
    clone.move("WP02", "planned", "doing", actor="cleo")
    clone.move("WP02", "doing", "for_review", actor="cleo")
    clone.move("WP02", "for_review", "doing", actor="eve", reason="the lock leaks")
    clone.move("WP02", "doing", "for_review", actor="cleo")
    clone.move("WP03", "planned", "doing", actor="ada")
    clone.move("WP03", "doing", "planned", actor="ada")
    clone.move("WP03", "planned", "doing", actor="ben")
    for _ in range(100):
        clone.tell("HistoryAdded", {"wp_id": "WP05", "entry_type": "note", "entry_content": "x"})
    write(root, clone)
