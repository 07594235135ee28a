"""Agents and gates are given the variables that are named for them, and no others."""

import json

from tests.cli.installed import thence
from tests.cli.work.orchestra import DO
from tests.git.repositories import git

SECRETS = {
    "THENCE_TOKEN": "t",
    "AWS_SECRET_ACCESS_KEY": "a",
    "GITHUB_TOKEN": "g",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "SOME_API_KEY": "s",
    "PLAIN": "p",
}
NEEDED = {"LC_TIME": "C", "https_proxy": "http://proxy:1", "TZ": "UTC", "XDG_CONFIG_HOME": "/c"}


def variables(project, path):
    """Return what the program that described itself in a file was given."""
    return json.loads(path.read_text())["variables"]


def test_agents_and_gates_get_what_is_listed_and_no_key(make, tmp_path):
    gate = ["sh", "-c", f"env > '{tmp_path}/gate'"]
    project = make({"WP01": []}, gates=[{"type": "CI_CHECK", "command": gate}])
    project.tell(WP01=[[["describe", str(tmp_path / "agent")], *DO]])
    ended = thence("work", "orchestrate", cwd=project.folder, env={**SECRETS, **NEEDED})
    assert ended.code == 0, ended.err
    agent = variables(project, tmp_path / "agent")
    lines = (tmp_path / "gate").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    for given in (agent, told):
        assert not {*SECRETS} & {*given}
        assert NEEDED.items() <= given.items()
        assert {"PATH", "HOME", "THENCE_ACTOR", "THENCE_WP", "THENCE_FEATURE"} <= {*given}
    (assigned,) = project.events("WPAssigned")
    assert agent["THENCE_CAUSE"].startswith(assigned["event_id"])


def test_configuration_names_what_else_they_get(make, tmp_path):
    names = ["SOME_API_KEY", "AWS_*", "THENCE_*"]
    gate = {"type": "CI_CHECK", "command": ["sh", "-c", f"env > '{tmp_path}/gate'"]}
    project = make({"WP01": []}, environment=names, gates=[gate])
    project.tell(WP01=[[["describe", str(tmp_path / "agent")], *DO]])
    ended = thence("work", "orchestrate", cwd=project.folder, env=SECRETS)
    assert ended.code == 0, ended.err
    agent = variables(project, tmp_path / "agent")
    told = {line.partition("=")[0] for line in (tmp_path / "gate").read_text().splitlines()}
    for given in ({*agent}, told):
        assert {*SECRETS} & given == {"SOME_API_KEY", "AWS_SECRET_ACCESS_KEY"}


def test_name_that_is_none_is_refused_with_its_place(make):
    project = make({"WP01": []}, environment=["SOME KEY=1"])
    ended = thence("work", "orchestrate", cwd=project.folder)
    assert ended.code == 2
    assert "is not a variable's name" in ended.err
    assert git(project.folder, "worktree", "list").count("\n") == 0


def test_agent_that_ends_at_once_is_told_with_the_option_that_names_its_key(make):
    project = make({"WP01": []}, retries=0)
    project.tell(WP01=[[["exit", 1]]])
    ended = thence("work", "orchestrate", cwd=project.folder, env=SECRETS)
    assert ended.code == 1
    (note,) = [line for line in ended.err.splitlines() if line.startswith("note ")]
    assert "orchestrate: {environment: [" in note
