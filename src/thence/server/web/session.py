"""The sessions of coding agents on the page of their log: prompts, what followed, what is open."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from thence.agents.unfinished import read_end
from thence.core.bodies import first_key, put_back_readable
from thence.core.clock import microseconds
from thence.core.event import Event, decoded
from thence.core.markup import Child, Column, Html, el, joined, link, moment, path, table, words
from thence.core.sentences.events import clipped, counted, duration
from thence.core.sentences.events import line as in_line
from thence.index.overview import Course, newest_courses
from thence.server.logs.open_logs import OpenLog
from thence.server.logs.root import FoundLog

SESSIONS_MAX = 20
# of each of these sessions, the newest ones
EVENTS_MAX = 1_500
EDITS_READ_MAX = 100
PROMPTS_MAX = 25
OPEN_MAX = 50
PROMPT_CHARACTERS_MAX = 160
_TYPES = ("prompt", "tool.begun", "tool.ended", "tool.failed", "commit")
_COLUMNS = (
    Column("Time (UTC)"),
    Column("Prompt", "what"),
    Column("Calls", "number", "calls"),
    Column("Failures", "number", "failures"),
    Column("Files", "number", "files"),
    Column("Commits", "number", "commits"),
)


@dataclass
class _Asked:
    """A prompt, None for what came before the first one, and what followed it."""

    prompt: Event | None
    counts: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    files: set[str] = field(default_factory=set)
    has_unread_edits: bool = False


def files_link(location: FoundLog) -> Html:
    """Returns the link to the files of a log's repository."""
    return link("Files, with the owner of each line", path("runs", location.id, "files"))


def sessions_section(log: OpenLog, location: FoundLog) -> Html:
    """Returns the newest sessions with their prompts; raises `read_failed`."""
    reads = {"prompt": PROMPTS_MAX, "tool.ended": EDITS_READ_MAX}
    newest = newest_courses(log.index, _TYPES, SESSIONS_MAX, EVENTS_MAX, reads)
    in_flight = _in_flight(log, location)
    sections = [
        part
        for course in newest.streams
        for part in (
            _session(location, course, newest.read),
            _list(in_flight.pop(course.stream, [])),
        )
    ]
    rest = _list([item for items in in_flight.values() for item in items])
    if newest.has_more:
        text = f"The {len(newest.streams):,} newest sessions are shown."
        sections.append(el("p", text, class_="quiet"))
    if not sections and rest is None:
        return Html()
    return joined(el("h2", "Sessions", id="sessions"), *sections, rest)


def _session(location: FoundLog, course: Course, read: Mapping[int, Event]) -> Html:
    parts = _asked(course, read)
    number = sum(kind == "prompt" for _, kind, _ in course.events)
    prompts = [part for part in parts if part.prompt is not None]
    actor = next((part.prompt.actor for part in prompts if part.prompt), None)
    missing = number - len(prompts)
    name = link(words(course.stream, 60), path("runs", location.id, stream=course.stream))
    caption = counted(number, "prompt")
    caption += f", the last {len(prompts):,} of them shown" if missing else ""
    caption += "; what is earlier is not counted" if course.is_cut else ""
    return joined(
        el("h3", words(actor or "an agent", 60), ", session ", name),
        table(caption, _COLUMNS, [_row(location, part) for part in parts]),
    )


def _asked(course: Course, read: Mapping[int, Event]) -> list[_Asked]:
    """Returns the prompts of a session that were read, with what followed each."""
    parts = [_Asked(None)]
    for arrival, kind, is_failed in course.events:
        event = read.get(arrival)
        if kind == "prompt":
            parts.append(_Asked(event))
        part = parts[-1]
        part.counts[kind] += 1
        part.failures += is_failed
        if kind == "tool.ended":
            part.has_unread_edits |= event is None
            part.files.update(edited_paths(event) if event else ())
    first, *rest = parts
    keeps_first = bool(first.counts) and not course.is_cut
    return [first] * keeps_first + [part for part in rest if part.prompt is not None]


def edited_paths(event: Event) -> Iterator[str]:
    """Yields the paths of the files that an ended call edited."""
    payload = event.cut_payload
    entries = [entry for entry in event.body_entries if first_key(entry.pointer) == "files"]
    if entries:
        put_back_readable(payload, entries, event.vocabulary.bodies, decoded)
    files = payload.get("files")
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and isinstance(file.get("path"), str):
            yield file["path"]


def first_words(prompt: Event) -> str:
    """Returns the beginning of a prompt in one line."""
    text = prompt.cut_payload.get("prompt")
    if not isinstance(text, str):
        return ""
    is_cut = any(first_key(entry.pointer) == "prompt" for entry in prompt.body_entries)
    return clipped(in_line(text) + "…" * is_cut, PROMPT_CHARACTERS_MAX)


def _row(location: FoundLog, part: _Asked) -> Sequence[Child]:
    prompt, counts = part.prompt, part.counts
    what: Child = "before the first recorded prompt"
    if prompt is not None:
        what = event_link(location, prompt, first_words(prompt) or "an empty prompt")
    files = f"{len(part.files):,}{' or more' if part.has_unread_edits else ''}"
    numbers = (f"{counts['tool.begun']:,}", f"{part.failures:,}", files, f"{counts['commit']:,}")
    time = moment(prompt.timestamp) if prompt else None
    return time, what, *(None if number == "0" else number for number in numbers)


def event_link(location: FoundLog, event: Event, text: str) -> Html:
    """Returns a text as a link to the page of an event."""
    return link(words(text), path("runs", location.id, "events", event.event_id))


def _in_flight(log: OpenLog, location: FoundLog) -> dict[str, list[Html]]:
    """Returns what began and did not end, of the last so many steps, by stream."""
    end, ended = read_end(log.answers, log.folder, log.vocabulary, OPEN_MAX)
    now = datetime.now(UTC).isoformat()
    items: dict[str, list[Html]] = {}
    for event in end.still_open:
        if event.event_type == "session.begun":
            continue
        last = ended.get(event.event_id)
        begin_us, until_us = microseconds(event.timestamp), microseconds(last or now)
        lasted_s = (until_us - begin_us) / 1e6 if begin_us and until_us else 0
        span = f" for {duration(lasted_s)}" if lasted_s >= 1 else ""
        state = f"in flight{span}" if last is None else f"in flight{span} when its process ended"
        sentence = event_link(location, event, log.vocabulary.summary(event))
        items.setdefault(event.stream or "", []).append(joined(sentence, f", {state}"))
    return items


def _list(items: Iterable[Html]) -> Html | None:
    listed = [el("li", item) for item in items]
    return el("ul", *listed, class_="events") if listed else None
