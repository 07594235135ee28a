"""A move names what decided it, and never what was refused."""

import json

import pytest
from tests.cli.warm import warm
from tests.cli.work.orchestra import DO, orchestrate
from tests.cli.work.three_packages import begun, done, refused, reviewed

from thence.core.vocabulary import WORK
from thence.work.journal.store import EventStore
from thence.work.project.project import find_project

SLUG = "001-sync"
pytestmark = pytest.mark.promise("L14")


def events(folder, event_type=None, about=None, **wanted):
    """Return the events of a type on a package or gate whose payload has these values."""
    with EventStore(find_project(folder)) as store:
        return [
            event
            for event in store.read()
            if event_type in (None, event.event_type)
            and about in (None, event.header.aggregate_id)
            and wanted.items() <= dict(event.payload).items()
        ]


def moved(folder, wp_id, to):
    """Return the last move of a package to a lane."""
    return events(folder, "WPStatusChanged", wp_id, new_status=to)[-1]


def names(move, *causes):
    return {cause.event_id for cause in causes} <= {*move.caused_by}


def test_refusal_and_remark_are_causes_of_nothing_that_decides(project):
    refused(project, "not_in_lane", "move-task", "WP01", "--to", "done")
    done(project, "add-history", "WP01", "a remark")
    begun(project)
    refused(project, "subtasks_open", "move-task", "WP01", "--to", "for_review", "--actor", "ada")
    reviewed(project)
    silent = {each.event_id for each in events(project, "ErrorLogged")}
    silent |= {each.event_id for each in events(project, "HistoryAdded")}
    assert len(silent) == 3
    for event in events(project):
        if event.event_id not in silent:
            assert silent.isdisjoint(event.caused_by), event.line
    why = warm("why", moved(project, "WP01", "for_review").event_id, "--json", cwd=project)
    assert "ErrorLogged" not in why.out
    with EventStore(find_project(project)) as store:
        heads = store.log.heads(store.subject(SLUG, "WP01"))
    left = silent & {head.event_id for head in heads}
    assert len(left) == 1, "one of them names those before, so that they don't add up"
    assert done(project, "status")["summary"]["conflicts"] == 0


def test_orchestrator_names_the_tries_the_approval_and_the_gate_it_goes_by(make):
    gate = {"type": "CI_CHECK", "command": ["test", "-f", "tested"]}
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",), gates=[gate])
    tested = [["write", "tested", "1\n"], ["commit", "Test it"]]
    project.tell(WP01=[[["exit", 3]], DO, tested])
    orchestrate(project).done()
    folder = project.folder
    (failure,) = events(folder, "ErrorLogged")
    first, second, *_ = events(folder, "WPAssigned", agent_id="coder")
    assert not names(first, failure)
    assert names(second, failure)
    failed, passed = events(folder, "GateResultChanged")
    assert "moved gate CI_CHECK from pending to failed" in WORK.summary(failed)
    back = moved(folder, "WP01", "doing")
    assert names(back, failed)
    move = moved(folder, "WP01", "done")
    *_, approved = events(folder, "HistoryAdded", entry_type="review")
    assert names(move, passed, approved)
    assert names(passed, moved(folder, "WP01", "for_review"))
    why = json.loads(warm("why", move.event_id, "--json", cwd=folder).out)
    assert why["chain"][0]["event_type"] == "SpecCreated"
