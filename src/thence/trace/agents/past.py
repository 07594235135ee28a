"""What agents did before their hooks were there, from the transcripts that they keep.

Each line of a transcript becomes the input of the hook that did not fire, of which
`thence.trace.agents.hooked` makes events as of any other; their source is `transcript`. The forms
are those of Claude Code 2.1.197 and Codex 0.171.0; what is not known is left out.

Events follow the order of their own file: times only order files beside each other. An id follows
from the session and the line, so that nothing is taken in twice. No commit is: nobody saw who made
it.
"""

import heapq
import json
import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from itertools import chain, islice, zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from thence.core.clock import microseconds
from thence.core.new_event import HostEvent
from thence.errors import GitFailed
from thence.files import file_lock
from thence.git.objects import objects
from thence.git.repository import asked
from thence.log.open import Log
from thence.trace.agents import intake
from thence.trace.agents.fired import SPOOL, log_of, repository
from thence.trace.agents.hooked import Spooled, events_of
from thence.trace.agents.installed import settings_of
from thence.trace.agents.known_agents import AGENTS, SHELLS
from thence.trace.agents.sessions import SessionTable, digest_of, map_of, text_of

SOURCE = "transcript"
UNFIT = "edits whose old text is not in any file of that time"
_HEAD_RECORDS = 50
_BATCH_EVENTS = 256
_COMMITS_ASKED = 16  # the last ones before an edit, of any branch
_RECORD = re.compile(r'\{"(?:parentUuid|logicalParentUuid|isSidechain|timestamp|type)"')
# what Claude Code writes in the user's name
_MACHINES = re.compile(r"\s*(?:<(?:local-command|bash-|task-|system-)|\[Request interrupted|\Z)")
_COMMAND = re.compile(r"\s*(?:<command-message>.*?)?<command-name>(.*?)</command-name>", re.DOTALL)
_ARGUMENTS = re.compile(r"<command-args>(.+?)</command-args>", re.DOTALL)
_IS_PATCHED = re.compile(r'Exit code: 0\b|"exit_code":\s*0\b|\ASuccess\. ')
Record = Mapping[str, Any]
Firing = tuple[int, dict[str, Any]]  # when a hook would have fired, in ns, and its input


class Transcript(NamedTuple):
    """A file of one agent in a session; `agent` is None for the main agent's."""

    path: Path
    bridge: str
    session: str
    agent: str | None
    begun_ns: int


class Taken(NamedTuple):
    """How much was taken in, by kind, and left out, by reason."""

    counts: Counter[str]
    left_out: Counter[str]


def take_in_past(
    folder: Path,
    since_s: float = 0.0,
    report: Callable[[int, int], object] = lambda done, total: None,
    *,
    is_dry_run: bool = False,
) -> Taken:
    """Appends what the transcripts of a repository tell to its log, and counts it.

    Transcripts without a line since a time are passed over. A dry run writes nothing. Raises
    ThenceError, OSError.
    """
    taken = Taken(Counter(), Counter())
    sessions: dict[str, list[Transcript]] = {}
    for transcript in sorted(transcripts_of(folder, since_s), key=lambda one: one.begun_ns):
        sessions.setdefault(transcript.session, []).append(transcript)
    with ExitStack() as stack:
        if not is_dry_run:
            intake.take_in(folder)
            intake.make_log(folder)
            lock = folder / SPOOL / ".intake.lock"
            stack.enter_context(file_lock(lock, intake.LOCK_WAIT_S, mode=0o600))
        log = stack.enter_context(intake.open_agents_log(folder)) if folder.is_dir() else None
        past = _Past(log, _Texts(stack), taken)
        for number, transcripts in enumerate(sessions.values()):
            report(number, len(sessions))
            events = past.events_of(transcripts)
            while batch := [*islice(events, _BATCH_EVENTS)]:
                groups = [[event] for event in batch]
                reasons = () if log is None or is_dry_run else intake.append_each(log, groups)
                for event, why in zip_longest(batch, reasons):
                    if why is not None:
                        taken.left_out["events that the log refused"] += 1
                        continue
                    taken.counts.update(("events", event.event_type))
                    taken.counts["edits"] += len((event.payload or {}).get("files", ()))
    return taken


def transcripts_of(folder: Path, since_s: float) -> Iterator[Transcript]:
    """Yields the transcripts of agents that worked in a log's repository, by their first lines."""
    own = os.path.realpath(folder)
    is_own = cache(lambda cwd: os.path.realpath(log_of(cwd)[0]) == own)
    for bridge, name in ((one, AGENTS[one].transcripts) for one in AGENTS):
        place = settings_of(bridge, is_users=True)
        for path in place.with_name(name).rglob("*.jsonl") if name else ():
            with suppress(OSError):  # it was removed meanwhile
                if path.stat().st_mtime < since_s or not path.is_file():
                    continue
                heads = [*islice(records_of(path, Counter()), _HEAD_RECORDS)]
                parts = (map_of(one.get("payload")) for one in heads)
                told = next((one for one in (*parts, *heads) if text_of(one, "cwd")), {})
                cwd = text_of(told, "cwd") or ""
                if os.path.isabs(cwd) and "\0" not in cwd and is_own(cwd):
                    agent = text_of(told, "agentId", "id")
                    session = text_of(told, "session_id", "sessionId", "id") or path.stem
                    agent = agent if agent != session else None
                    begun_ns = next(filter(None, map(_time_ns, heads)), 0)
                    yield Transcript(path, bridge, session, agent, begun_ns)


def records_of(path: Path, left_out: Counter[str]) -> Iterator[Record]:
    """Yields the records of a transcript; of a torn or glued line those that are whole."""
    decoder = json.JSONDecoder()
    with path.open("rb") as file:
        for data in file:
            line, at, is_torn = data.decode("utf-8", "replace").rstrip(), 0, False
            while at < len(line):
                try:
                    record, at = decoder.raw_decode(line, at)
                    if isinstance(record, dict):
                        yield record
                except (ValueError, RecursionError):
                    is_torn = True
                    match = _RECORD.search(line, at + 1)
                    at = match.start() if match else len(line)
            if is_torn:
                left_out["lines that can't be read"] += 1


def _time_ns(record: Record) -> int:
    return (microseconds(text_of(record, "timestamp") or "") or 0) * 1_000


class _Past:
    """One taking in; of what several transcripts have, as a fork does, the first counts."""

    def __init__(self, log: Log | None, texts: "_Texts", taken: Taken) -> None:
        self._table = SessionTable() if log is None else intake.stored_table(log)[0]
        self._texts, self._taken = texts, taken
        self._owners: dict[str, str] = {}  # the session of each call and prompt, by its id
        for name, session in self._table.sessions.items():
            self._owners |= dict.fromkeys((*session.use_ids, *session.prompts), name)

    def events_of(self, transcripts: list[Transcript]) -> Iterator[HostEvent]:
        """Yields the events of a session that the log lacks, and notes them."""
        first, is_new = transcripts[0], False
        chains = (self._firings(transcript) for transcript in transcripts)
        for time_ns, given in heapq.merge(*chains, key=itemgetter(0)):
            given.update(session_id=first.session, transcript_path=str(first.path))
            for event in self._fire(first, time_ns, given):
                is_new = True
                yield event
        self._taken.counts["sessions"] += is_new

    def _firings(self, transcript: Transcript) -> Iterator[Firing]:
        """Yields what the hooks would have been handed in one chain, in its order."""
        try:
            records = [*records_of(transcript.path, self._taken.left_out)]
        except OSError as error:
            self._taken.left_out[f"transcripts that can't be read: {error.strerror}"] += 1
            return
        agent, kinds = transcript.agent, (text_of(one, "attributionAgent") for one in records)
        own = {"agent_id": agent, "agent_type": next(filter(None, kinds), None)} if agent else {}
        latest_ns, last = 0, None
        for time_ns, given in _READERS[transcript.bridge](records):
            if agent and last is None:
                yield time_ns, {"hook_event_name": "SubagentStart", "cwd": given["cwd"], **own}
            latest_ns, last = max(latest_ns, time_ns), given
            # what an agent is asked is in the call that asked for it
            if not agent or last["hook_event_name"] != "UserPromptSubmit":
                yield latest_ns, {**last, **own}
        if agent and last:
            yield latest_ns, {"hook_event_name": "SubagentStop", "cwd": last["cwd"], **own}

    def _fire(
        self, transcript: Transcript, time_ns: int, given: dict[str, Any]
    ) -> Iterator[HostEvent]:
        """Yields the events that a hook would have made, but for those that are there."""
        hook, name = given["hook_event_name"], transcript.session
        use_id, prompt_id = text_of(given, "tool_use_id"), text_of(given, "prompt_id")
        subagent = self._table.of(name).subagents.get(given.get("agent_id", ""))
        key = use_id or digest_of(prompt_id)
        if key and self._owners.setdefault(key, name) != name:
            return
        if hook == "SubagentStop" and not (subagent and subagent.is_open):
            return
        if self._table.of(name).begin is None and hook != "SessionStart":
            begin = {"hook_event_name": "SessionStart", "source": SOURCE, "cwd": given["cwd"]}
            begin["session_id"] = name
            yield from self._fire(transcript, time_ns, begin)
        own = use_id or text_of(given, "agent_id") or prompt_id or time_ns
        words: Any = transcript.bridge, time_ns, given["cwd"], None, None, (), {}, given
        spooled = Spooled(f"{SOURCE}/{name}/{own}/{hook}", *words)
        for event in events_of(spooled, self._table):
            payload = event.payload or {}
            if payload.get("is_unanswered"):  # what a hook has begun goes on, whatever was before
                continue
            root, files = text_of(payload, "root"), payload.get("files", ())
            fits = [self._texts.fits(root, file, time_ns) for file in files]
            if not all(fits):
                self._taken.left_out[UNFIT] += len(fits)
                payload = {key: value for key, value in payload.items() if key != "files"}
            is_step = event.begins and hook != "SessionStart"  # of that nobody tells the end
            yield msgspec.structs.replace(event, payload=payload, source=SOURCE, begins=is_step)


def claude_firings(records: list[Record]) -> Iterator[Firing]:
    """Yields what Claude Code's hooks would have been handed."""
    asked: dict[str | None, str | None] = {}
    heard: set[str | None] = set()  # the prompts that were answered, as built-in commands are not
    calls: dict[str, Record] = {}
    answered: set[str] = set()
    chained = [(uuid, record) for record in records if (uuid := text_of(record, "uuid"))]
    for uuid, record in chained:
        is_prompt = _words_of(record) is not None
        above = asked.get(text_of(record, "parentUuid", "logicalParentUuid"))
        asked[uuid] = (text_of(record, "promptId") or uuid) if is_prompt else above
        if record.get("type") == "assistant":
            heard.add(asked[uuid])
        for block in _blocks(map_of(record.get("message"))):
            answered.add(text_of(block, "tool_use_id") or "")
            if block.get("type") == "tool_use":
                calls.setdefault(text_of(block, "id") or "", block)
    for uuid, record in chained:
        time_ns, prompt, prompt_id = _time_ns(record), _words_of(record), asked[uuid]
        common = {"cwd": text_of(record, "cwd"), "prompt_id": prompt_id}
        if prompt is not None and prompt_id in heard:
            told = {"hook_event_name": "UserPromptSubmit", "prompt": prompt, **common}
            yield time_ns, told
        for block in _blocks(map_of(record.get("message"))):
            use_id, answer = text_of(block, "tool_use_id", "id") or "", block.get("content")
            if use_id not in calls or use_id not in answered:
                continue
            told = {"tool_name": calls[use_id].get("name"), "tool_use_id": use_id, **common}
            told["tool_input"] = calls[use_id].get("input")
            if block.get("type") == "tool_use":
                told["hook_event_name"] = "PreToolUse"
            elif block.get("is_error"):
                told |= {"hook_event_name": "PostToolUseFailure", "error": answer}
            else:
                answer = record.get("toolUseResult") or answer
                told |= {"hook_event_name": "PostToolUse", "tool_response": answer}
            yield time_ns, told


def _blocks(message: Record) -> list[Record]:
    """Returns the parts of a message."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    return [part for part in parts if isinstance(part, dict)]


def _text_in(message: Record) -> str:
    return "\n".join(filter(None, (text_of(part, "text") for part in _blocks(message))))


def _words_of(record: Record) -> str | None:
    """Returns what a person wrote in a record of Claude Code."""
    is_own = record.get("isMeta") or record.get("isCompactSummary")
    is_persons = map_of(record.get("origin")).get("kind", "human") == "human"
    if record.get("type") != "user" or is_own or not is_persons:
        return None
    words = _text_in(map_of(record.get("message")))
    if command := _COMMAND.match(words):
        return " ".join((command[1], *_ARGUMENTS.findall(words)))
    return None if _MACHINES.match(words) else words


def codex_firings(records: list[Record]) -> Iterator[Firing]:
    """Yields what Codex's hooks would have been handed."""
    payloads = [map_of(record.get("payload")) for record in records]
    answered = {text_of(payload, "call_id") for payload in payloads if "output" in payload}
    calls: dict[str | None, dict[str, Any]] = {}
    turn = cwd = None
    for number, payload in enumerate(payloads):
        turn, cwd = text_of(payload, "turn_id") or turn, text_of(payload, "cwd") or cwd
        use_id, item = text_of(payload, "call_id"), map_of(payload.get("item"))
        given: dict[str, Any] = {"cwd": cwd, "prompt_id": turn}
        if item.get("type") == "UserMessage":
            given |= {"hook_event_name": "UserPromptSubmit", "prompt": _text_in(item)}
        elif use_id in calls and "output" in payload:
            output = payload["output"]
            given |= {**calls[use_id], "hook_event_name": "PostToolUse", "tool_response": output}
            if given["tool_name"] == "apply_patch" and not _IS_PATCHED.search(str(output)):
                given |= {"hook_event_name": "PostToolUseFailure", "error": output}
        elif use_id in answered and str(payload.get("type")).endswith("_call"):
            tool = text_of(payload, "name") or ""
            value = payload.get("arguments", payload.get("input"))
            with suppress(ValueError, RecursionError):
                value = json.loads(value) if isinstance(value, str) else payload.get("action")
            if tool == "apply_patch" and isinstance(value, str):
                value = {"command": value}
            elif tool in SHELLS and isinstance(value, dict):
                command = value.get("cmd", value.get("command"))
                command = " ".join(command) if isinstance(command, list) else command
                tool, value = "Bash", {"command": command}
            calls[use_id] = {"tool_name": tool, "tool_input": value, "tool_use_id": use_id}
            given |= {**calls[use_id], "hook_event_name": "PreToolUse"}
        else:
            continue
        yield _time_ns(records[number]), given


_READERS = {"claude-code": claude_firings, "codex": codex_firings}


class _Texts:
    """The texts that files had, as commits and earlier edits have them."""

    def __init__(self, stack: ExitStack) -> None:
        self._edited: dict[tuple[str, str], str] = {}
        self._stack = stack
        self._commits = cache(self._find_commits)

    def fits(self, root: str | None, file: Mapping[str, Any], time_ns: int) -> bool:
        """Reports whether an edit can have been made then, and notes what it left."""
        path = text_of(file, "path") or ""
        if os.path.isabs(path) and "\0" not in path and (place := repository(path)):
            root, path = place[0], os.path.relpath(path, place[0])
        if root is None or os.path.isabs(path) or "\n" in path:
            return False
        sides = (text_of(file, name) or "" for name in ("removed", "added"))
        before, after = (side.replace("\r\n", "\n") for side in sides)
        texts = chain(
            [after] if not before else [],
            [self._edited[root, path]] if (root, path) in self._edited else [],
            self._committed(root, path, time_ns // 10**9),
        )
        text = next((text for text in texts if before in text), None)
        if text is not None:
            count = 1 if file.get("is_hunk") else -1
            self._edited[root, path] = text.replace(before, after, count) if before else text
        return text is not None

    def _committed(self, root: str, path: str, time_s: int) -> Iterator[str]:
        """Yields what a file had in the last commits before a time, the newest first."""
        commits, batch = self._commits(root)
        end = bisect_right(commits, (time_s + 1, ""))
        for _, oid in reversed(commits[max(end - _COMMITS_ASKED, 0) : end]):
            with suppress(GitFailed):  # it had no such file
                text = batch.blob(f"{oid}:{path}").decode("utf-8", "replace")
                yield (text if text.endswith("\n") else f"{text}\n").replace("\r\n", "\n")

    def _find_commits(self, root: str) -> tuple[list[tuple[int, str]], Any]:
        with suppress(GitFailed):
            repo = asked(Path(root))
            out = repo.git.run("log", "--all", "--reflog", "--format=%ct %H").decode()
            rows = (row.split() for row in out.splitlines())
            commits = sorted((int(time), oid) for time, oid in rows)
            return commits, self._stack.enter_context(objects(repo))
        return [], None
