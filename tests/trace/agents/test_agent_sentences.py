"""Events of agents as sentences: readable, short, and no other program's."""

import pytest
from tests.trace.agents.played import PlayedRepository, Session

import thence
from thence.core.new_event import HostEvent


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path, bodies_from=1024) as opened:
        yield opened


def told(log, event_type, payload, actor="claude-code/reviewer", source="claude-code"):
    place = {"source": source, "source_id": source and "1"}
    new = HostEvent(event_type, payload, "session/s1", actor, "s1", **place)
    (event,) = log.append_many([new])
    return log.vocabulary.summary(event)


@pytest.mark.parametrize(
    ("event_type", "payload", "sentence"),
    [
        ("prompt", {"prompt": "Add VAT.\nTo all"}, 'the user asked: "Add VAT. To all"'),
        (
            "tool.ended",
            {"files": [{"path": "src/pay.py", "added": "x"}]},
            "claude-code/reviewer edited src/pay.py",
        ),
        (
            "tool.begun",
            {"tool": "Bash", "input": {"command": "git commit"}},
            'claude-code/reviewer called Bash: "git commit"',
        ),
        (
            "tool.begun",
            {"tool": "Task", "input": {"prompt": "Look", "subagent_type": "reviewer"}},
            'claude-code/reviewer gave reviewer its task: "Look"',
        ),
        ("tool.begun", {"input": 7}, "claude-code/reviewer called a tool"),
        (
            "tool.failed",
            {"tool": "Bash", "error": "no"},
            'claude-code/reviewer ended its call of Bash, which failed: "no"',
        ),
        ("commit", {"commit": "a" * 40, "by": "person"}, f"a person committed {'a' * 12}"),
        (
            "rewrite",
            {"old": "a" * 40, "new": "b" * 40, "by": "rebase"},
            f"commit {'a' * 12} became {'b' * 12} by rebase",
        ),
    ],
)
def test_events_of_agents_are_readable(log, event_type, payload, sentence):
    assert told(log, event_type, payload) == sentence


def test_same_types_of_another_program_keep_their_sentence(log):
    assert "asked" not in told(log, "prompt", {"prompt": "x"}, source=None)
    assert "asked" not in told(log, "prompt", {"prompt": "x"}, source="mine")


@pytest.mark.parametrize("value", [None, 7, [], {}, "", [7], [{"path": 7}], {"path": "x"}])
def test_members_of_any_form_make_a_sentence(log, value):
    names = ("prompt", "tool", "input", "files", "error", "commit", "by", "old", "new", "message")
    for event_type in ("prompt", "tool.begun", "tool.ended", "tool.failed", "commit", "rewrite"):
        assert told(log, event_type, dict.fromkeys(names, value))


def test_long_values_are_told_by_their_beginning(tmp_path):
    played = PlayedRepository(tmp_path / "shop")
    session = Session(played, "s1")
    prompt = session.ask("Add VAT " * 1000)
    edit = session.write("a.py", "x = 1\n" * 1000)
    assert played.log.vocabulary.summary(prompt).startswith('the user asked: "Add VAT Add VAT')
    assert played.log.vocabulary.summary(edit) == "claude-code edited a.py"
