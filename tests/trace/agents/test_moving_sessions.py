"""A session stays one, in one log, wherever its shell goes."""

import shutil
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.trace.agents.firing import COMMAND, FROM_FOLDERS, Shop, events, fire, git, hook, log_in


@pytest.fixture
def part(shop: Shop, tmp_path: Path) -> Path:
    """A submodule with git's hooks, in a repository with them."""
    source = tmp_path / "source"
    shop.git("init", "-q", "-b", "main", source, cwd=tmp_path)
    (source / "lib.py").write_text("def lib():\n    return 1\n")
    shop.git("add", "-A", cwd=source)
    shop.git("commit", "-qm", "Lib", cwd=source)
    shop.git("submodule", "--quiet", "add", source, "part", env={**shop.env, **FROM_FOLDERS})
    shop.git("commit", "-qm", "Add part")
    part = shop.top / "part"
    for folder in (shop.top, part):
        shop.hook("install", "git", cwd=folder)
    return part


@pytest.mark.promise("A5e")
def test_session_that_moves_into_a_submodule_is_one_with_its_edits_and_commits(shop, part):
    own = {**shop.env, "CLAUDE_PROJECT_DIR": str(shop.top), "CLAUDE_CODE_SESSION_ID": "s-1"}
    edit = {"file_path": str(part / "lib.py"), "old_string": "return 1", "new_string": "return 2"}
    shell = {"tool_name": "Bash", "tool_use_id": "t-3", "tool_input": {"command": "git commit"}}
    tool = {"tool_name": "Edit", "tool_use_id": "t-2", "tool_input": edit}
    shop.fire(hook("SessionStart", source="startup"), env=own)
    shop.fire(hook("UserPromptSubmit", prompt="Mend the lib"), env=own)
    fire(hook("PreToolUse", **tool), cwd=part, env=own)
    (part / "lib.py").write_text("def lib():\n    return 2\n")
    fire(hook("PostToolUse", **tool), cwd=part, env=own)
    fire(hook("PreToolUse", **shell), cwd=part, env=own)
    git("commit", "-qam", "Mend", cwd=part, env=own)
    fire(hook("PostToolUse", **shell), cwd=part, env=own)
    fire(hook("SessionEnd", reason="exit"), cwd=part, env=own)
    log = shop.events()
    (commit,) = (event for event in log if event.event_type == "commit")
    assert (commit.stream, commit.payload["root"]) == ("s-1", str(part))
    assert {event.stream for event in log} == {"s-1"}
    answer = warm("why", "lib.py:2", "--json", cwd=part).json
    assert (answer["kind"], answer["session"], answer["prompt"]) == ("agent", "s-1", "Mend the lib")
    assert warm("unfinished", cwd=part).out.strip() in ("", "nothing is unfinished")


def test_session_of_claude_code_stays_with_its_folder_in_a_nested_clone(shop: Shop) -> None:
    nested = shop.top / "nested"
    shop.git("init", "-q", nested)
    for folder in (str(shop.top), "gone", str(shop.top / "gone")):
        fire(hook("Stop"), cwd=nested, env={**shop.env, "CLAUDE_PROJECT_DIR": folder})
    own = {**shop.env, "CLAUDE_PROJECT_DIR": str(shop.top)}
    fire(hook("Stop"), cwd=nested, env=own, bridge="codex")
    assert len(shop.events()) == 1
    assert len(events(log_in(nested))) == 3
    words = ("git", "post-commit", f"commit={'d' * 40}", "git_dir=.git")
    shop.quiet(["/bin/sh", "-c", f"{COMMAND} {' '.join(words)}"], cwd=nested, env=own)
    *_, commit = events(log_in(nested))
    assert commit.event_type == "commit"  # a commit is in the log of its repository


EDIT = {"tool_name": "Edit", "tool_use_id": "t-2"}
PATCH = "*** Begin Patch\n*** Update File: ../depot/far.py\n@@\n-far = 1\n+far = 2\n*** End Patch"


@pytest.mark.promise("A5e")
@pytest.mark.parametrize(
    ("how", "is_there"),
    [
        ("patch", True),
        ("link", True),
        ("subagent", True),
        ("read", False),
        ("shell", False),
        ("without hooks", False),
    ],
)
def test_a_second_repository_has_a_session_that_edits_there(shop, tmp_path, how, is_there):
    depot = tmp_path / "depot"
    shop.git("init", "-q", "-b", "main", depot, cwd=tmp_path)
    (depot / "far.py").write_text("far = 1\n")
    if how != "without hooks":
        shop.hook("install", "git", cwd=depot)
    (shop.top / "near.py").symlink_to(depot / "far.py")
    path = shop.top / "near.py" if how == "link" else depot / "far.py"
    change = {"file_path": str(path), "old_string": "far = 1", "new_string": "far = 2"}
    call = {
        "patch": {"tool_name": "apply_patch", "tool_use_id": "t-2", "tool_input": PATCH},
        "read": {"tool_name": "Read", "tool_use_id": "t-2", "tool_input": {"file_path": str(path)}},
        "shell": {"tool_name": "Bash", "tool_use_id": "t-2", "tool_input": {"command": "ls"}},
    }.get(how, EDIT | {"tool_input": change})
    agent = {"agent_id": "a-1", "agent_type": "helper"} if how == "subagent" else {}
    bridge = "codex" if how == "patch" else "claude-code"
    begin = [hook("SessionStart", source="startup"), hook("UserPromptSubmit", prompt="Go far")]
    task = {"tool_name": "Task", "tool_use_id": "t-1", "tool_input": {}}
    begin += [hook("PreToolUse", **task), hook("SubagentStart", **agent)] if agent else []
    answer = {"type": "text", "file": {"filePath": str(path), "content": "far = 1"}}
    end = [hook("PreToolUse", **call, **agent), hook("PostToolUse", **call, **agent)]
    end[-1]["tool_response"] = answer if how == "read" else {}
    for record in (*begin, *end, hook("Stop")):
        shop.fire(record, bridge=bridge)
    if not is_there:
        assert not log_in(depot).exists() or events(log_in(depot)) == []
        return
    there, here = events(log_in(depot)), shop.events()
    assert [event.event_id for event in there] == [event.event_id for event in here]
    assert [event.caused_by for event in there] == [event.caused_by for event in here]
    assert [event.payload for event in there] == [event.payload for event in here]


@pytest.mark.promise("A5e")
def test_sessions_that_edit_in_each_others_repositories_are_in_both(shop, tmp_path):
    depot = tmp_path / "depot"
    shop.git("init", "-q", "-b", "main", depot, cwd=tmp_path)
    for folder in (shop.top, depot):
        shop.hook("install", "git", cwd=folder)
    for name, own, other in (("s-1", shop.top, depot), ("s-2", depot, shop.top)):
        change = {"file_path": str(other / "new.py"), "content": f"{name} = 1\n"}
        call = {"tool_name": "Write", "tool_use_id": f"t-{name}", "tool_input": change}
        for record in (
            hook("SessionStart", name, source="startup"),
            hook("UserPromptSubmit", name, prompt="Go far"),
            hook("PreToolUse", name, **call),
            hook("PostToolUse", name, **call, tool_response={"type": "create"}),
        ):
            shop.fire(record, cwd=own)
    for folder in (shop.top, depot):
        told = [(event.stream, event.event_type) for event in events(log_in(folder))]
        kinds = ("session.begun", "prompt", "tool.begun", "tool.ended")
        assert sorted(told) == sorted((name, kind) for name in ("s-1", "s-2") for kind in kinds)


@pytest.mark.promise("A5e")
def test_an_edit_is_known_where_the_sessions_own_log_is_gone(shop: Shop, tmp_path: Path) -> None:
    depot = tmp_path / "depot"
    shop.git("init", "-q", "-b", "main", depot, cwd=tmp_path)
    shop.hook("install", "git", cwd=depot)
    change = {"file_path": str(depot / "new.py"), "content": "new = 1\n"}
    call = {"tool_name": "Write", "tool_use_id": "t-2", "tool_input": change}
    for name in ("SessionStart", "PreToolUse", "PostToolUse"):
        shop.fire(hook(name, **(call if "Tool" in name else {})))
    shutil.rmtree(shop.log)
    assert [event.event_type for event in events(log_in(depot))] == ["tool.begun", "tool.ended"]
    assert not shop.log.exists()
