"""The sessions of coding agents on the page of their log: prompts, and what followed each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from thence.core.bodies import first_key, put_back
from thence.core.event import Event, decoded
from thence.core.markup import Child, Column, Html, el, joined, link, moment, path, table, words
from thence.core.sentences.events import clipped, counted
from thence.core.sentences.events import line as in_line
from thence.log.index.overview import LogFacts, StreamEvents, newest_streams, standing
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.web.parts import event_link
from thence.server.web.verdict import SESSION, since

OPEN_MAX = 50
SESSIONS_MAX = 20
# of each session, the newest ones
EVENTS_MAX = 10_000
PROMPTS_MAX = 25
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
    reads = {"prompt": PROMPTS_MAX, "tool.ended": EVENTS_MAX}
    streams, events = newest_streams(log.index, _TYPES, SESSIONS_MAX + 1, EVENTS_MAX, reads)
    sections = [_session(log, stream, events) for stream in streams[:SESSIONS_MAX]]
    if len(streams) > SESSIONS_MAX:
        text = f"The {SESSIONS_MAX:,} newest sessions are shown."
        sections.append(el("p", text, class_="quiet"))
    if in_flight:
        sections.insert(0, el("ul", *in_flight, class_="events"))
        part = f": the last {OPEN_MAX:,} of {now.open_steps:,}" * (now.open_steps > OPEN_MAX)
        sections.insert(0, el("h3", f"In flight when it ended{part}"))
    return joined(el("h2", "Sessions", id="sessions"), *sections) if sections else Html()


def _session(log: FoundLog, stream: StreamEvents, read: Mapping[int, Event]) -> Html:
    """Returns a session's prompts that were read, with what followed each up to the next."""
    rows: list[Sequence[Child]] = []
    end, number, who = len(stream.events), 0, ""
    for place in range(end - 1, -1, -1):
        arrival, kind, _ = stream.events[place]
        if kind == "prompt":
            prompt, number = read.get(arrival), number + 1
            if prompt is not None:
                who, followed = who or prompt.actor or "", stream.events[place + 1 : end]
                counts = Counter(kind for _, kind, _ in followed)
                failures = sum(is_failed for *_, is_failed in followed)
                edits = [read[at] for at, kind, _ in followed if kind == "tool.ended"]
                files = len({name for edit in edits for name in edited_paths(edit)})
                numbers = (counts["tool.begun"], failures, files, counts["commit"])
                texts = [f"{number:,}" if number else None for number in numbers]
                text = event_link(log, prompt, first_words(prompt))
                rows.append((moment(prompt.timestamp), text, *texts))
            end = place
    name = link(words(stream.name, 60), path("runs", log.id, stream=stream.name))
    caption = counted(number, "prompt")
    caption += f", the last {len(rows):,} of them shown" if number > len(rows) else ""
    caption += "; what is earlier is not counted" if stream.is_cut else ""
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
