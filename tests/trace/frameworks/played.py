"""What a scene left: the spans that its tracer sent, and the events of its log."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import thence
from thence.core.event import Event

Key = tuple[str, str]


@dataclass
class Span:
    """A span as its tracer sent it; `end` is None where the process was killed before."""

    process: str
    start: dict[str, Any]
    end: dict[str, Any] | None = None

    @property
    def key(self) -> Key:
        return (self.start["span"]["trace_id"], self.start["span"]["span_id"])

    @property
    def parent(self) -> Key | None:
        parent = self.start["parent"]
        return parent and (parent["trace_id"], parent["span_id"])

    @property
    def name(self) -> str:
        return str(self.start["name"])


def taped(folder: Path) -> dict[Key, Span]:
    """Returns the spans of all processes of a scene, in the order of their starts."""
    lines = [
        (json.loads(line), path.stem)
        for path in folder.glob("spans-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    spans: dict[Key, Span] = {}
    for line, process in sorted(lines, key=lambda pair: int(pair[0]["time"])):
        key = (line["span"]["trace_id"], line["span"]["span_id"])
        if line["at"] == "start":
            spans[key] = Span(process, line)
        else:
            spans[key].end = line
    return spans


@dataclass
class Played:
    """A scene that was played; `unfinished` are the types that the command lists.

    `chains` are the types that the command `why` leads through, by the type it was asked about.
    Calls of another dialect than the conventions are judged by what `why` says alone.
    """

    spans: Mapping[Key, Span]
    events: list[Event]
    output: str = ""
    unfinished: list[str] = field(default_factory=list)
    chains: Mapping[str, list[str]] = field(default_factory=dict)
    findings: int = 0
    is_other_dialect: bool = False

    def __post_init__(self) -> None:
        self.begins = {
            (event.payload.get("trace_id"), event.payload.get("span_id")): event
            for event in self.events
            if event.begins
        }
        self.ends = {event.ends: event for event in self.events if event.ends}
        self.place = {event.event_id: place for place, event in enumerate(self.events)}

    def end_of(self, span: Span) -> Event | None:
        begin = self.begins.get(span.key)
        return begin and self.ends.get(begin.event_id)

    def lineage(self, key: Key | None) -> Iterator[Key]:
        """Yields a span's key and those of its ancestors."""
        while key is not None and (span := self.spans.get(key)):
            yield key
            key = span.parent


def looked_at(folder: Path, output: str, command: Path, whys: Iterable[str] = ()) -> Played:
    """Reads what a scene left, by the package and by the installed command."""

    def told(*words: str) -> Any:
        argv = [str(command), *words, "--log", "agent", "--json"]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    unfinished = [row["event"]["event_type"] for row in told("unfinished")["unfinished"]]
    chains = {kind: [one["event_type"] for one in told("why", kind)["chain"]] for kind in whys}
    with thence.open(folder / "agent") as opened:
        events, findings = list(opened.read()), opened.verify().findings
    return Played(taped(folder), events, output, unfinished, chains, len(findings))
