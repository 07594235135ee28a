"""The first line of a log's page: what matters most of a log of its kind.

It says what the index knows without reading many lines; what is not known is left out.
"""

from collections.abc import Iterator

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.failures import is_failure, is_rejection
from thence.core.markup import Child, Html, el, link, path, words
from thence.core.query.filter import Filter
from thence.core.sentences.events import agent_sentence, counted, duration
from thence.core.vocabulary import WORK
from thence.log.index.overview import LogFacts, Standing, longest_step, standing
from thence.log.index.query import count
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.logs.run_record import RunRecord

# to count refused actions, the lines of so many events are searched
REFUSED_READ_MAX = 5_000
_OPEN_READ_MAX = 20
_SENTENCE_CHARACTERS_MAX = 160
SESSION = "session.begun"
_OF_AGENTS = ((SESSION, "session"), ("prompt", "prompt"), ("commit", "commit"))


def verdict(
    log: OpenLog, location: FoundLog, run: RunRecord, facts: LogFacts, board: list[Child]
) -> Html:
    """Returns the line; `board` is what a board says of its packages. Raises `read_failed`."""
    now = standing(log.index, _OPEN_READ_MAX)
    failures = failures_link(location, facts.failures, counted(facts.failures, "failure"))
    if location.is_simulation and (facts.events or run.ended.decisions):
        parts = [*_of_run(log, location, run, facts, now)]
    elif not facts.events:
        parts = [["no events yet"]]
    elif location.vocabulary.name == WORK.name:
        parts = [board, [failures] if facts.failures else []]
    elif is_of_agents(log, facts):
        parts = [*_of_agents(log, location, facts, now), [failures] if facts.failures else []]
    elif now.steps:
        of_steps = f" of {counted(now.steps, 'step')}"
        parts = [[failures, of_steps], [f"{now.open_steps:,} open"], _longest(log, location)]
    else:
        parts = [[failures, f" of {counted(facts.events, 'event')}"]]
    if facts.damaged_lines:
        parts.append([counted(facts.damaged_lines, "damaged line")])
    line = [child for part in parts if part for child in ("; ", *part)][1:]
    is_bad = facts.failures or (location.is_simulation and run.ended.text != run.status)
    return el("p", *line, class_="verdict bad" if is_bad else "verdict") if line else Html()


def failures_link(location: FoundLog, failures: int, text: str) -> Child:
    """Returns a text about a log's failures as a link to them, if there are any."""
    return link(text, path("runs", location.id, failed="1") + "#events") if failures else text


def _of_run(
    log: OpenLog, location: FoundLog, run: RunRecord, facts: LogFacts, now: Standing
) -> Iterator[list[Child]]:
    yield [words(run.status, 40), f", {counted(facts.turns, 'turn')}"]
    decisions, number = run.ended.decisions, counted(facts.failures, "failure")
    results: list[Child] = [failures_link(location, facts.failures, decisions or number)]
    if facts.failures and decisions and run.ended.text == run.status:
        results = [decisions, ", ", failures_link(location, facts.failures, number)]
    if decisions and facts.by_type.get("SYSTEM", 0) <= REFUSED_READ_MAX:
        refused = count(log.index, _REFUSED)
        results.append(f", {counted(refused, 'action')} rejected")
    yield results
    if now.tokens is not None:
        yield [counted(now.tokens, "token"), "" if now.cost is None else f", cost {now.cost:.3g}"]


_REFUSED = Filter.of(type="SYSTEM", where="error_type = action_rejected")


def is_of_agents(log: OpenLog, facts: LogFacts) -> bool:
    """Reports whether a bridge of coding agents wrote the log's sessions or prompts."""
    types = tuple(name for name, _ in _OF_AGENTS if name in facts.by_type)
    return any(agent_sentence(event) for event in log.page(Filter(types=types), limit=1).events)


def _of_agents(
    log: OpenLog, location: FoundLog, facts: LogFacts, now: Standing
) -> Iterator[list[Child]]:
    working = [event for event in now.newest if event.event_type != SESSION]
    if working:
        text = words(log.vocabulary.summary(working[0]), _SENTENCE_CHARACTERS_MAX)
        address = path("runs", location.id, "events", working[0].event_id)
        yield ["in flight when it ended: ", link(text, address), since(working[0], facts)]
    else:
        yield ["nothing was in flight when it ended"]
    named = [(facts.by_type.get(name, 0), noun) for name, noun in _OF_AGENTS]
    yield [", ".join(counted(number, noun) for number, noun in named if number)]


def _longest(log: OpenLog, location: FoundLog) -> list[Child]:
    longest = longest_step(log.index)
    if longest is None:
        return []
    text = words(log.vocabulary.summary(longest[0]), _SENTENCE_CHARACTERS_MAX)
    address = path("runs", location.id, "events", longest[0].event_id)
    return ["the longest: ", link(text, address), f" ({duration(longest[1])})"]


def since(begin: Event, facts: LogFacts) -> str:
    """Returns how long before the log's last event something began."""
    times = (begin.timestamp, facts.last.timestamp if facts.last else "")
    start, last = map(microseconds, times)
    seconds = 0 if start is None or last is None else (last - start) / 1e6
    return f" ({duration(seconds)})" if seconds >= 1 else ""


def mark(event: Event) -> Html | None:
    """Returns the mark of an event that records a failure or a refused action; None of another."""
    text = "rejected" if is_rejection(event) else "failed" if is_failure(event) else None
    return None if text is None else el("span", text, class_=f"mark {text}")
