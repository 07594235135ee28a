"""Masking: what [redact] names is in no file of a log, by whatever way an event came in."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.codes import raises_code
from tests.git.repositories import make_repository

import thence
from thence.core.new_event import HostEvent, NewEvent
from thence.errors import EventTooLarge, InvalidEvent
from thence.log.open import Log
from thence.sim import Event, EventWriter, create_action_event
from thence.work import EventEmitter, EventStore
from thence.work.journal.refusals import ErrorStore

TOKEN = "tok_" + "0123456789abcdef" * 2
PASSWORD = "correct-horse"
CARD = "4111-1111-1111-1111"
NOTE = f"took {TOKEN}, DB_PASSWORD={PASSWORD} end"
MASKED = "took [redacted: our-token], DB_PASSWORD=[redacted: password] end"
PAYLOAD = {"note": NOTE, "card": {"number": CARD, "owner": "Ada"}, "list": [1, TOKEN]}
SETTINGS = """[redact]
rules = [{name = "our-token", pattern = "tok_[0-9a-f]{32}"}]
paths = ["card.number"]
"""


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test's user a config folder without settings."""
    folder = tmp_path / "config" / "thence"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder.parent))
    return folder / "settings.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log" / ".thence").mkdir(parents=True)
    return tmp_path / "log"


def settings_of(folder: Path) -> Path:
    return folder / ".thence" / "settings.toml"


def holds_secret(folder: Path) -> list[Path]:
    """Return the files below a folder in which a secret stands."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    secrets = [text.encode() for text in (TOKEN, PASSWORD, CARD)]
    return [path for path in files if any(text in path.read_bytes() for text in secrets)]


def in_step(log: Log) -> None:
    with suppress(RuntimeError), thence.step("deploy", log=log, **PAYLOAD):
        raise RuntimeError(NOTE)


WAYS: dict[str, Callable[[Log], object]] = {
    "append": lambda log: log.append("note", PAYLOAD),
    "append_many": lambda log: log.append_many([NewEvent("note", PAYLOAD), NewEvent("b", PAYLOAD)]),
    "a host's": lambda log: log._host_append([HostEvent("note", PAYLOAD)]),
    "a host's, queued": lambda log: log._host_append([HostEvent("note", PAYLOAD)], timeout_s=None),
    "append_async": lambda log: asyncio.run(log.append_async("note", PAYLOAD)),
    "emit": lambda log: log.emit("note", PAYLOAD),
    "step": in_step,
}


@pytest.mark.promise("S10b")
@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_secret_is_in_any_file_of_a_log(folder: Path, user: Path, way: str) -> None:
    user.write_text(SETTINGS)
    with thence.open(folder) as log:
        WAYS[way](log)
        log.flush()
        log.rebuild()
        first = log.events()[0]
        assert not log.verify().findings
    assert first.payload["note"] == MASKED
    assert first.payload["card"] == {"number": "[redacted: card.number]", "owner": "Ada"}
    assert first.payload["list"] == [1, "[redacted: our-token]"]
    paths = ["payload.note", "payload.card.number", "payload.list[1]"]
    assert first.members["repairs"] == [{"path": path} for path in paths]
    assert not holds_secret(folder)


@pytest.mark.promise("S10b")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_nothing_of_a_secret_is_in_any_file_of_a_run(folder: Path, mode: str) -> None:
    settings_of(folder).write_text(SETTINGS)
    odd = {TOKEN: float("nan"), "object": ValueError(NOTE)}
    with EventWriter(folder, "run", mode=mode) as writer:
        writer.emit(create_action_event("run", 1, "ada", "go", PAYLOAD))
        writer.emit(Event(event_type="NOTE", description=NOTE, details=odd))
    with thence.open(folder) as log:
        action, note = log.events()
    assert action.payload["action_payload"]["note"] == MASKED
    assert action.payload["action_type"] == "go"
    assert action.members["repairs"][0] == {"path": "details.action_payload.note"}
    assert note.header.description == MASKED
    assert {"path": "description"} in note.members["repairs"]
    assert note.payload["[redacted: our-token]"] == "NaN"
    assert not holds_secret(folder)


@pytest.mark.parametrize("payload", [{"a": "z" * 100_000}, {"a": ["z"] * 100_000}])
def test_event_that_is_too_long_by_its_masks_is_counted_and_ends_no_run(folder, payload):
    settings_of(folder).write_text('[redact]\nrules = [{name = "letter", pattern = "z"}]')
    with EventWriter(folder, "run", mode="sync") as writer:
        assert not writer.emit(create_action_event("run", 1, "ada", "go", payload))
        assert writer.failed_count == 1
        assert writer.emit(create_action_event("run", 2, "ada", "go", {"a": "z"}))
    with thence.open(folder) as log:
        (event,) = log.events()
    assert event.payload["action_payload"] == {"a": "[redacted: letter]"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = make_repository(tmp_path / "project", {".kittify/thence.toml": SETTINGS})
    (made / "below").mkdir()
    return made


@pytest.mark.promise("S10b")
def test_nothing_of_a_secret_is_in_any_file_of_a_project(project: Path) -> None:
    with EventStore.at(project / "below", actor="ada") as store:
        emitter = EventEmitter(store)
        assert emitter.wp_created("001-sync", "WP01", NOTE).is_durable
        moved = emitter.wp_status_changed("001-sync", "WP01", "planned", "doing", reason=NOTE)
        assert moved.event is not None
        assert moved.event.payload["reason"] == MASKED
        assert moved.event.payload["new_status"] == "doing"
        home = store.log.folder
    ErrorStore.at(project).add(
        "gate", entity_id="WP01", attempted_operation="move", reason=NOTE, context={"a": NOTE}
    )
    with thence.open(home) as log:  # as commands do that know no project
        log.append("HistoryAdded", {"entry_content": NOTE})
        assert len(log.events()) == 3
    assert not holds_secret(project)


def test_member_by_which_a_board_knows_a_package_stays_as_it_is(project: Path) -> None:
    rule = '[redact]\npaths = ["wp_id"]\nrules = [{name = "any", pattern = "WP.."}]\n'
    (project / ".kittify" / "thence.toml").write_text(rule)
    with EventStore.at(project) as store:
        event = EventEmitter(store).wp_created("001-sync", "WP01", "as WP02", ["WP02"]).event
    assert event is not None
    assert event.payload == {
        "wp_id": "WP01",
        "title": "as [redacted: any]",
        "feature_slug": "001-sync",
        "dependencies": ["WP02"],
    }


def test_settings_of_user_log_and_project_count_together(project: Path, user: Path) -> None:
    user.write_text('[redact]\npaths = ["card.number"]\ndefaults = false\n')
    own = '[redact]\ndefaults = false\nrules = [{name = "our-token", pattern = "tok_[0-9a-f]+"}]\n'
    (project / ".kittify" / "thence.toml").write_text(own)
    with EventStore.at(project) as store, store.log as log:
        event = log.append("WPNote", PAYLOAD)
        assert event.payload["note"] == NOTE.replace(TOKEN, "[redacted: our-token]")
        assert event.payload["card"]["number"] == "[redacted: card.number]"
        settings_of(log.folder).write_text("[redact]\n")
    with EventStore.at(project) as store, store.log as log:
        assert log.append("WPNote", PAYLOAD).payload["note"] == MASKED


def test_nothing_is_masked_without_settings(folder: Path, user: Path) -> None:
    user.write_text("")
    with thence.open(folder) as log:
        event = log.append("note", PAYLOAD)
    assert event.payload == PAYLOAD
    assert "repairs" not in event.members


def test_lines_of_others_are_taken_in_as_they_are(tmp_path: Path, folder: Path) -> None:
    with thence.open(tmp_path / "other") as other:
        line = other.append("note", PAYLOAD).line
    settings_of(folder).write_text(SETTINGS)
    with thence.open(folder) as log:
        log.relay([line])
        assert [event.line for event in log.read()] == [line]


def test_errors_of_an_append_show_no_secret(folder: Path) -> None:
    settings_of(folder).write_text(SETTINGS)
    with thence.open(folder, bodies_from=None) as log:
        with pytest.raises(InvalidEvent) as raised:
            log.append("note", {TOKEN: object()})
        assert TOKEN not in f"{raised.value} {raised.value.place} {raised.value.args}"
        assert raised.value.__suppress_context__
        with pytest.raises(EventTooLarge):
            log.append("note", {"a": TOKEN * 40_000})
    assert not holds_secret(folder)


BAD = {
    "[redact": "it is not TOML",
    "[redakt]": "unknown field `redakt`",
    "redact = 1": "redact: Expected `object",
    "[redact]\ndefault = true": "redact: Object contains unknown field `default`",
    "[redact]\ndefaults = 1": "redact.defaults: Expected `bool`",
    "[redact]\npaths = 'a'": "redact.paths: Expected `array`",
    "[redact]\npaths = ['a..b']": "redact.paths[0]: Expected `str` of only letters, digits, _",
    '[redact]\npaths = ["a\\n"]': "redact.paths[0]: Expected `str` of only letters",
    f"[redact]\npaths = [{'1, ' * 101}]": "redact.paths: Expected `array` of length <= 100",
    "[redact]\nrules = [{name = 'a'}]": "redact.rules[0]: Object missing required field `pattern`",
    "[redact]\nrules = [{name = 'a b', pattern = 'x'}]": "redact.rules[0].name: Expected `str` of",
    "[redact]\nrules = [{name = 'a', pattern = ''}]": "redact.rules[0].pattern: Expected `str` of",
    "[redact]\nrules = [{name = 'a', pattern = '('}]": "does not compile",
    "[redact]\nrules = [{name = 'a', pattern = 'x*'}]": "matches an empty string",
    f"[redact]\nrules = [{{name = 'a', pattern = '{'x' * 501}'}}]": "`str` of length <= 500",
    "[redact]\nrules = [{name = 'api-key', pattern = 'x'}]": "the name of a built-in rule",
    "#" * 65_537: "longer than 65536 bytes",
}


@pytest.mark.promise("S10b")
@pytest.mark.parametrize("text", BAD, ids=lambda text: BAD[text])
def test_settings_that_cannot_be_used_refuse_appends_and_not_reading(folder, text):
    with thence.open(folder) as log:
        log.append("note", {"n": 1})
    settings_of(folder).write_text(text)
    with thence.open(folder) as log:
        for way in (log.append, log.emit):
            with raises_code("bad_settings") as raised:
                way("note", {"n": 2})
            assert raised.value.place == str(settings_of(folder))
            assert BAD[text] in raised.value.cause
            assert raised.value.hint
        assert [event.payload for event in log.read()] == [{"n": 1}]


def test_run_does_not_begin_with_settings_that_cannot_be_used(folder: Path) -> None:
    settings_of(folder).write_text("[redact]\nrule = []")
    with raises_code("bad_settings"):
        EventWriter(folder, "run")


def test_emitter_of_a_project_raises_what_is_wrong_with_its_settings(project: Path) -> None:
    (project / ".kittify" / "thence.toml").write_text("[redact")
    with EventStore.at(project) as store:
        with raises_code("bad_settings"):
            EventEmitter(store).history_added("001-sync", "WP01", "a note")
        assert store.read() == []


def test_no_link_is_followed_to_the_settings_of_a_project(project: Path, tmp_path: Path) -> None:
    path = project / ".kittify" / "thence.toml"
    path.rename(tmp_path / "elsewhere.toml")
    path.symlink_to(tmp_path / "elsewhere.toml")
    with EventStore.at(project) as store, raises_code("bad_settings", match="symbolic link"):
        EventEmitter(store).history_added("001-sync", "WP01", "a note")


def test_more_than_a_hundred_masks_are_counted(folder: Path) -> None:
    settings_of(folder).write_text(SETTINGS)
    with thence.open(folder) as log:
        event = log.append("note", {"all": [TOKEN] * 117})
    assert TOKEN not in json.dumps(event.payload)
    assert len(event.members["repairs"]) == 101
    assert event.members["repairs"][-1] == {"path": "", "was": "17 more repairs"}
