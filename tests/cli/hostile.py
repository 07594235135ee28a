"""Logs, runs and projects whose texts all control a terminal, and all commands to run on them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from tests.cli.scenarios import counting
from tests.cli.warm import warm
from tests.cli.work.projects import FOLDER, planned
from tests.events import drafted, stamped
from tests.git.repositories import git

import thence
from thence.cli.frame import root
from thence.core.ids import IdSource
from thence.work.project.project import find_project

EVIL = "\x1b[38;5;9m\x1b]0;own\x07\x9b2J\u202eevil\nFORGED\r\x08\x7f\u2028\u2066"
IN_FILE_NAME = EVIL.replace("/", "")
FEATURE = FOLDER.rpartition("/")[2]
NEVER = f"{EVIL}.yaml/nowhere"  # what is there would be served for ever, and no call makes this
SHOWN = "evil\\nFORGED"
new_id = IdSource(1_700_000_000_000_000_000, lambda: 0, 0xBAD).new_id

# what an argument or option is given, by its name; others get EVIL
_KNOWN = {
    "event": "@last",
    "a": "evil",
    "b": "other",
    "run": "evil-run",
    "scenario": f"{EVIL}.yaml",
    "root": NEVER,
    "project_name": "made-anew",  # below the project; nothing else looks there
}
_TASKS = f"""# Tasks

## Work Package WP01: First

- [ ] T001 Write {EVIL.partition(chr(10))[0]}

## Work Package WP02: Second {EVIL.partition(chr(10))[0]}
"""


def commands(
    command: click.Command = root, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all below it, each with the words of its call."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*words, name))


def calls(words: tuple[str, ...], command: click.Command) -> list[list[str]]:
    """Return the calls of a command: a right one, one with evil words, and wrong ones."""
    meant, evil = list(words), list(words)
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            meant.append(_KNOWN.get(str(parameter.name), EVIL))
            evil.append(NEVER if parameter.name == "root" else f"{EVIL}/nowhere")
        elif parameter.name == "log":
            meant += ["--log", "evil"]
            evil += ["--log", EVIL]
        elif parameter.name == "feature":
            meant += ["--feature", FEATURE]  # other commands make more of them
            evil += ["--feature", EVIL]
        elif parameter.name in ("where", "reason"):
            evil += [parameter.opts[0], f'"{EVIL}" = 1' if parameter.name == "where" else EVIL]
        elif parameter.name == "data":
            is_run = words[-1] == "run"
            meant += ["--data", NEVER if is_run else "server"]
            evil += ["--data", NEVER if is_run else f"{EVIL}/nowhere"]
        elif parameter.name == "is_csv":
            meant.append("--csv")
            evil.append("--csv")
        elif parameter.name == "is_repair":
            meant += ["--repair", "--dry-run"]
    return [[*meant, "-v"], [*evil, "--debug"], [*words, f"--{EVIL}", EVIL]]


def make(folder: Path) -> Path:
    """Make the logs `evil`, `other` and EVIL, a run and a project; return the project."""
    repo = planned(folder / "project", _TASKS)
    assert warm("work", "finalize-tasks", cwd=repo).code == 0
    warm("work", "move-task", EVIL, "--to", "done", cwd=repo)
    home = find_project(repo, create=False).home
    _twist(home / "events.jsonl", repeat=2)
    for path in (repo / ".kittify/errors").iterdir():
        told = _twisted(json.loads(path.read_bytes()), ("error_id", "timestamp"))
        path.write_text(json.dumps(told) + "\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--allow-empty", "--message", "More")
    for name in ("evil", "other", IN_FILE_NAME):
        _log(repo / name, name)
    _run(repo)
    return repo


def _log(folder: Path, name: str) -> None:
    nested = {EVIL: [EVIL, {EVIL: EVIL}], "error": {"type": EVIL, "message": EVIL}, "n": name}
    failed = {"error_type": EVIL, "error_message": EVIL, "duration_s": 1, "file": EVIL}
    who = {"subject": EVIL, "actor": EVIL}
    with thence.open(folder) as log:
        node = log.append("a", {EVIL: EVIL}, subject=EVIL).node_id
    # such types were taken once, and are read for ever
    first = drafted(new_id(), EVIL, {"payload": nested, "stream": EVIL, **who})
    second = drafted(new_id(), f"{EVIL}.failed", {"payload": failed, **who}, [first.event_id])
    with (folder / "events.jsonl").open("ab") as segment:
        segment.write(stamped(first, 2, 2, node) + stamped(second, 3, 3, node))
    with thence.open(folder) as log:
        log.append("a", {EVIL: EVIL}, subject=EVIL, caused_by=[first.event_id])
    _twist(folder / "events.jsonl", repeat=1)
    for kind in ("gap", "recovered", "torn", "node_changed", "write_failed"):
        facts = dict.fromkeys(("file", "reason", "quarantine", "old_node_id", "count"), EVIL)
        _add(folder, {"event_id": new_id(), "event_type": f"log.{kind}", "payload": facts})
    begun = {"event_id": new_id(), "event_type": EVIL, "timestamp": EVIL, "begins": True}
    _add(
        folder, {**begun, EVIL: EVIL, "description": EVIL, "external_causes": [f"{EVIL}@1@{EVIL}"]}
    )
    _add(folder, {"event_id": EVIL, "event_type": EVIL, "caused_by": [EVIL], "payload": nested})
    with (folder / "events.jsonl").open("ab") as segment:
        segment.write(f'{{"event_id":"{EVIL}","crc":"00000000"}}\n{EVIL}'.encode())
    (folder / f"events_{IN_FILE_NAME}.jsonl").write_text(EVIL)


def _run(repo: Path) -> None:
    assert warm("sim", "run", counting(repo), "--seed", "1", cwd=repo).code == 0
    (made,) = (repo / "output").iterdir()
    _twist(made / "events.jsonl", repeat=1)
    for name in ("config.json", "result.json"):
        told = json.loads((made / name).read_text())
        (made / name).write_text(json.dumps(_twisted(told)))
    made.rename(repo / "output" / "evil-run")
    text = (repo / "counting.yaml").read_text()
    text = text.replace("counting", json.dumps(EVIL)) + f"\n{json.dumps(EVIL)}: 1\n"
    (repo / f"{EVIL}.yaml").write_text(text)


def _twist(path: Path, repeat: int) -> None:
    """Append each event of a log once more as another tool's, each text of its body EVIL."""
    kept = ("event_id", "event_type", "project_uuid", "feature_slug", "aggregate_type", "wp_id")
    kept += ("aggregate_id", "simulation_id", "milestone_type", "dependency_wp_id", "caused_by")
    for line in path.read_text().rstrip("\n").split("\n") * repeat:
        event = json.loads(line)
        twisted = _twisted(event, kept) | {"event_id": new_id(), "timestamp": event["timestamp"]}
        for name in ("seq", "lamport_clock", "crc", "node_id", "caused_by"):
            twisted.pop(name, None)
        _add(path.parent, twisted)


def _twisted(value: Any, kept: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        return {key: item if key in kept else _twisted(item, kept) for key, item in value.items()}
    if isinstance(value, list):
        return [_twisted(item, kept) for item in value]
    return EVIL if isinstance(value, str) else value


def _add(folder: Path, event: dict[str, Any]) -> None:
    with (folder / "events.jsonl").open("ab") as segment:
        segment.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
