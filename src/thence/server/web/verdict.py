"""The first line of a log's page: what matters most of a log of its kind.

It says what the index knows without reading many lines; what is not known is left out.
"""

from collections.abc import Iterator
from functools import partial

from thence.core.event import Event
from thence.core.markup import Child, Html, el, path, words
from thence.core.query.filter import Filter
from thence.core.sentences.events import agent_sentence, counted, duration
from thence.core.vocabulary import WORK
from thence.log.index.overview import LogFacts, Standing, longest_step, standing
from thence.log.index.query import count, page
from thence.server.logs.root import OpenLog
from thence.server.logs.summaries import RunRecord
from thence.server.web.parts import event_link, failures_link, seconds_between

# to count refused actions, the lines of so many events are searched
REFUSED_READ_MAX = 5_000
_OPEN_READ_MAX = 20
_cut_link = partial(event_link, characters_max=160)
SESSION = "session.begun"
_OF_AGENTS = ((SESSION, "session"), ("prompt", "prompt"), ("commit", "commit"))


def verdict(log: OpenLog, run: RunRecord, facts: LogFacts, board: list[Child]) -> Html:
    """Returns the line; `board` is what a board says of its packages. Raises `read_failed`."""
    now = standing(log.index, _OPEN_READ_MAX)
    failures = failures_link(log, facts.failures, counted(facts.failures, "failure"))
    if log.is_simulation and (facts.events or run.ended.decisions):
        parts = [*_of_run(log, run, facts, now)]
    elif not facts.events:
        parts = [["no events yet"]]
    elif log.vocabulary.name == WORK.name:
        parts = [board, [failures] if facts.failures else []]
    elif is_of_agents(log, facts):
        parts = [*_of_agents(log, facts, now), [failures] if facts.failures else []]
    elif now.steps:
        of_steps = f" of {counted(now.steps, 'step')}"
        newest = [": ", _cut_link(log, now.newest[0])] if now.newest else []
        parts = [[failures, of_steps], [f"{now.open_steps:,} open", *newest]]
        if longest := longest_step(log.index, log.longest):
            lasted = f" ({duration(longest[1])})"
            parts.append(["the longest: ", _cut_link(log, longest[0]), lasted])
    else:
        parts = [[failures, f" of {counted(facts.events, 'event')}"]]
    if facts.damaged_lines:
        parts.append([counted(facts.damaged_lines, "damaged line")])
    line = [child for part in parts if part for child in ("; ", *part)][1:]
    is_bad = facts.failures or (log.is_simulation and run.ended.text != run.status)
    return el("p", *line, class_="verdict bad" if is_bad else "verdict") if line else Html()


def _of_run(log: OpenLog, run: RunRecord, facts: LogFacts, now: Standing) -> Iterator[list[Child]]:
    yield [words(run.status, 40), f", {counted(facts.turns, 'turn')}"]
    decisions, number = run.ended.decisions, counted(facts.failures, "failure")
    failures, results = failures_link(log, facts.failures, number), list[Child]()
    if decisions and run.ended.text != run.status:  # it names the decisions that failed
        failed = path("runs", log.id, type="SYSTEM", where="error_type = agent_failed") + "#events"
        results = [el("a", decisions, href=failed), ", ", failures]
    elif decisions:
        results = [decisions, *((", ", failures) if facts.failures else ())]
    else:
        results = [failures]
    is_short = decisions and facts.by_type.get("SYSTEM", 0) <= REFUSED_READ_MAX
    if is_short and (refused := count(log.index, _REFUSED)):
        asked = path("runs", log.id, type="SYSTEM", where=_REJECTED) + "#events"
        results += [", ", el("a", counted(refused, "action") + " rejected", href=asked)]
    yield results
    if now.tokens is not None:
        yield [counted(now.tokens, "token"), "" if now.cost is None else f", cost {now.cost:.3g}"]


_REJECTED = "error_type = action_rejected"
_REFUSED = Filter.of(type="SYSTEM", where=_REJECTED)


def is_of_agents(log: OpenLog, facts: LogFacts) -> bool:
    """Reports whether a bridge of coding agents wrote the log's sessions or prompts."""
    types = tuple(name for name, _ in _OF_AGENTS if name in facts.by_type)
    return any(map(agent_sentence, page(log.index, Filter(types=types), limit=1)))


def _of_agents(log: OpenLog, facts: LogFacts, now: Standing) -> Iterator[list[Child]]:
    working = [event for event in now.newest if event.event_type != SESSION]
    if working:
        link = _cut_link(log, working[0])
        yield ["in flight when it ended: ", link, since(working[0], facts)]
    else:
        yield ["nothing was in flight when it ended"]
    named = [(facts.by_type.get(name, 0), noun) for name, noun in _OF_AGENTS]
    yield [", ".join(counted(number, noun) for number, noun in named if number)]


def since(begin: Event, facts: LogFacts) -> str:
    """Returns how long before the log's last event something began."""
    seconds = seconds_between(begin.timestamp, facts.last.timestamp if facts.last else "")
    return f" ({duration(seconds)})" if seconds >= 1 else ""
