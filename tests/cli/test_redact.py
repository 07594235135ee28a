"""`thence redact`: what an event says goes, and the command says what it can't reach."""

import json

import pytest
from tests.cli.installed import is_three_lines, on_terminal, thence

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
    assert "not reached: what git has committed" in ended.err
    assert "nonce" in ended.err
    listed = run(log, "log").out
    assert "was redacted: a password" in listed
    assert SECRET not in listed
    again = run(log, "redact", "deploy", "--yes", "--json")
    assert (again.code, again.json["lines"]) == (0, 0)
    assert run(log, "verify").code == 0


def test_nothing_goes_without_a_yes(log):
    without = run(log, "redact", "deploy")
    assert (without.code, is_three_lines(without.err)) == (2, True)
    dry = run(log, "redact", "deploy", "--dry-run")
    assert "would be redacted" in dry.out
    env = {"XDG_CONFIG_HOME": str(log / "config")}
    code, shown = on_terminal(
        log, "redact", "deploy", "--log", "a", answer=(rb"\[y/N\]: ", b"n\n"), **env
    )
    assert (code, "you did not agree" in shown) == (1, True)
    assert found_in(log) == [log / "a" / "events.jsonl"]
    assert not (log / "config").exists()


def test_what_has_no_body_of_a_user_can_not_be_taken_back(log):
    assert run(log, "redact", "deploy", "--yes").code == 0
    refused = run(log, "redact", "@last", "--yes")
    assert (refused.code, is_three_lines(refused.err)) == (1, True)
    with (log / "a" / "events.jsonl").open("a") as segment:
        segment.write('{"event_id":"theirs","event_type":"noted","text":"x"}\n')
    refused = run(log, "redact", "theirs", "--yes")
    assert (refused.code, "another tool" in refused.err) == (1, True)
    assert run(log, "redact", "nobody", "--yes").code == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[redact\n", "it is not TOML"),
        ("[redact]\nrule = []\n", "unknown field `rule`"),
        ('[redact]\nrules = [{name = "own", pattern = "("}]\n', "does not compile"),
    ],
)
@pytest.mark.whole(rows=2)
def test_settings_that_can_not_be_used_lose_nothing_and_the_error_names_the_file(log, text, said):
    settings = log / "a" / ".thence" / "settings.toml"
    before = (log / "a" / "events.jsonl").read_bytes()
    settings.write_text(text)
    refused = run(log, "append", "noted", "--subject", "late")
    assert (refused.code, is_three_lines(refused.err)) == (2, True)
    assert said in refused.err
    assert "a/.thence/settings.toml" in refused.err
    assert "nothing is appended or pushed to a server" in refused.err
    assert (log / "a" / "events.jsonl").read_bytes() == before
    assert "deploy" in run(log, "log").out
    settings.write_text("[redact]\n")
    assert run(log, "append", "noted", "--subject", "late").code == 0
    assert "late" in run(log, "log").out
