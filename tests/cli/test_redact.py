"""`thence redact`: what an event says goes, and the command says what it can't reach."""

import json

import pytest
from tests.cli.installed import on_terminal, thence

SECRET = "swordfish"


@pytest.fixture
def log(tmp_path):
    given = ("--payload", json.dumps({"text": SECRET}), "--subject", "deploy")
    assert thence("append", "noted", *given, "--log", "a", cwd=tmp_path).code == 0
    return tmp_path


def run(folder, *arguments):
    return thence(
        *arguments, "--log", "a", cwd=folder, env={"XDG_CONFIG_HOME": str(folder / "config")}
    )


def found_in(folder):
    files = [path for path in (folder / "a").rglob("*") if path.is_file()]
    return [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.promise("S10a")
def test_event_is_taken_back_with_its_reason_and_what_remains(log):
    ended = run(log, "redact", "deploy", "--yes", "--reason", "a password")
    assert (ended.code, found_in(log)) == (0, [])
    assert "was redacted" in ended.out
    assert "not reached: git commits" in ended.err
    assert "nonce" in ended.err
    listed = run(log, "log").out
    assert "was redacted: a password" in listed
    assert SECRET not in listed
    again = run(log, "redact", "deploy", "--yes", "--json")
    assert (again.code, again.json["lines"]) == (0, 0)
    assert run(log, "verify").code == 0


def test_nothing_goes_without_a_yes(log):
    assert run(log, "redact", "deploy").failure(2).endswith("  next: add --yes\n")
    dry = run(log, "redact", "deploy", "--dry-run")
    assert "would be redacted" in dry.out
    env = {"XDG_CONFIG_HOME": str(log / "config")}
    code, shown = on_terminal(
        log, "redact", "deploy", "--log", "a", answer=(rb"\[y/N\]: ", b"n\n"), **env
    )
    assert (code, "you did not agree" in shown) == (1, True)
    assert found_in(log) == [log / "a" / "events.jsonl"]
    assert not (log / "config").exists()
