"""The rules for secrets: what they show of what they find, and what a push does about it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sync.plain_server import Connection, PlainServer
from tests.sync.test_engine import stored

import thence
from thence.core.secrets import SecretRules
from thence.sync.engine import SyncEngine

# put together here, so that no scanner takes this file for a leak
TAIL = "0123456789abcdefABCDEF" * 3
SECRETS = {
    "aws-access-key": ["AK" + "IAIOSFODNN7EXAMPLE", "key AS" + "IAIOSFODNN7EXAMPLE."],
    "github-token": ["gh" + "p_" + TAIL[:36], "github" + "_pat_" + TAIL],
    "gitlab-token": ["gl" + "pat-" + TAIL[:20]],
    "slack-token": ["xo" + "xb-1234567890-abc"],
    "api-key": ["s" + "k-proj-" + TAIL, "s" + "k-" + TAIL, "AI" + "za" + TAIL[:35]],
    "private-key": ["-----BEGIN " + kind + "PRIVATE KEY-----\nMIIE" for kind in ("", "RSA ")],
    "json-web-token": ["bearer ey" + "JhbGciOiJI.ey" + "JzdWIiOiIx.c2lnbmF0dXJl"],
    "hugging-face-token": ["h" + "f_" + TAIL[:34]],
    "npm-token": ["n" + "pm_" + TAIL[:36]],
    "pypi-token": ["py" + "pi-AgEIcHlwaS5vcmc" + TAIL],
    "docker-token": ["dck" + "r_pat_" + TAIL[:27]],
    "sendgrid-key": ["S" + "G." + TAIL[:22] + "." + TAIL[:43]],
    "slack-webhook": ["https://hooks.slack." + "com/services/T0123/B01234567/0123456789abcdef"],
    "authorization": ["Authorization: Basic YWRhOmh1bnRlcjI=", "a Bearer 0123456789abcdef"],
    "password": [
        *("DB_PASSWORD=correcthorse", "api-key: 'abc12345'", 'x {"token": "abcdefg8"}'),
        *('{\\"password\\": \\"hunter2 x\\"}', "db://ada:hunter2@host", "x --token 0123456789a"),
        *("curl -u ada:hunter2hunter2", "STRIPE_KEY=hunter22"),
        '{"name": "DB_PASS", "value": "hunter2hunter2"}',
    ],
}


secret_in = SecretRules().found_in


def line(**payload: object) -> bytes:
    return json.dumps({"event_id": "01A", "payload": payload, "nonce": "s" + "k-" + TAIL}).encode()


@given(st.text(), st.sampled_from([each for some in SECRETS.values() for each in some]))
def test_path_shows_nothing_of_what_is_no_plain_name(text, secret):
    found = secret_in(line(**{f"{text} {secret}": {f"{text} x": "AK" + "IAIOSFODNN7EXAMPLE"}}))
    assert found is not None
    assert found.path in ("payload.(key)", "payload.….(key)", "payload.…")


def test_member_of_a_payload_is_seen_though_it_has_the_name_of_a_lines_own():
    found = secret_in(line(nonce="AK" + "IAIOSFODNN7EXAMPLE"))
    assert found == ("aws-access-key", "payload.nonce")


@pytest.mark.promise("S10a")
def test_line_with_a_secret_is_sent_only_after_the_user_named_it(tmp_path):
    server = PlainServer()
    with thence.open(tmp_path / "a") as log:
        log.append("note", {"text": "hello"})
        secret = log.append("note", {"text": "the DB_PASSWORD=correcthorse"})
        engine = SyncEngine(log, Connection(server))
        for _ in range(2):
            result = engine.round()
            assert (result.left, result.rejected, result.parked) == (0, 0, 1)
            assert len(server.lines) == 1
            assert engine.outbox.retry() == 0
        (parked,) = engine.outbox.parked()
        assert parked.is_secret
        assert parked.reason == "it seems to hold a secret: password in payload.text"
        assert engine.outbox.let_out(log.events()[0].event_id) == 0
        assert engine.outbox.let_out(secret.event_id) == 1
        assert engine.round().is_complete
        assert sorted(server.lines) == stored(log.folder)
        engine.close()
        engine = SyncEngine(log, Connection(PlainServer()), target="another")
        assert engine.round().parked == 1, "what went to one server may not go to another"
        engine.close()


@pytest.mark.promise("S10b")
def test_line_that_an_own_rule_matches_is_parked_until_the_user_named_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    server = PlainServer()
    with thence.open(tmp_path / "a") as log:
        log.append("note", {"text": "the tok_12345678", "card": {"number": 1234}})
        log.append("note", {"card": {"number": 1234}})
    settings = tmp_path / "a" / ".thence" / "settings.toml"
    rules = 'rules = [{name = "our-token", pattern = "tok_[0-9]{8}"}]'
    settings.write_text(f'[redact]\n{rules}\npaths = ["card.number"]\n')
    with thence.open(tmp_path / "a") as log:
        masked = log.append("note", {"text": "the tok_12345678", "card": {"number": 1234}})
        engine = SyncEngine(log, Connection(server))
        assert engine.round().parked == 2
        assert server.lines == [masked.line]
        assert [each.reason for each in engine.outbox.parked()] == [
            "it seems to hold a secret: our-token in payload.text",
            "it seems to hold a secret: card.number in payload.card.number",
        ]
        engine.close()
    settings.write_text("[redact")
    with thence.open(tmp_path / "a") as log:
        engine = SyncEngine(log, Connection(PlainServer()), target="another")
        result = engine.round()
        assert result.error.code == "bad_settings"
        assert (result.pushed, result.left) == (0, 3)
        engine.close()


def test_project_cannot_turn_off_the_rules_of_its_users_for_a_push(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    home = tmp_path / "project/.git/thence/id"
    settings = tmp_path / "project/.kittify/thence.toml"
    settings.parent.mkdir(parents=True)
    off = "[redact]\ndefaults = false\n"
    settings.write_text(off)
    with thence.open(home) as log:
        event = log.append("note", {"text": "the DB_PASSWORD=correcthorse"})
        assert event.payload == {"text": "the DB_PASSWORD=correcthorse"}
        assert log.redact_settings.parking.found_in(event.line)
    (tmp_path / "config" / "thence").mkdir(parents=True)
    (tmp_path / "config" / "thence" / "settings.toml").write_text(off)
    with thence.open(home) as log:
        assert log.redact_settings.parking.found_in(event.line) is None
