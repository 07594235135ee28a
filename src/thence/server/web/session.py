"""Coding agents on the page of their log: its verdict, its sessions, what followed each prompt."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from thence.core.bodies import first_key, put_back
from thence.core.event import Event, decoded
from thence.core.failures import is_failure
from thence.core.markup import Child, Column, Html, el, joined, link, moment, path, table, words
from thence.core.query.filter import Filter
from thence.core.sentences.events import agent_sentence, clipped, counted, duration
from thence.core.sentences.events import line as in_line
from thence.log.index.overview import LogFacts, Standing, standing
from thence.log.index.query import page
from thence.server.logs.root import OpenLog
from thence.server.web.parts import event_link, numbers, seconds_between

OPEN_MAX = 50
SESSIONS_MAX = 20
# of each session, the newest ones
EVENTS_MAX = 5_000
# the newest prompts that name sessions
PROMPTS_READ_MAX = 1_000
PROMPTS_MAX = 25
PROMPT_CHARACTERS_MAX = 160
SESSION = "session.begun"
_OF_AGENTS = ((SESSION, "session"), ("prompt", "prompt"), ("commit", "commit"))
_TYPES = ("prompt", "tool.begun", "tool.ended", "tool.failed", "commit")
_COLUMNS = (
    Column("Time (UTC)"),
    Column("Prompt", "what"),
    *numbers("Calls", "Longest", "Failures", "Files", "Commits"),
)
cut_link = partial(event_link, characters_max=160)


def is_of_agents(log: OpenLog, facts: LogFacts) -> bool:
    """Reports whether a bridge of coding agents wrote the log's sessions or prompts."""
    types = tuple(name for name, _ in _OF_AGENTS if name in facts.by_type)
    return any(map(agent_sentence, page(log.index, Filter(types=types), limit=1)))


def agents_verdict(log: OpenLog, facts: LogFacts, now: Standing) -> Iterator[list[Child]]:
    """Yields the parts of the verdict: what was in flight, and how many there are."""
    working = [event for event in now.newest if event.event_type != SESSION]
    if working:
        link = cut_link(log, working[0])
        yield ["in flight when it ended: ", link, _since(working[0], facts)]
    else:
        yield ["nothing was in flight when it ended"]
    named = [(facts.by_type.get(name, 0), noun) for name, noun in _OF_AGENTS]
    yield [", ".join(counted(number, noun) for number, noun in named if number)]


def _since(begin: Event, facts: LogFacts) -> str:
    """Returns how long before the log's last event something began."""
    seconds = seconds_between(begin.timestamp, facts.last.timestamp if facts.last else "")
    return f" ({duration(seconds)})" if seconds >= 1 else ""


def sessions_section(log: OpenLog, facts: LogFacts) -> Html:
    """Returns what is in flight, and the newest sessions with their prompts.

    Raises `read_failed`.
    """
    now = standing(log.index, OPEN_MAX)
    in_flight = [
        el("li", event_link(log, event), _since(event, facts))
        for event in now.newest
        if event.event_type != SESSION
    ]
    prompts = page(log.index, Filter(types=("prompt",)), limit=PROMPTS_READ_MAX, descending=True)
    names = [*dict.fromkeys(event.stream for event in prompts if event.stream)]
    sections = [_session(log, name) for name in names[:SESSIONS_MAX]]
    if len(names) > SESSIONS_MAX:
        text = f"The {SESSIONS_MAX:,} newest sessions are shown."
        sections.append(el("p", text, class_="quiet"))
    if in_flight:
        sections.insert(0, el("ul", *in_flight, class_="events"))
        part = f": the last {OPEN_MAX:,} of {now.open_steps:,}" * (now.open_steps > OPEN_MAX)
        sections.insert(0, el("h3", f"In flight when it ended{part}"))
    return joined(el("h2", "Sessions", id="sessions"), *sections) if sections else Html()


def _session(log: OpenLog, stream: str) -> Html:
    """Returns the newest prompts of a session, with what followed each up to the next.

    That of the call that took longest leads to the call.
    """
    its = Filter(types=_TYPES, streams=(stream,))
    found = page(log.index, its, limit=EVENTS_MAX, descending=True)
    rows: list[Sequence[Child]] = []
    followed, number, who = list[Event](), 0, ""
    for event in found:
        if event.event_type != "prompt":
            followed.append(event)
            continue
        number += 1
        if number <= PROMPTS_MAX:
            who = who or event.actor or ""
            counts = Counter(one.event_type for one in followed)
            ended = (one for one in followed if one.event_type == "tool.ended")
            files = {name for one in ended for name in edited_paths(one)}
            failures = sum(map(is_failure, followed))
            begun = {one.event_id: one for one in followed if one.begins}
            lasted = [
                (seconds_between(begun[one.ends].timestamp, one.timestamp), one.ends)
                for one in followed
                if one.ends in begun
            ]
            longest: Child = None
            if lasted:
                seconds, call = max(lasted)
                longest = event_link(log, begun[call], duration(seconds))
            each = (counts["tool.begun"], failures, len(files), counts["commit"])
            calls, *texts = (f"{number:,}" if number else None for number in each)
            text = event_link(log, event, first_words(event))
            rows.append((moment(event.timestamp), text, calls, longest, *texts))
        followed = []
    name = link(words(stream, 60), path("runs", log.id, stream=stream))
    caption = counted(number, "prompt")
    caption += f", the last {len(rows):,} of them shown" if number > len(rows) else ""
    caption += "; what is earlier is not counted" if found.has_more else ""
    heading = el("h3", words(who or "an agent", 60), ", session ", name)
    return joined(heading, table(caption, _COLUMNS, rows[::-1]))


def edited_paths(event: Event) -> Iterator[str]:
    """Yields the paths of the files that an ended call edited."""
    if b'"files"' not in event.line:
        return
    payload = event.cut_payload
    entries = [entry for entry in event.body_entries if first_key(entry.pointer) == "files"]
    put_back(payload, entries, event.vocabulary.bodies, decoded)
    files = payload.get("files")
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and isinstance(file.get("path"), str):
            yield file["path"]


def first_words(prompt: Event) -> str:
    """Returns the beginning of a prompt in one line."""
    text = prompt.cut_payload.get("prompt")
    if not isinstance(text, str) or not text.strip():
        return "an empty prompt"
    is_cut = any(first_key(entry.pointer) == "prompt" for entry in prompt.body_entries)
    return clipped(in_line(text) + "…" * is_cut, PROMPT_CHARACTERS_MAX)
