"""A fired hook ends with 0 and an empty stdout, and keeps what it was given or tells why not."""

import json
import os
import random
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import drop_override
from tests.cli.installed import thence as run
from tests.mounts import mounted
from tests.tiers import seed, tenth
from tests.trace.agents.firing import (
    COMMAND,
    FROM_FOLDERS,
    PROGRAM,
    Shop,
    events,
    fire,
    git,
    hook,
    log_in,
)

from thence.trace.agents import fired
from thence.trace.agents.fired import ERRORS, SPOOL, spools


def errors(folder: Path) -> str:
    return (folder / SPOOL / ERRORS).read_text()


def test_program_imports_next_to_nothing(tmp_path: Path) -> None:
    code = """if True:
        import sys
        before = set(sys.modules)
        exec(compile(open(sys.argv[1]).read(), "fired", "exec"), {"__name__": "fired"})
        print(*set(sys.modules) - before)
    """
    argv = [sys.executable, "-I", "-S", "-c", code, PROGRAM]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert not {"json", "re", "enum", "subprocess", "hashlib", "thence"} & {*loaded.split()}


@pytest.mark.parametrize(
    "data",
    [b"", b" \n", b"not JSON", b'{"a":', b"\xff\xfe\x00", b"[]", b"3", b"null", b'"x"', b"{}" * 9],
)
@pytest.mark.whole(rows=5)
def test_input_without_meaning_is_told_and_disturbs_nobody(shop: Shop, data: bytes) -> None:
    shop.fire(data)
    shop.fire(hook("UserPromptSubmit", prompt="Go"))
    assert [event.event_type for event in shop.events()] == ["prompt"]
    told = errors(shop.log)
    assert "gave no input" in told or "is refused" in told


def test_closed_stdin_and_unknown_words_disturb_nobody(shop: Shop) -> None:
    for words in ("claude-code <&-", "", "claude-code x y </dev/null", "git", "git post-commit"):
        argv = ["/bin/sh", "-c", f"{COMMAND} {words}"]
        shop.quiet(argv)
    assert shop.events() == []


def test_removed_folder_disturbs_nobody(shop: Shop) -> None:
    inside = shop.top / "gone"
    inside.mkdir()
    script = f"cd gone; rmdir ../gone; {COMMAND} claude-code"
    record = json.dumps(hook("UserPromptSubmit", prompt="Go")).encode()
    argv = ["/bin/sh", "-c", script]
    done = subprocess.run(argv, input=record, cwd=shop.top, env=shop.env, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")
    assert len(shop.events()) == 1


MEASURED = """
import resource, subprocess, sys
done = subprocess.run(["/bin/sh", "-c", sys.argv[1]], stdout=subprocess.PIPE)
print(done.returncode if not done.stdout else "wrote", end=" ")
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_input_of_2_gb_is_read_in_little_memory_and_told(shop: Shop) -> None:
    shop.fire(hook("PreToolUse", tool_name="Read", tool_use_id="t"))
    head = json.dumps(hook("PostToolUse", tool_name="Read", tool_use_id="t", tool_response="x"))
    script = f'(printf %s "$HEAD"; head -c 2147483648 /dev/zero) | ({COMMAND} claude-code)'
    # a process of its own, whose largest child is that of the hook
    argv = [sys.executable, "-c", MEASURED, script]
    own = {**shop.env, "HEAD": head[:-2]}
    done = subprocess.run(argv, cwd=shop.top, env=own, capture_output=True, timeout=120)
    code, size_kb = done.stdout.split()
    assert (int(code), done.stderr) == (0, b"")
    assert 1_000 < int(size_kb) < 300_000
    assert [event.event_type for event in shop.events()] == ["tool.begun"]
    assert "claude-code: lost the input of a hook: it has 2147" in errors(shop.log)


@pytest.mark.promise("A5a")
def test_log_that_can_only_be_read_is_told_of_from_the_cache(shop: Shop) -> None:
    shop.fire(hook("UserPromptSubmit", prompt="Before"))
    assert shop.run("log").code == 0
    folder = shop.log
    places = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for place in places:
        place.chmod(0o555)
    try:
        record = json.dumps(hook("UserPromptSubmit", prompt="Meanwhile")).encode()
        argv = ["/bin/sh", "-c", f"{COMMAND} claude-code"]
        done = subprocess.run(
            argv,
            input=record,
            cwd=shop.top,
            env=shop.env,
            capture_output=True,
            preexec_fn=drop_override,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        ended = run("log", cwd=shop.top, env=shop.env, obeys_permissions=True)
        assert ended.code == 0, ended.err
        assert "Before" in ended.out
        assert "Meanwhile" not in ended.out
        assert "some records of hooks are not in the log yet" in ended.err
    finally:
        for place, mode in places.items():
            place.chmod(mode)
    assert [event.payload["prompt"] for event in events(folder)] == ["Before", "Meanwhile"]
    assert not [*Path(spools(str(folder))[1]).glob("*.json")]


def test_full_disk_disturbs_nobody_and_the_cache_keeps_what_it_can(env, tmp_path):
    full = tmp_path / "full"
    with mounted(full, "1m") as is_mounted:
        if not is_mounted:
            return
        git("init", "-q", "--template=", full, cwd=tmp_path, env=env)
        with pytest.raises(OSError, match="No space"):
            (full / "filler").write_bytes(bytes(2**20))
        record = hook("UserPromptSubmit", prompt="x" * 200_000)
        fire(record, cwd=full, env={**env, "XDG_CACHE_HOME": str(full)})
        assert not [path for path in full.rglob("*") if path.name.endswith((".json", ".part"))]
        fire(record, cwd=full, env=env)
        (full / "filler").unlink()
        (event,) = events(log_in(full))
        assert event.payload["prompt"] == "x" * 200_000


@pytest.mark.parametrize("link", [".", "agents", "agents/spool"])
@pytest.mark.whole(rows=2)
def test_linked_log_is_not_followed(shop: Shop, tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "agents" / SPOOL).mkdir(parents=True)
    (elsewhere / "agents" / SPOOL / "mine").write_text("kept")
    place = shop.top / ".git" / "thence" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(elsewhere / link)
    before = sorted(elsewhere.rglob("*"))
    shop.fire(hook("UserPromptSubmit", prompt="Go"))
    ended = shop.run("log")
    assert ended.code != 0
    assert "symbolic link" in ended.err
    assert sorted(elsewhere.rglob("*")) == before


def test_repository_of_another_user_counts_as_none(shop, monkeypatch):
    assert fired.repository(str(shop.top)) is not None
    if os.getuid() == 0:
        os.chown(shop.top / ".git", 77, 77)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert fired.repository(str(shop.top)) is None
    assert Path(fired.log_of(str(shop.top))[0]).is_relative_to(shop.env["HOME"])


def test_place_is_the_one_that_git_names(shop: Shop) -> None:
    shop.git("worktree", "add", "-q", "../tree")
    shop.git("submodule", "--quiet", "add", str(shop.top), "part", env={**shop.env, **FROM_FOLDERS})
    inside = shop.top / "part" / "deep"
    inside.mkdir()
    for place in (shop.top, shop.top.parent / "tree", inside, shop.top / "part"):
        common = shop.git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=place)
        top = shop.git("rev-parse", "--show-toplevel", cwd=place)
        log = f"{common.removesuffix('/modules/part')}/thence/agents"  # a submodule has no other
        assert fired.log_of(str(place)) == (log, top)


def hostile(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value, and some that Python's decoder alone takes for it."""
    kind = chance.randrange(12)
    if kind == 0:
        return chance.choice((None, True, False, -1, 0, 2**70, 1e400, float("nan"), -0.0))
    if kind == 1:
        both = ((chance.randrange(256), chance.randrange(0x110000)) for _ in range(20))
        return "".join(chr(chance.choice(pair)) for pair in islice(both, chance.randrange(20)))
    if kind == 2:
        return chance.choice(
            ("/", "..", "\0", "a" * 5000, "*** Begin Patch\n*** Update File: x\n+a", "e" * 40)
        )
    if kind < 5 and depth < 4:
        return [hostile(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind < 7 and depth < 4:
        return {str(hostile(chance, 9)): hostile(chance, depth + 1) for _ in range(3)}
    return chance.choice(("Bash", "Task", "Edit", "s-1", "t-1", "a-1", "git commit", "/tmp/x"))


NAMES = (
    *("session_id", "prompt_id", "turn_id", "cwd", "permission_mode", "transcript_path"),
    *("agent_id", "agent_type", "tool_name", "tool_input", "tool_use_id", "tool_response"),
    *("tool_output", "error", "prompt", "source", "model", "reason", "message", "trigger"),
    *("last_assistant_message", "hook", "commit", "pairs", "parents", "how", "by", "thread-id"),
    *("input-messages", "type", "file_path", "tool_calls"),
)
HOOKS = (
    *("PreToolUse", "PostToolUse", "post_tool_use_failure", "SubagentStart", "SubagentStop"),
    *("Stop", "SessionStart", "SessionEnd", "UserPromptSubmit", "Notification", "x"),
    *("PostToolBatch", "Interrupt", "StopFailure"),
)


def record(chance: random.Random) -> tuple[str, bytes]:
    """One hook's input that is as wrong as chance wants, and its bridge."""
    members: dict[str, Any] = {name: hostile(chance) for name in chance.sample(NAMES, 12)}
    if chance.random() < 0.9:
        members["hook_event_name"] = chance.choice(HOOKS)
    if chance.random() < 0.2:
        members["type"] = "agent-turn-complete"
    if chance.random() < 0.5:
        members["hook"] = chance.choice(("post-commit", "post-rewrite", "post-merge"))
        members["commit"] = chance.choice(("a" * 40, "b" * 7, "", 3))
        members["pairs"] = chance.choice(([["a" * 40, "b" * 40]] * 3, [3], "x", [["x", "y"]]))
    data = json.dumps(members).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(data))
        data = data[:at] + chance.randbytes(3) + data[at + chance.randrange(4) :]
    return chance.choice(("claude-code", "codex", "git", 'unknown \n"')), data


@pytest.mark.promise("A5a")
@pytest.mark.whole
def test_10_000_hostile_records_never_raise(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed("hostile records"))
    spool = shop.log / SPOOL
    spool.mkdir(parents=True)
    monkeypatch.setattr(fired, "ancestors", lambda pid: [(7, "boot-x 1")])
    for number in range(tenth(10_000, 1_000)):
        bridge, data = record(chance)
        head = fired.head_of(bridge, str(shop.top), str(shop.top), data)
        content = fired.record(head, data)
        (spool / f"{number:020d}-1-{number % 2**24:06x}.json").write_bytes(content)
    log = shop.events()
    assert len(log) > tenth(4_000, 400)
    waiting = [path for path in spool.iterdir() if path.suffix == ".json"]
    assert waiting == []
    told = errors(shop.log) if (spool / ERRORS).exists() else ""
    assert "nothing was imported" not in told
    # what has no form at all is refused, and nothing that could have been read
    reasons = {line.partition("is refused: ")[2][:10] for line in told.splitlines()}
    assert reasons <= {"its input ", "it names n", "git's hook", "it is not "}
