"""One emitter a project, one method a type, an outcome that says whether the event is durable."""

import inspect

import pytest
from tests.git.repositories import git, make_repository

from thence.core.vocabulary import WORK
from thence.errors import InvalidEvent, LogReadOnly
from thence.log.files.process_state import new_id
from thence.work import EventEmitter, EventStore, get_emitter
from thence.work.events import EVENT_TYPES

SLUG = "001-sync"
GATE = "01M7XANXT4000000020000NF6Y"
# a call of each method, and the event that it is
CALLS = {
    "wp_status_changed": ((SLUG, "WP01", "planned", "doing"), "WPStatusChanged", "WP01"),
    "wp_created": ((SLUG, "WP01", "The outbox", ["WP02"]), "WPCreated", "WP01"),
    "wp_assigned": ((SLUG, "WP01", "ada", "review", 2), "WPAssigned", "WP01"),
    "wp_reviewed": ((SLUG, "WP01", "a" * 40, "b" * 40, "c" * 40, "c" * 40), "WPReviewed", "WP01"),
    "wp_landed": ((SLUG, "WP01", "patch", "d" * 40), "WPLanded", "WP01"),
    "feature_created": ((SLUG, "main", 3), "FeatureCreated", SLUG),
    "feature_completed": ((SLUG, 3, 12.5), "FeatureCompleted", SLUG),
    "history_added": ((SLUG, "WP01", "a note"), "HistoryAdded", "WP01"),
    "error_logged": (("runtime", "it broke"), "ErrorLogged", "-"),
    "dependency_resolved": ((SLUG, "WP02", "WP01", "merged"), "DependencyResolved", "WP02"),
    "spec_created": ((SLUG, "Sync", "software-dev"), "SpecCreated", SLUG),
    "workspace_created": ((SLUG, "WP01", ".worktrees/x", "x"), "WorkspaceCreated", "WP01"),
    "subtask_completed": ((SLUG, "WP01", "T001", "Keep it"), "SubtaskCompleted", "T001"),
    "subtask_reopened": ((SLUG, "WP01", "T001", "Keep it"), "SubtaskReopened", "T001"),
    "gate_created": ((SLUG, "WP01", "CI_CHECK", GATE), "GateCreated", GATE),
    "gate_result_changed": ((SLUG, GATE, "pending", "passed"), "GateResultChanged", GATE),
}


@pytest.fixture
def emitter(folder):
    with EventStore.at(folder, actor="ada") as store:
        yield EventEmitter(store)


@pytest.mark.promise("S3")
@pytest.mark.parametrize("method", CALLS)
def test_each_type_has_its_method(emitter, method):
    arguments, event_type, aggregate = CALLS[method]
    outcome = getattr(emitter, method)(*arguments)
    assert outcome.is_durable
    assert outcome.error is None
    event = outcome.event
    assert (event.event_type, event.header.aggregate_id) == (event_type, aggregate)
    assert (event.actor, event.vocabulary.name) == ("ada", WORK.name)
    assert [stored.line for stored in emitter.store.read()] == [event.line]
    bound = inspect.signature(getattr(emitter, method)).bind(*arguments).arguments
    slug = bound.pop("feature_slug", None)
    duration = {"total_duration": "12.5"} if "total_duration" in bound else {}
    stated = {name: [*value] if type(value) is tuple else value for name, value in bound.items()}
    assert event.payload.items() >= (stated | duration).items()
    assert event.header.feature_slug == slug


@pytest.mark.promise("S3")
def test_no_type_is_without_a_method_and_no_method_without_a_type():
    methods = {
        name
        for name, value in vars(EventEmitter).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert methods - {"emit", "generate_causation_id"} == set(CALLS)
    types = {event_type for _, event_type, _ in CALLS.values()}
    assert types == set(EVENT_TYPES)


@pytest.mark.promise("S3")
def test_project_has_one_emitter_wherever_it_is_asked_for(folder, tmp_path, monkeypatch):
    (folder / "inner").mkdir()
    git(folder, "worktree", "add", "--quiet", "--detach", tmp_path / "tree")
    monkeypatch.chdir(folder / "inner")
    first = get_emitter()
    assert get_emitter(folder) is get_emitter(tmp_path / "tree") is first
    other = make_repository(tmp_path / "other")
    assert get_emitter(other) is not first
    for each in (first, get_emitter(other)):
        each.store.close()


@pytest.mark.promise("S3")
def test_who_changed_it_is_the_agent_where_known_else_user(folder):
    with EventStore.at(folder) as store:
        told = EventEmitter(store).wp_status_changed(SLUG, "WP01", "planned", "doing").event
        assert (told.actor, told.payload["changed_by"]) == ("user", "user")
    with EventStore.at(folder, actor="ada") as store:
        emitter = EventEmitter(store)
        told = emitter.wp_status_changed(SLUG, "WP01", "planned", "doing").event
        assert (told.actor, told.payload["changed_by"]) == ("ada", "ada")
        told = emitter.wp_status_changed(SLUG, "WP01", "a", "doing", changed_by="bob").event
        assert (told.actor, told.payload["changed_by"]) == ("ada", "bob")


@pytest.mark.promise("S3")
def test_event_that_can_not_be_written_is_an_outcome_and_one_that_is_none_an_error(
    emitter, monkeypatch
):
    def full(*arguments, **keywords):
        raise LogReadOnly("could not append to", place="x", cause="it may not be written")

    monkeypatch.setattr(emitter.store.log, "_host_append", full)
    outcome = emitter.history_added(SLUG, "WP01", "a note")
    assert not outcome.is_durable
    assert isinstance(outcome.error, LogReadOnly)
    assert outcome.events == ()
    assert outcome.event is None
    with pytest.raises(InvalidEvent, match="entry_type"):
        emitter.history_added(SLUG, "WP01", "a note", "shout")


@pytest.mark.promise("S3")
def test_causation_ids_are_ids_and_new_each_time(emitter):
    made = {emitter.generate_causation_id() for _ in range(100)}
    assert len(made) == 100
    assert all(len(each) == len(new_id()) for each in made)
