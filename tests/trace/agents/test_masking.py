"""No event of agents is in the log before its masking settings are, whatever kills or fills."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.trace.agents.firing import Shop, events, hook

import thence
from thence.trace.agents.fired import SPOOL
from thence.trace.agents.intake import make_log, take_in

SECRET = "AKIA" + "IOSFODNN7EXAMPLE"
AUDITED = ("os.mkdir", "os.rename", "os.remove", "os.truncate", "os.link")
CALLS_MIN, CALLS_MAX = 20, 200


@pytest.fixture
def spooled(shop: Shop) -> tuple[str, bytes]:
    """The name and the content of the file of a prompt with a secret."""
    shop.fire(hook("UserPromptSubmit", prompt=f"use {SECRET}"))
    (path,) = (shop.log / SPOOL).glob("*.json")
    return path.name, path.read_bytes()


def log_with(folder: Path, spooled: tuple[str, bytes]) -> Path:
    log = folder / "thence" / "agents"
    (log / SPOOL).mkdir(parents=True)
    (log / SPOOL / spooled[0]).write_bytes(spooled[1])
    return log


def at_call(number: int, act: Callable[[], object], *, is_for_good: bool) -> None:
    """Have the n-th call that changes the disk, or all from it on, do something before.

    A call that fails must fail in C: what a handler of a signal raises is told from it by that.
    """
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == number or (is_for_good and calls > number):
            act()

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            count()
            return call(*arguments)

        return counted

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in AUDITED or (event == "open" and arguments[2] & os.O_CREAT):
            count()

    for name in ("write", "fsync", "fdatasync"):
        setattr(os, name, guarded(getattr(os, name)))
    sys.addaudithook(audit)


def in_child(work: Callable[[], object]) -> int:
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.promise("A5a")
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "full"])
def test_at_no_call_of_the_first_taking_in_does_a_kill_or_a_full_disk_turn_masking_off(
    tmp_path: Path, spooled: tuple[str, bytes], env: dict[str, str], is_killed: bool
) -> None:
    act = (lambda: os.kill(os.getpid(), signal.SIGKILL)) if is_killed else full
    number, codes = 0, []
    while not codes or codes[-1]:
        number += 1
        folder = log_with(tmp_path / str(number), spooled)

        def work(folder: Path = folder, number: int = number) -> None:
            at_call(number, act, is_for_good=not is_killed)
            take_in(folder)
            os._exit(bool([*(folder / SPOOL).glob("*.json")]))

        codes.append(in_child(work))
        stored = events(folder)
        assert [event.event_type for event in stored] == ["prompt"], number
        assert SECRET.encode() not in (folder / "events.jsonl").read_bytes(), number
        assert number < CALLS_MAX
    assert number >= CALLS_MIN


def test_settings_that_a_user_removed_do_not_come_back(shop: Shop) -> None:
    folder = shop.log
    assert shop.run("hook", "install", "claude-code").code == 0
    (folder / ".thence" / "settings.toml").unlink()
    shop.fire(hook("UserPromptSubmit", prompt=f"use {SECRET}"))
    (event,) = events(folder)
    assert SECRET in event.payload["prompt"]
    assert shop.run("hook", "install", "claude-code").code == 0
    assert not (folder / ".thence" / "settings.toml").exists()


def test_log_that_something_else_made_gets_its_settings_from_the_first_hook(shop: Shop) -> None:
    folder = shop.log
    with thence.open(folder) as log:
        log.append("note")
    shop.fire(hook("UserPromptSubmit", prompt=f"use {SECRET}"))
    *_, event = events(folder)
    assert SECRET not in event.payload["prompt"]


def test_doctor_and_status_say_whether_masking_is_on(shop: Shop) -> None:
    folder = shop.log
    make_log(folder)
    for is_on in (True, False):
        told = shop.run("doctor", "--json", "--log", folder).json
        (check,) = (one for one in told["checks"] if one["name"] == "hooks")
        assert ("masking is on" if is_on else "masking is off") in check["detail"]
        assert ("[redact]" in check["detail"]) is not is_on
        assert (check["ok"], check["hint"]) == (True, "")
        status = shop.run("hook", "status", "--json").json
        assert status["is_masked"] is is_on
        words = "secrets are masked" if is_on else "secrets are not masked"
        assert words in shop.run("hook", "status").out
        (folder / ".thence" / "settings.toml").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["file", "link", "folder", "new"])
def test_draft_of_a_killed_hook_is_removed_with_its_secret(shop, spooled, tmp_path, kind):
    draft, target = shop.log / SPOOL / f".{spooled[0]}.part", tmp_path / "target"
    target.write_bytes(spooled[1])
    {"link": lambda: draft.symlink_to(target), "folder": draft.mkdir}.get(
        kind, lambda: draft.write_bytes(spooled[1])
    )()
    if kind != "new":  # which its hook may still write
        os.utime(draft, (1, 1), follow_symlinks=False)
    assert take_in(shop.log) == 1
    assert os.path.lexists(draft) == (kind in ("folder", "new"))
    assert target.read_bytes() == spooled[1]


@pytest.mark.promise("A5a")
def test_redacted_prompt_is_in_no_file_of_a_long_log(shop, monkeypatch):
    from thence.trace.agents import intake

    monkeypatch.setattr(intake, "_KEPT_EVENTS_MIN", 3)
    said = {
        "prompt": "log in with REDACTME",
        "prompt_id": "REDACTME-p",
        "cwd": str(shop.top / "REDACTME"),
    }
    call = {
        "tool_name": "REDACTME",
        "tool_use_id": "t",
        "tool_input": {"subagent_type": "REDACTME"},
    }
    (shop.top / "REDACTME").mkdir()
    for record in (hook("UserPromptSubmit", **said), hook("PreToolUse", **call, **said)):
        shop.fire(record)
    for number in range(4):
        shop.fire(hook("Notification", message=str(number)))
        shop.events()
    folder = shop.log
    assert (folder / SPOOL / ".sessions").exists()
    prompt, begun, *_ = events(folder)
    for event in (prompt, begun):
        words = ("redact", event.event_id, "--log", folder, "--yes")
        assert shop.run(*words).code == 0
    assert not [path for path in folder.rglob("*") if holds(path, b"REDACTME")]


def holds(path: Path, text: bytes) -> bool:
    return path.is_file() and text in path.read_bytes()
