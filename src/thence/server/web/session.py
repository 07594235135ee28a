"""The sessions of coding agents on the page of their log: prompts, and what followed each."""

from collections import Counter
from collections.abc import Iterator, Sequence

from thence.core.bodies import first_key, put_back
from thence.core.event import Event, decoded
from thence.core.failures import is_failure
from thence.core.markup import Child, Column, Html, el, joined, link, moment, path, table, words
from thence.core.query.filter import Filter
from thence.core.sentences.events import clipped, counted, duration
from thence.core.sentences.events import line as in_line
from thence.log.index.overview import LogFacts, standing
from thence.log.index.query import page
from thence.server.logs.root import OpenLog
from thence.server.web.parts import event_link, numbers, seconds_between
from thence.server.web.verdict import SESSION, since

OPEN_MAX = 50
SESSIONS_MAX = 20
# of each session, the newest ones
EVENTS_MAX = 5_000
# the newest prompts that name sessions
PROMPTS_READ_MAX = 1_000
PROMPTS_MAX = 25
PROMPT_CHARACTERS_MAX = 160
_TYPES = ("prompt", "tool.begun", "tool.ended", "tool.failed", "commit")
_COLUMNS = (
    Column("Time (UTC)"),
    Column("Prompt", "what"),
    *numbers("Calls", "Longest", "Failures", "Files", "Commits"),
)


def sessions_section(log: OpenLog, facts: LogFacts) -> Html:
    """Returns what is in flight, and the newest sessions with their prompts.

    Raises `read_failed`.
    """
    now = standing(log.index, OPEN_MAX)
    in_flight = [
        el("li", event_link(log, event), since(event, facts))
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
