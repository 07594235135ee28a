"""What transcripts tell of a day is what its hooks told, or less; never more, and never twice.

`day` holds a day of real agents (`python -m tests.trace.agents.real --record FOLDER day`): their
transcripts, what the hooks left, and the commits.
"""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.cli.warm import warm as run
from tests.trace.agents.firing import events, git, log_in

import thence
from thence.git.blame import blame
from thence.git.repository import repository as repository_of
from thence.trace.agents.fired import SPOOL
from thence.trace.agents.ownership import Ownership
from thence.trace.agents.past import UNFIT, take_in_past

DAY = Path(__file__).parent / "day"
SECRET = "AKIA" + "IOSFODNN7EXAMPLE"


class Day:
    """The repository at the end of the day, and a home with the transcripts."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.home, self.top, self.log = folder / "home", folder / "shop", log_in(folder / "shop")
        for agent in ("claude", "codex"):
            shutil.copytree(DAY / agent, self.home / f".{agent}")
        for path in self.home.rglob("*.jsonl"):
            path.write_text(path.read_text().replace("/W", str(folder)))
        git("init", "-q", "-b", "main", self.top, cwd=folder, env=env)
        commits = (DAY / "commits").read_bytes()
        subprocess.run(["git", "fast-import", "--quiet"], cwd=self.top, input=commits, check=True)
        git("reset", "-q", "--hard", cwd=self.top, env=env)
        shutil.copy(DAY / "reflog", self.top / ".git/logs/HEAD")
        self.hooks = {
            hook["name"]: hook["content"].replace("/W", str(folder))
            for hook in map(json.loads, (DAY / "hooks.jsonl").read_text().splitlines())
        }

    def fire(self, *, until: int | None = None) -> None:
        """Leave what the day's hooks left, the first so many alone."""
        (self.log / SPOOL).mkdir(parents=True, exist_ok=True)
        for name in [*self.hooks][:until]:
            (self.log / SPOOL / name).write_text(self.hooks[name])
        events(self.log)

    def owners(self) -> dict[tuple[str, int], tuple[str, str | None, str | None]]:
        """Who owns each line."""
        repo = repository_of(self.top)
        with thence.open(self.log) as log:
            ownership = Ownership(log, repo)
            told = {}
            for path in sorted(self.top.glob("src/*.py")):
                lines = blame(repo, f"src/{path.name}")
                for at in range(len(lines)):
                    owner = ownership.of_line(lines, at)
                    told[path.name, at + 1] = (owner.kind, owner.session, owner.agent)
            return told

    def transcript_of(self, prompt: str) -> Path:
        """The transcript that has a prompt."""
        (path,) = (path for path in self.home.rglob("*.jsonl") if prompt in path.read_text())
        return path


@pytest.fixture
def day(tmp_path: Path, env: dict[str, str]) -> Day:
    return Day(tmp_path, env)


def told(log: Path) -> Counter[tuple[str, object]]:
    """What a log tells of prompts, of calls with an answer, and of subagents."""
    types = ("prompt", "tool.ended", "subagent.begun")
    return Counter(
        (event.event_type, event.payload.get("prompt") or event.subject)
        for event in events(log)
        if event.event_type in types
    )


def test_transcripts_alone_tell_the_owners_that_hooks_told_or_none(day: Day) -> None:
    day.fire()
    by_hooks, calls = day.owners(), told(day.log)
    shutil.rmtree(day.log)
    taken = take_in_past(day.log)
    by_transcripts = day.owners()
    agents = {line for line, owner in by_hooks.items() if owner[0] == "agent"}
    right = {line for line in agents if by_transcripts[line] == by_hooks[line]}
    unknown = ("unknown", None, None)
    assert {
        line: (owner, by_hooks[line])
        for line, owner in by_transcripts.items()
        if owner not in (by_hooks[line], unknown)
    } == {}
    assert len(right) >= 0.8 * len(agents) > 20
    assert told(day.log) == calls
    assert (taken.counts["sessions"], taken.counts["prompt"], taken.counts["edits"]) == (4, 7, 8)
    assert not +taken.left_out
    assert {event.header.source for event in events(day.log)} == {"transcript"}


def test_an_owner_is_told_up_to_what_the_user_asked(day: Day) -> None:
    take_in_past(day.log)
    answer = run("why", "src/b.py:2", cwd=day.top)
    assert "claude-code/general-purpose" in answer.out
    assert 'the user asked: "SCRIPT:c2 Do it"' in answer.out


@pytest.mark.parametrize("until", [0, 1, 40, 75, None])
def test_nothing_is_taken_in_twice_nor_beside_hooks(day: Day, until: int | None) -> None:
    day.fire(until=until)
    take_in_past(day.log)
    calls = told(day.log)
    assert take_in_past(day.log).counts["events"] == 0
    day.fire()
    take_in_past(day.log)
    assert told(day.log) == calls
    assert set(calls.values()) == {1}
    assert len(calls) == 7 + 24 + 2


def test_a_secret_in_a_transcript_is_masked(day: Day) -> None:
    path = day.transcript_of("SCRIPT:c5 Do it")
    path.write_text(path.read_text().replace("SCRIPT:c5 Do it", f"use {SECRET}"))
    assert take_in_past(day.log).counts["prompt"] == 7
    stored = [file for file in day.log.rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in file.read_bytes() for file in stored)


def glued(lines: list[str]) -> str:
    return "".join(line.rstrip("\n") if at % 2 else line for at, line in enumerate(lines))


def torn(lines: list[str]) -> str:
    """A half of the last line stands before each fifth."""
    return "".join(lines[-1][:40] + line if at % 5 == 1 else line for at, line in enumerate(lines))


@pytest.mark.parametrize(("write", "unread"), [(glued, 0), (torn, 9)])
def test_lines_are_found_glued_and_torn(day, write, unread):
    path = day.transcript_of("SCRIPT:c5 Do it")
    path.write_text(write(path.read_text().splitlines(keepends=True)))
    taken = take_in_past(day.log)
    assert taken.left_out["lines that can't be read"] == unread
    assert len(told(day.log)) == 7 + 24 + 2
    places = {event.event_id: at for at, event in enumerate(events(day.log))}
    for event in events(day.log):
        assert all(places[cause] < places[event.event_id] for cause in event.caused_by)


def test_an_edit_counts_only_where_its_old_text_was_in_the_file(day: Day) -> None:
    path = day.transcript_of("SCRIPT:c5 Do it")
    path.write_text(path.read_text().replace("    return 1", "    return 7"))
    taken = take_in_past(day.log)
    assert (taken.counts["edits"], taken.left_out[UNFIT]) == (6, 2)
    assert len(told(day.log)) == 7 + 24 + 2
    owners = day.owners()
    assert {owner for (name, _), owner in owners.items() if name in ("g.py", "h.py")} == {
        ("unknown", None, None)
    }


def test_a_dry_run_counts_the_same_and_writes_nothing(day: Day) -> None:
    counted = take_in_past(day.log, is_dry_run=True).counts
    assert not day.log.exists()
    assert take_in_past(day.log).counts == counted
    before = {path: path.stat().st_mtime_ns for path in day.log.rglob("*") if path.is_file()}
    assert take_in_past(day.log, is_dry_run=True).counts["events"] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_command_tells_what_it_took_in(day: Day) -> None:
    offered = run("hook", "install", "claude-code", cwd=day.top)
    assert "thence hook past" in offered.err
    dry = run("hook", "past", "--dry-run", cwd=day.top)
    assert dry.out.splitlines()[0] == "would be imported: 4 sessions, 7 prompts, 8 edits"
    assert run("hook", "past", "--since", "2100-01-01", cwd=day.top).out.startswith(
        "imported: 0 sessions"
    )
    facts = json.loads(run("hook", "past", "--since", "10000d", "--json", cwd=day.top).out)
    counts = facts["counts"]
    assert (counts["sessions"], counts["prompt"], counts["edits"]) == (4, 7, 8)
    assert facts["left_out"] == {}
    refused = run("hook", "past", "--since", "soon", cwd=day.top)
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 3
