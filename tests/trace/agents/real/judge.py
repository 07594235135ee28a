"""How right the log is about what was played: its calls, causes, owners, what is unfinished."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.trace.agents.real.model import call_id
from tests.trace.agents.real.scenarios import Scenario
from tests.trace.agents.real.stage import Stage

import thence

_SCRIPT = re.compile(r"SCRIPT:([\w-]+)")
_BY = re.compile(r"by:([\w-]+)")
_AGENT_ID = re.compile(r'(?:agent_id|"sessionId)\\*"\s*:\s*\\*"([\w-]+)')
_LOST = re.compile("the hooks of two commits name it|no git hook here recorded it")
COLUMNS = ("calls", "causes", "prompts", "commits", "lines", "unfinished")
Row = tuple[str, object, object]  # what it is, what the log says, what is right


class Count(NamedTuple):
    """How many of one kind are right, of how many, and what is wrong."""

    right: int
    total: int
    faults: tuple[str, ...] = ()


def judge(stage: Stage, scenario: Scenario) -> dict[str, Count]:
    """Returns the counts of each column."""
    steps = json.loads(stage.sh("thence unfinished --json"))["unfinished"]
    open_steps = [step["event"]["event_type"].partition(".")[0] for step in steps]
    folder = stage.repo / ".git/thence/agents"
    with thence.open(folder) as log:
        events = {event.event_id: event for event in log.read()}
    calls = {
        call_id(script, at, place): (script, call)
        for script, steps in stage.model.scripts.items()
        for at, step in enumerate(steps)
        if not isinstance(step, str)
        for place, call in enumerate(step)
    }
    story = _Story(events, stage.home, {_told_by(*call): name for name, (_, call) in calls.items()})
    end = "begun" if "tool" in scenario.in_flight else "ended"
    told = [*_owners(stage, scenario, story)]
    asked = {words[2] for words in scenario.acts if words[0] in ("ask", "say")}
    # no hook of cline has what its user asked
    heard = [call for call, (name, _) in calls.items() if name not in asked or name[0] != "l"]
    return {
        "calls": _count((call, story.state_of(call), end) for call in calls),
        "causes": _count((call, story.script_of(call), calls[call][0]) for call in heard),
        "prompts": _compared("prompt", (text for text, _ in story.prompts), stage.asked),
        "commits": _count(row for column, row in told if column == "commit"),
        "lines": _count(row for column, row in told if column == "line"),
        "unfinished": _compared("step in flight", open_steps, scenario.in_flight),
    }


class _Story:
    """What the log holds, by the names that scripts gave to it.

    The ids of subagents are those of the agents: in answers of Codex and opencode, in files of
    Claude Code and cline. Calls of an agent that gives them no ids are known by what they are told,
    `names`.
    """

    def __init__(
        self, events: Mapping[str, thence.Event], home: Path, names: Mapping[str, str]
    ) -> None:
        self._events = events
        files = home.glob(".claude/projects/*/*/subagents/agent-*.meta.json")
        self._subagents = {
            json.loads(file.read_text())["toolUseId"]: file.name[len("agent-") : -len(".meta.json")]
            for file in files
        }
        for file in home.glob(".cline/data/sessions/*/agent_*.messages.json"):
            for script in _SCRIPT.findall(file.read_text()):
                self._subagents[script] = file.name.partition(".")[0]
        self._calls: dict[str, list[thence.Event]] = {}
        ids: dict[str, str] = {}
        for event in events.values():
            if (event.subject or "").startswith("tool/"):
                own = str(event.subject).removeprefix("tool/")
                if event.event_type == "tool.begun" and not own.startswith("call_"):
                    told = _told_by(event.payload["tool"], event.payload["input"])
                    ids[own] = names.get(told, own)
                self._calls.setdefault(ids.get(own, own), []).append(event)
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
        own = [session for text, session in self.prompts if f"SCRIPT:{script} " in text]
        if own:
            return own[0], None
        for call, (begin, *ends) in self._calls.items():
            if f"SCRIPT:{script} " in json.dumps(begin.payload.get("input")):
                match = _AGENT_ID.search(json.dumps([end.payload.get("answer") for end in ends]))
                agents = self._subagents
                agent = match[1] if match else agents.get(call) or agents.get(script)
                return str(begin.payload["session"]), agent
        own = [began for call, (began, *_) in self._calls.items() if f"call_{script}_" in call]
        return (str(own[0].payload["session"]), None) if own else (None, None)


def _owners(stage: Stage, scenario: Scenario, story: _Story) -> Iterator[tuple[str, Row]]:
    """Yields of each commit and line what it is, what the log says, and what is right."""
    owners = scenario.owners
    unseen = {*owners, *re.findall(r"(?:qm|sh) by:(\w+)", json.dumps(scenario.scripts))}
    trees = stage.sh("git worktree list --porcelain | sed -n 's/^worktree //p'").splitlines()
    for where in [*trees, *map(str, stage.repo.glob("lib"))]:
        for row in stage.sh("git log --format='%H %s'", where).splitlines():
            for script in _BY.findall(row):
                unseen.discard(script)
                answer = json.loads(stage.sh(f"thence why commit/{row[:40]} --json", where))
                session, agent = story.owner_of(script)
                rights = {"": (session, agent), "uncertain": (session, "not sure which")}
                rights |= {"unwitnessed": "unknown", "raced": (session, agent)}
                kind = owners.get(script, "")
                right = "unknown" if _is_lost(kind, answer) else rights.get(kind, kind)
                yield "commit", (row[41:], _told(answer), right)
        for name in stage.sh("git ls-files src", where).splitlines():
            for line in json.loads(stage.sh(f"thence blame {name} --json", where))["lines"]:
                for script in _BY.findall(line["text"]):
                    kind = owners.get(script, "uncertain")
                    is_its = kind in ("uncertain", "unwitnessed", "raced")
                    right = story.owner_of(script) if is_its else kind
                    right = "unknown" if _is_lost(kind, line) else right
                    yield "line", (f"{name}:{line['line']}", _told(line), right)
    yield from (("commit", (f"by:{script}", "not there", "a commit")) for script in unseen)


def _is_lost(kind: str, answer: Mapping[str, Any]) -> bool:
    """Reports whether the hook of one of two commits of a moment came after the other commit.

    It asks for HEAD, so that both hooks name that one. Where git's time does not order the other
    commit and its edit, the line is unknown too.
    """
    return kind == "raced" and _LOST.search(answer["reason"] or "") is not None


def _told_by(tool: str, value: object) -> str:
    return json.dumps([tool, value], sort_keys=True)


def _told(answer: Mapping[str, Any]) -> object:
    """Returns the session and the subagent that an answer names, else the kind of the owner."""
    if answer["kind"] != "agent":
        return answer["kind"]
    return answer["session"], "not sure which" if answer["is_agent_unknown"] else answer["agent"]


def _count(rows: Iterable[Row]) -> Count:
    listed = list(rows)
    faults = [f"{what}: {said}, right is {right}" for what, said, right in listed if said != right]
    return Count(len(listed) - len(faults), len(listed), tuple(faults))


def _compared(word: str, listed: Iterable[str], right: Iterable[str]) -> Count:
    """Returns how many texts are as they should be, each as often as it should."""
    said, wanted = Counter(listed), Counter(right)
    faults = [f"no {word} {text!r}" for text in (wanted - said).elements()]
    faults += [f"a {word} too many, {text!r}" for text in (said - wanted).elements()]
    return Count((said & wanted).total(), (said | wanted).total(), tuple(faults))
