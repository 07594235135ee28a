"""How right the log is about what was played: its calls, causes, owners, what is unfinished."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.agents.real.scenarios import Scenario
from tests.agents.real.stage import Stage

import thence

_SCRIPT = re.compile(r"SCRIPT:([\w-]+)")
_BY = re.compile(r"by:([\w-]+)")
_AGENT_ID = re.compile(r'agent_?[iI]d\\*"\s*:\s*\\*"([\w-]+)')
COLUMNS = ("calls", "causes", "prompts", "commits", "lines", "unfinished")


class Count(NamedTuple):
    """How many of one kind are right, of how many, and what is wrong."""

    right: int
    total: int
    faults: tuple[str, ...] = ()


def judge(stage: Stage, scenario: Scenario) -> dict[str, Count]:
    """Returns the counts of each column."""
    listed = json.loads(stage.sh("thence unfinished --json"))
    folder = stage.repo / ".git/thence/agents"
    with thence.open(folder) as log:
        events = {event.event_id: event for event in log.read()}
    story = _Story(events)
    calls = [call for call in stage.model.asked if call.split("_")[1] in scenario.scripts]
    end = "begun" if "tool" in scenario.in_flight else "ended"
    told = [*_owners(stage, scenario, story)]
    return {
        "calls": _count((call, story.state_of(call), end) for call in calls),
        "causes": _count((call, story.script_of(call), call.split("_")[1]) for call in calls),
        "prompts": _count_prompts(stage, story),
        "commits": _count(row[1:] for row in told if row[0] == "commit"),
        "lines": _count(row[1:] for row in told if row[0] == "line"),
        "unfinished": _unfinished(listed, scenario),
    }


class _Story:
    """What the log holds, by the names that scripts gave to it."""

    def __init__(self, events: Mapping[str, thence.Event]) -> None:
        self._events = events
        self._calls: dict[str, list[thence.Event]] = {}
        for event in events.values():
            if (event.subject or "").startswith("tool/"):
                self._calls.setdefault(str(event.subject).removeprefix("tool/"), []).append(event)
        self.prompts = [
            (str(event.payload.get("prompt")), str(event.payload.get("session")))
            for event in events.values()
            if event.event_type == "prompt"
        ]

    def state_of(self, call: str) -> str:
        """Returns "ended" of a call that the log has with its end, once."""
        states = [event.event_type.removeprefix("tool.") for event in self._calls.get(call, ())]
        if not states:
            return "not recorded"
        return "ended" if states[-1] != "begun" and len(states) <= 2 else " ".join(states)

    def script_of(self, call: str) -> str | None:
        """Returns the script of the nearest text that certainly caused a call."""
        rest = list(self._calls[call][0].caused_by) if call in self._calls else []
        while rest:
            event = self._events.get(rest.pop(0))
            if event is not None:
                names = _SCRIPT.findall(json.dumps(event.payload, default=str))
                if names:
                    return str(names[-1])
                rest += event.caused_by
        return None

    def owner_of(self, script: str) -> tuple[str | None, str | None]:
        """Returns the session, and the subagent, that followed a script."""
        for begin, *ends in self._calls.values():
            if f"SCRIPT:{script} " in json.dumps(begin.payload.get("input")):
                answers = json.dumps([end.payload.get("answer") for end in ends])
                match = _AGENT_ID.search(answers)
                return str(begin.payload["session"]), match[1] if match else None
        own = (session for text, session in self.prompts if f"SCRIPT:{script} " in text)
        return next(own, None), None


def _owners(
    stage: Stage, scenario: Scenario, story: _Story
) -> Iterator[tuple[str, str, object, object]]:
    """Yields of each commit and line what it is, what the log says, and what is right."""
    trees = [
        line[9:]
        for line in stage.sh("git worktree list --porcelain").splitlines()
        if line.startswith("worktree ")
    ]
    for where in [*trees, *map(str, stage.repo.glob("lib"))]:
        for row in stage.sh("git log --format='%H %s'", where).splitlines():
            if match := _BY.search(row):
                answer = json.loads(stage.sh(f"thence why commit/{row[:40]} --json", where))
                yield "commit", *_compared(row[41:], answer, match[1], scenario, story)
        for name in stage.sh("git ls-files src", where).splitlines():
            lines = Path(where, name).read_text().splitlines()
            if not any(map(_BY.search, lines)):
                continue
            blamed = json.loads(stage.sh(f"thence blame {name} --json", where))["lines"]
            for at, text in enumerate(lines):
                if match := _BY.search(text):
                    what = f"{name}:{at + 1}"
                    yield "line", *_compared(what, blamed[at], match[1], scenario, story)


def _compared(
    what: str, answer: Mapping[str, Any], script: str, scenario: Scenario, story: _Story
) -> tuple[str, object, object]:
    kind, said = answer["kind"], (answer["session"], answer["agent"])
    truth = story.owner_of(script)
    right = scenario.owners.get(script, "agent")
    if right == "agent":
        return what, said if kind == "agent" else kind, truth
    if right == "uncertain":  # the session, and no subagent as certain
        is_right = kind == "unknown" or said == truth
        return what, right if is_right else (kind, *said), right
    return what, kind, right


def _count(rows: Iterable[tuple[str, object, object]]) -> Count:
    listed = list(rows)
    faults = [f"{what}: {said}, right is {truth}" for what, said, truth in listed if said != truth]
    return Count(len(listed) - len(faults), len(listed), tuple(faults))


def _count_prompts(stage: Stage, story: _Story) -> Count:
    told, asked = Counter(text for text, _ in story.prompts), Counter(stage.asked)
    faults = [f"no prompt {text!r}" for text in (asked - told).elements()]
    extra = [f"a prompt that nobody gave: {text!r}" for text in (told - asked).elements()]
    return Count((asked & told).total(), asked.total(), (*faults, *extra))


def _unfinished(listed: Mapping[str, Any], scenario: Scenario) -> Count:
    steps = listed["unfinished"]
    subjects = [str(step["event"]["subject"]) for step in steps]
    kinds = [subject.partition("/")[0] for subject in subjects]
    if sorted(kinds) == sorted(scenario.in_flight):
        return Count(len(kinds), len(kinds))
    return Count(0, len(kinds), tuple(f"unfinished: {subject}" for subject in subjects))
