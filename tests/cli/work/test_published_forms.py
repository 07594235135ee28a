"""What the commands write fits the contracts that tools share: our own JSON Schemas, and more."""

import jsonschema_rs
import pytest
from tests.cli.work.orchestra import orchestrate
from tests.cli.work.projects import done, refused
from tests.git.repositories import commit

from thence.work.events import EVENT_TYPES, schema
from thence.work.journal.store import EventStore


def checked_events(folder):
    """Hold each event of a project against its schema; return the payloads by type."""
    with EventStore.at(folder) as store:
        events = store.read()
    found = {}
    for event in events:
        members = event.members
        assert members["team_slug"] == "local"
        assert None not in members.values()
        if event.event_type in EVENT_TYPES:
            rules = schema(event.event_type)
            jsonschema_rs.Draft202012Validator(rules).validate(event.payload)
        else:
            assert event.event_type.startswith("log."), event
        found.setdefault(event.event_type, []).append(event.payload)
    return found


@pytest.mark.promise("L2")
def test_events_of_each_command_fit_the_shipped_schemas(repo):
    done(repo, "implement", "WP01")
    worktree = repo / ".worktrees/001-sync-WP01"
    commit(worktree, {"made.txt": "made\n"})
    done(repo, "mark-status", "T001")
    done(repo, "mark-status", "T001", "--undo")
    done(repo, "mark-status", "T001")
    done(repo, "add-history", "WP01", "a note")
    done(repo, "move-task", "WP01", "--gate", "CI_CHECK=pending")
    done(repo, "move-task", "WP01", "--gate", "CI_CHECK=passed")
    refused(repo, "move-task", "WP01", "--to", "done", code=1)
    done(repo, "merge")
    done(repo, "accept")
    done(repo, "finalize-tasks", "--add", "Another", "--feature", "001-sync")
    found = checked_events(repo)
    others = {"FeatureCompleted", "WPAssigned"}
    assert {*EVENT_TYPES} - {*found} <= others
    (told,) = [each["gate_results"] for each in found["WPStatusChanged"] if "gate_results" in each]
    assert told == [{"gate_type": "CI_CHECK", "status": "passed"}]
    assert [each["dependencies"] for each in found["WPCreated"]] == [[], ["WP01"], []]


@pytest.mark.promise("L2")
def test_events_of_an_orchestrated_feature_fit_the_shipped_schemas(make):
    project = make({"WP01": [], "WP02": ["WP01"]})
    assert orchestrate(project).code == 0
    found = checked_events(project.folder)
    (completed,) = found["FeatureCompleted"]
    assert isinstance(completed["total_duration"], str)
    assert {"WPAssigned", "DependencyResolved"} <= {*found}
