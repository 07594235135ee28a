"""Twelve questions on four logs, written down before the pages were looked at.

Each is asked as a person asks it, and answered in three clicks from home; words that are typed
and sent count as one. What is true is computed from the log.
"""

import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace import TracerProvider
from playwright.sync_api import Locator
from tests.server.pages.browser import LANES, NOTED, Tab, tab_of
from tests.server.runs import make_village
from tests.server.serving import Serving, serving
from tests.server.test_board_page import write
from tests.sim.models.endpoint import FAULTS as OF_ENDPOINTS
from tests.sim.models.endpoint import Reply, completion
from tests.sim.models.village import ENGINE, act, user
from tests.tiers import some
from tests.trace.agents.played import PlayedRepository, Session
from tests.work.project_events import planned

import thence
from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.failures import is_failure
from thence.log.open import open_log
from thence.otel import SpanProcessor

PEOPLE = [f"p{number:02}" for number in range(14)]
SLOW_REQUEST = 17
CLICKS_MAX = 3


class Visitor:
    """A person at the home page, whose clicks and keys are counted."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.clicks = 0
        tab.go("/")

    def click(self, what: Locator) -> None:
        self.clicks += 1
        what.click()

    def open(self, log: str) -> None:
        """Clicks the link to the page of a run, a log or a sweep."""
        self.click(self.tab.page.locator(f'a[href="/runs/{log}"]').first)

    def follow(self, words: str) -> None:
        """Clicks the first link of these words."""
        self.click(self.tab.page.get_by_role("link", name=words, exact=True).first)

    def press(self, button: str) -> None:
        self.click(self.tab.page.get_by_role("button", name=button, exact=True))

    def click_at(self, x: float, y: float) -> None:
        """Clicks a place of the lanes."""
        self.clicks += 1
        self.tab.page.locator(LANES).click(position={"x": x, "y": y})

    def sees(self, *words: str, within: str = "main") -> None:
        """Waits until words are seen in a part of the page."""
        part = self.tab.page.locator(within).first
        self.tab.wait(lambda: all(one in (part.inner_text() or "") for one in words))


class Asked(NamedTuple):
    """Who asks, and what is true."""

    visitor: Visitor
    events: list[Event]

    def failed(self) -> list[Event]:
        return [event for event in self.events if is_failure(event)]

    def longest(self, cause: Event | None = None) -> Event:
        """Returns the begin of what lasted longest, of all or of what an event caused."""
        begun = {event.event_id: event for event in self.events if event.begins}
        lasted = {
            event.ends: microseconds(event.timestamp) - microseconds(begun[event.ends].timestamp)
            for event in self.events
            if event.ends and (cause is None or cause.event_id in begun[event.ends].caused_by)
        }
        return begun[max(lasted, key=lasted.__getitem__)]

    def listed(self, count: int) -> list[str]:
        """Returns the ids of the events in the list of the page, once it has so many."""
        self.visitor.sees(f"{count} events, in total order")
        links = self.visitor.tab.page.locator("#events ~ div td a").all()
        return [(link.get_attribute("href") or "").rpartition("/")[2] for link in links]

    def unfold(self, words: str) -> None:
        self.visitor.click(self.visitor.tab.page.locator("summary", has_text=words))

    def row(self, words: str) -> str:
        """Returns the text of the row of a table that has a cell of these words."""
        cell = self.visitor.tab.page.locator(f'tr:has(:text-is("{words}"))').first
        return " ".join(cell.inner_text().split())


def fails_most(asked: Asked) -> None:
    errors = Counter(event.payload["error"] for event in asked.failed())
    ((error, count),) = errors.most_common(1)
    first = next(event for event in asked.failed() if event.payload["error"] == error)
    asked.unfold("Where did it go")
    assert asked.row(error).endswith(f" {count}")
    asked.visitor.follow(error)
    assert asked.listed(count)[0] == first.event_id


def p05_answered(asked: Asked) -> None:
    tab = asked.visitor.tab
    asked.visitor.click_at(800, tab.wait(lambda: tab.run("window.written['agent/p05']"))[1])
    asked.visitor.sees("the answer could not be used", within="aside h1")
    shown = tab.page.locator("aside dd .id").first.inner_text()
    (failed,) = (event for event in asked.failed() if event.event_id == shown)
    assert failed.actor == "p05"
    asked.visitor.sees("Model, answer", failed.payload["answer"], within="aside")


def most_tokens(asked: Asked) -> None:
    used = Counter[str]()
    for event in asked.events:
        used[event.actor or ""] += event.payload.get("tokens_in") or 0
        used[event.actor or ""] += event.payload.get("tokens_out") or 0
    ((agent, tokens),) = used.most_common(1)
    asked.unfold("Where did it go")
    assert f" {tokens:,} " in asked.row(agent)


def call_took_longest(asked: Asked) -> None:
    prompt = next(event for event in asked.events if event.event_type == "prompt")
    longest = asked.longest(prompt)
    row = asked.visitor.tab.page.get_by_role("row").filter(has_text="Retry a payment").first
    asked.visitor.click(row.get_by_role("link").last)
    asked.visitor.sees(longest.payload["input"]["command"], within="h1")


def command_failed(asked: Asked) -> None:
    (failed,) = asked.failed()
    (begun,) = (event for event in asked.events if event.event_id == failed.ends)
    asked.visitor.press("Next failure")
    asked.visitor.sees(failed.payload["error"], within="aside h1")
    asked.visitor.sees(begun.payload["input"]["command"], within="aside .why")


def gateway_is_said(asked: Asked) -> None:
    said = [event.event_id for event in asked.events if "gateway" in str(event.payload)]
    asked.visitor.clicks += 1
    asked.visitor.tab.page.get_by_label("Words, or key > value").fill("gateway")
    asked.visitor.tab.page.keyboard.press("Enter")
    assert asked.listed(len(said)) == said


def cost_by_model(asked: Asked) -> None:
    costs = defaultdict[str, float](float)
    for event in asked.events:
        attributes = event.payload.get("attributes") or {}
        costs[attributes.get("gen_ai.request.model")] += attributes.get("gen_ai.usage.cost", 0.0)
    asked.unfold("Where did it go")
    for model in ("small-1", "large-2"):
        assert asked.row(model).endswith(f" {costs[model]:.4g}")


def in_flight(asked: Asked) -> None:
    ended = {event.ends for event in asked.events}
    (begun,) = (event for event in asked.events if event.begins and event.event_id not in ended)
    verdict = asked.visitor.tab.page.locator(".verdict")
    assert "1 open: " in verdict.inner_text()
    link = verdict.get_by_role("link", name=begun.event_type.removesuffix(".begun"))
    assert (link.get_attribute("href") or "").endswith(begun.event_id)


def request_waited_for(asked: Asked) -> None:
    slowest, page = asked.longest(), asked.visitor.tab.page
    asked.visitor.click(page.locator(".verdict").get_by_role("link").last)
    asked.visitor.sees(f"order {slowest.payload['attributes']['order']}", within="h1")
    seconds = dict[str, float]()
    for part in page.locator("h2:text-is('Direct effects') + ul li").all():
        if lasted := re.search(r"\(([0-9.]+) (m?)s\)$", part.inner_text()):
            begun = (part.locator("a").get_attribute("href") or "").rpartition("/")[2]
            seconds[begun] = float(lasted[1]) / (1_000 if lasted[2] else 1)
    assert len(seconds) == 4
    assert max(seconds, key=seconds.__getitem__) == asked.longest(slowest).event_id


def package_waits(asked: Asked) -> None:
    lanes, who, needs = dict[str, str](), dict[str, str](), dict[str, list[str]]()
    for event in asked.events:
        payload, wp_id = event.payload, event.payload.get("wp_id", "")
        if event.event_type == "WPCreated":
            lanes[wp_id], needs[wp_id] = "planned", payload.get("dependencies", [])
        elif event.event_type == "WPStatusChanged":
            lanes[wp_id], who[wp_id] = payload["new_status"], event.actor or ""
    page = asked.visitor.tab.page
    page.wait_for_selector(".board")
    for wp_id, wanted in needs.items():
        (card,) = page.locator(".board li").filter(has=page.get_by_role("link", name=wp_id)).all()
        waits = [f"{one} ({who[one]})" for one in wanted if lanes[one] != "done"]
        after = card.inner_text().partition("after ")[2]
        assert after.partition("\n")[0] == ", ".join(waits), wp_id


def sent_back(asked: Asked) -> None:
    moves = [event for event in asked.events if event.payload.get("wp_id") == "WP02"]
    (reason,) = (move.payload["reason"] for move in moves if "reason" in move.payload)
    asked.visitor.click(asked.visitor.tab.page.locator(".board").get_by_role("link", name="WP02"))
    asked.visitor.sees(f"to doing: {reason}", within=".why")


def had_it_before(asked: Asked) -> None:
    moves = [event for event in asked.events if event.payload.get("wp_id") == "WP03"]
    claims = [move.actor for move in moves if move.payload.get("new_status") == "doing"]
    before, now = claims[-2:]
    asked.visitor.click(asked.visitor.tab.page.locator(".board").get_by_role("link", name="WP03"))
    asked.visitor.sees(f"{now} moved", within="h1")
    asked.visitor.sees(f"{before} moved", "from planned to doing", within=".why")


# by log, with the clicks of each, from home
QUESTIONS: dict[str, tuple[str, int, Callable[[Asked], None]]] = {
    "Which failure occurs most often, and where is its first event?": ("society", 3, fails_most),
    "What did p05's model answer when it failed?": ("society", 2, p05_answered),
    "Which agent used the most tokens?": ("society", 2, most_tokens),
    "Which call of this turn took longest?": ("agents", 2, call_took_longest),
    "Which command failed, and what did it print?": ("agents", 2, command_failed),
    'Where is the word "gateway" said?': ("agents", 2, gateway_is_said),
    "What did this trace cost, by model?": ("shop", 2, cost_by_model),
    "What was in flight when the program was killed?": ("shop", 1, in_flight),
    "What did the slowest request wait for?": ("shop", 2, request_waited_for),
    "Which package waits for whom?": ("project", 1, package_waits),
    "Why was WP02 sent back?": ("project", 2, sent_back),
    "Who had WP03 before ben took it?": ("project", 2, had_it_before),
}
# whose last view test_axe.py does not have: unfolded tables, an open panel, found events
_NEW_VIEWS = (most_tokens, p05_answered, gateway_is_said)


def _make_society(root: Path) -> None:
    """People who ask models: p05 always answers in prose, p02 is refused at times, p13 is wordy."""
    asked = dict.fromkeys(PEOPLE, 0)

    def answer(body: dict[str, Any]) -> str | Reply:
        (who,) = (name for name in PEOPLE if f"You are {name}." in user(body))
        asked[who] += 1
        if who == "p05":
            return f"I would rather keep it all, said p05 for the {asked[who]}. time."
        if who == "p02" and asked[who] < 3:
            return OF_ENDPOINTS["bad_request"]
        usage = {"prompt_tokens": 90, "completion_tokens": 40 if who == "p13" else 4}
        to = PEOPLE[(PEOPLE.index(who) + 1) % len(PEOPLE)]
        return Reply(completion(act("give", to=to, amount=1)) | {"usage": usage})

    others = "".join(f"  - {{<<: *agent, name: {name}}}\n" for name in PEOPLE[1:])
    changes = {"[ann, ben, cleo]": f"[{', '.join(PEOPLE)}]", "name: ann": f"name: {PEOPLE[0]}"}
    changes["max_turns: 4"] = "max_turns: 8"
    changes["  - {<<: *agent, name: ben}\n  - {<<: *agent, name: cleo}\n"] = others
    engine = ENGINE.replace('["ann", "ben", "cleo"]', repr(PEOPLE))
    make_village(root, "society", answer, engine, **changes)


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


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Serving]]:
    root = tmp_path_factory.mktemp("logs")
    for make in (_make_society, _make_session, _make_trace, _make_board):
        make(root)
    with serving(root) as server:
        yield root, server


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("question", some(QUESTIONS, 4, "questions"))
@pytest.mark.whole
def test_question_takes_its_clicks(browser, logs, question):
    root, server = logs
    name, clicks, answer = QUESTIONS[question]
    with open_log(root / name, create=False) as log:
        events = list(log.read())
    with tab_of(browser, server.url) as tab:
        tab.page.add_init_script(NOTED)
        visitor = Visitor(tab)
        visitor.open(name)
        answer(Asked(visitor, events))
        assert visitor.clicks == clicks <= CLICKS_MAX
        for scheme in ("light", "dark") if answer in _NEW_VIEWS else ():
            tab.page.emulate_media(color_scheme=scheme)
            assert tab.faults() == [], scheme
