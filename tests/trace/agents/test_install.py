"""Hooks are put in beside what stands there, work, and go without a trace."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import Ended
from tests.cli.warm import warm as run
from tests.trace.agents.firing import events, git, hook, log_in

OTHERS = """{
    "model": "m-1",
    "hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "guard"}]}]
    },
    "permissions": {"allow": ["Bash(ls:*)"]}
}"""


def settings_of(folder: Path) -> Any:
    return json.loads((folder / ".claude" / "settings.local.json").read_text())


def ok(*words: object, cwd: Path, env: dict[str, str], code: int = 0) -> Ended:
    ended = run("hook", *words, cwd=cwd, env=env)
    assert ended.code == code, ended.err
    return ended


def test_installed_hooks_of_claude_code_record(repository: Path, env: dict[str, str]) -> None:
    ok("install", "claude-code", cwd=repository, env=env)
    hooks = settings_of(repository)["hooks"]
    assert len(hooks) == 19
    # Claude Code has the hooks of these make and remove worktrees
    assert not {"WorktreeCreate", "WorktreeRemove"} & hooks.keys()
    for name in ("SessionStart", "PreToolUse"):
        (group,) = hooks[name]
        argv = ["/bin/sh", "-c", group["hooks"][0]["command"]]
        record = json.dumps(hook(name, tool_name="Read", tool_use_id="t")).encode()
        subprocess.run(argv, input=record, cwd=repository, env=env, check=True)
    assert [e.event_type for e in events(log_in(repository))] == ["session.begun", "tool.begun"]


@pytest.mark.promise("A5c")
@pytest.mark.parametrize("content", [None, OTHERS, '{\n\t"a": 1e3\n}', "{}"])
def test_uninstall_leaves_all_that_is_not_ours(
    repository: Path, env: dict[str, str], content: str | None
) -> None:
    path = repository / ".claude" / "settings.local.json"
    if content is not None:
        path.parent.mkdir()
        path.write_text(content)
    ok("install", "claude-code", cwd=repository, env=env)
    first = path.read_bytes()
    ok("install", "claude-code", cwd=repository, env=env)
    assert path.read_bytes() == first
    ok("uninstall", "claude-code", cwd=repository, env=env)
    members = json.loads(content or "{}")
    rest = json.loads(path.read_text()) if path.exists() else {}
    assert [*rest.items()] == [*members.items()]
    assert path.parent.exists() == bool(members)
    assert log_in(repository).is_dir()


@pytest.mark.promise("A5c")
def test_what_others_changed_meanwhile_stays(repository: Path, env: dict[str, str]) -> None:
    path = repository / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text(OTHERS)
    ok("install", "claude-code", cwd=repository, env=env)
    settings = settings_of(repository)
    assert list(settings) == ["model", "hooks", "permissions"]
    assert settings["hooks"]["PreToolUse"][0]["hooks"] == [{"type": "command", "command": "guard"}]
    settings["hooks"]["Stop"][0]["hooks"].append({"type": "command", "command": "say"})
    path.write_text(json.dumps(settings))
    ok("uninstall", "claude-code", cwd=repository, env=env)
    expected = json.loads(OTHERS)
    expected["hooks"]["Stop"] = [{"hooks": [{"type": "command", "command": "say"}]}]
    assert settings_of(repository) == expected


@pytest.mark.parametrize("content", ["{", '{"hooks": 3}', "[]", '{"hooks": {"Stop": {}}}'])
def test_settings_that_are_not_understood_are_left_alone(
    repository: Path, env: dict[str, str], content: str
) -> None:
    path = repository / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text(content)
    for word, code in (("install", 1), ("uninstall", 0)):
        ok(word, "claude-code", cwd=repository, env=env, code=code)
        assert path.read_text() == content
    ended = ok("install", "claude-code", "--json", cwd=repository, env=env, code=1)
    (change,) = ended.json["hooks"]
    assert change["state"] == "left"
    assert change["note"]


@pytest.mark.parametrize(
    "content",
    [
        '{"permissions": {"allow": ["Bash(sh /x/thence/agents/hook.sh:*)"]}}',
        '{"hooks": {"Stop": [{"hooks": 5}, {"hooks": ["thence/agents/hook.sh"]}, 7], "X": []}}',
        '{"hooks": {"Stop": [{"hooks": [{"command": "cat /x/thence/agents/hook.sh"}]}]}}',
    ],
)
def test_what_only_looks_like_a_hook_of_ours_stays(
    repository: Path, env: dict[str, str], content: str
) -> None:
    path = repository / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text(content)
    ok("uninstall", "claude-code", cwd=repository, env=env)
    assert path.read_text() == content
    ok("install", "claude-code", cwd=repository, env=env)
    settings = settings_of(repository)
    settings["own"] = 1  # so that the text from before is not put back whole
    path.write_text(json.dumps(settings))
    ok("uninstall", "claude-code", cwd=repository, env=env)
    expected = {**json.loads(content), "own": 1}
    assert settings_of(repository) == expected


def test_hooks_are_not_installed_for_project_and_user_both(
    repository: Path, env: dict[str, str]
) -> None:
    ok("install", "claude-code", "--user", cwd=repository, env=env)
    ended = ok("install", "claude-code", "--json", cwd=repository, env=env)
    assert ended.json["hooks"][0]["state"] == "unchanged"
    assert not (repository / ".claude").exists()
    assert (Path(env["HOME"]) / ".claude" / "settings.json").exists()
    states = {
        (change["tool"], Path(change["path"]).name): change["state"]
        for change in ok("status", "--json", cwd=repository, env=env).json["hooks"]
    }
    assert states["claude-code", "settings.json"] == "installed"
    assert states["claude-code", "settings.local.json"] == "absent"
    assert states["git", "post-commit"] == "absent"


def test_settings_that_a_clone_links_elsewhere_are_not_written(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (repository / ".claude").symlink_to(tmp_path / "elsewhere")
    ended = ok("install", "claude-code", "--json", cwd=repository, env=env, code=1)
    assert ended.json["hooks"][0]["state"] == "left"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("tool", ["claude-code", "codex"])
def test_settings_with_paths_of_this_machine_are_hidden_from_git(
    repository: Path, env: dict[str, str], tool: str
) -> None:
    exclude = repository / ".git" / "info" / "exclude"
    exclude.write_text("*.log")
    exclude.chmod(0o444)
    for _ in range(2):
        ok("install", tool, cwd=repository, env=env)
        assert git("status", "--porcelain", cwd=repository, env=env) == ""
    assert exclude.read_text().count(".codex" if tool == "codex" else ".claude") == 1
    ok("uninstall", tool, cwd=repository, env=env)
    assert exclude.read_text() == "*.log"
    assert exclude.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("words", [("claude-code",), ("git",), ("git", "--user")])
def test_folder_outside_a_repository_is_refused(
    tmp_path: Path, env: dict[str, str], words: tuple[str, ...]
) -> None:
    bare = tmp_path / "bare.git"
    git("init", "-q", "--bare", bare, cwd=tmp_path, env=env)
    for place in (tmp_path, bare):
        ended = run("hook", "install", *words, cwd=place, env=env)
        assert ended.code == 1
        assert "why:" in ended.err
        assert ended.err.count("\n") == 3


def test_codex_has_hooks_of_its_own_form(repository: Path, env: dict[str, str]) -> None:
    home = Path(env["HOME"], ".codex")
    ok("install", "codex", "--user", cwd=repository, env=env)
    hooks = json.loads((home / "hooks.json").read_text())["hooks"]
    assert len(hooks) == 12
    assert {
        group["hooks"][0]["timeout"] for group in (*hooks["SessionEnd"], *hooks["Interrupt"])
    } == {3}
    argv = ["/bin/sh", "-c", hooks["Stop"][0]["hooks"][0]["command"]]
    record = json.dumps({"hook_event_name": "Stop", "session_id": "c-1", "turn_id": "u-1"})
    subprocess.run(argv, input=record.encode(), cwd=repository, env=env, check=True)
    (turn_end,) = events(log_in(repository))
    assert (turn_end.event_type, turn_end.actor, turn_end.stream) == ("turn.ended", "codex", "c-1")
    assert turn_end.payload["prompt_id"] == "u-1"
    ok("uninstall", "codex", "--user", cwd=repository, env=env)
    assert not home.exists()


EXISTING = """#!/usr/bin/env bash
set -eu
while read -r old new rest; do echo "$old $new" >> "$OUT"; done
echo ran >> "$OUT"
exit 0
"""


@pytest.mark.parametrize("hooks_path", [None, ".githooks"])
def test_hooks_of_git_run_before_those_that_stand_there(
    repository: Path, env: dict[str, str], tmp_path: Path, hooks_path: str | None
) -> None:
    folder = repository / (hooks_path or ".git/hooks")
    folder.mkdir(parents=True, exist_ok=True)
    if hooks_path:
        git("config", "core.hooksPath", hooks_path, cwd=repository, env=env)
    for name in ("post-commit", "post-rewrite"):
        (folder / name).write_text(EXISTING)
        (folder / name).chmod(0o755)
    out = tmp_path / "out"
    env = {**env, "OUT": str(out)}
    ok("install", "git", cwd=repository, env=env)
    ok("install", "git", cwd=repository, env=env)
    git("worktree", "add", "-q", "../tree", cwd=repository, env=env)
    tree = tmp_path / "tree"
    if hooks_path:  # it is looked for in each worktree
        (tree / ".githooks").symlink_to(repository / ".githooks")
    git("commit", "-q", "--allow-empty", "-m", "One", cwd=tree, env=env)
    old = git("rev-parse", "HEAD", cwd=tree, env=env)
    git("commit", "-q", "--amend", "--allow-empty", "-m", "Two", cwd=tree, env=env)
    new = git("rev-parse", "HEAD", cwd=tree, env=env)
    log = events(log_in(repository))
    assert [event.subject for event in log] == [f"commit/{s}" for s in (old, new, new)]
    assert [event.event_type for event in log] == ["commit", "commit", "rewrite"]
    assert {event.payload["root"] for event in log} == {str(tree)}
    assert out.read_text() == f"ran\nran\n{old} {new}\nran\n"
    ok("uninstall", "git", cwd=repository, env=env)
    assert (folder / "post-commit").read_text() == EXISTING
    assert not (folder / "post-merge").exists()


def test_merge_is_recorded_where_it_made_a_commit(repository: Path, env: dict[str, str]) -> None:
    ok("install", "git", cwd=repository, env=env)
    git("checkout", "-q", "-b", "side", cwd=repository, env=env)
    git("commit", "-q", "--allow-empty", "-m", "Side", cwd=repository, env=env)
    git("checkout", "-q", "main", cwd=repository, env=env)
    git("merge", "-q", "--no-ff", "-m", "Merge", "side", cwd=repository, env=env)
    merge = git("rev-parse", "HEAD", cwd=repository, env=env)
    git("checkout", "-q", "side", cwd=repository, env=env)
    git("merge", "-q", "main", cwd=repository, env=env)  # moves the branch only
    subjects = [event.subject for event in events(log_in(repository))]
    assert len(subjects) == 2
    assert subjects[1] == f"commit/{merge}"


def test_hook_that_is_no_shell_script_is_left(repository: Path, env: dict[str, str]) -> None:
    path = repository / ".git" / "hooks" / "post-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/usr/bin/env python3\nprint(1)\n")
    ended = ok("install", "git", "--json", cwd=repository, env=env, code=1)
    states = {Path(change["path"]).name: change["state"] for change in ended.json["hooks"]}
    assert states == {
        "post-commit": "left",
        "post-rewrite": "installed",
        "post-merge": "installed",
    }
    assert path.read_text() == "#!/usr/bin/env python3\nprint(1)\n"


def test_hook_of_more_than_4_mib_is_left_whole(repository: Path, env: dict[str, str]) -> None:
    path = repository / ".git" / "hooks" / "post-commit"
    path.parent.mkdir(exist_ok=True)
    content = "#!/bin/sh\n" + "# long\n" * 700_000 + "exit 0\n"
    path.write_text(content)
    ended = ok("install", "git", "--json", cwd=repository, env=env, code=1)
    assert [change["state"] for change in ended.json["hooks"]] == ["left", "installed", "installed"]
    assert path.read_text() == content
    ok("status", cwd=repository, env=env)


def test_doctor_tells_of_refused_files(repository: Path, env: dict[str, str]) -> None:
    ok("install", "git", cwd=repository, env=env)
    assert "hooks" in run("doctor", cwd=repository, env=env).out
    (log_in(repository) / "spool" / "x.json").write_text("{")
    assert run("log", cwd=repository, env=env).code == 0
    ended = run("doctor", "--json", cwd=repository, env=env)
    check = next(check for check in ended.json["checks"] if check["name"] == "hooks")
    assert not check["ok"]
    assert "x.json is refused" in check["detail"]
    assert ok("status", "--json", cwd=repository, env=env).json["refused"] == 1


def test_text_of_settings_stays_over_a_new_environment(
    repository: Path, env: dict[str, str]
) -> None:
    for tool in ("claude-code", "codex", "git"):
        ok("install", tool, cwd=repository, env=env)
    files = [repository / ".claude/settings.local.json", repository / ".codex/hooks.json"]
    files.append(repository / ".git/hooks/post-commit")
    texts = [file.read_text() for file in files]
    script = log_in(repository) / "hook.sh"
    assert [sys.executable in text for text in (*texts, script.read_text())] == [False] * 3 + [True]
    own = script.read_bytes()
    script.write_bytes(own.replace(sys.executable.encode(), b"/old/bin/python"))
    ok("install", "codex", cwd=repository, env=env)
    assert script.read_bytes() == own
    assert [file.read_text() for file in files] == texts


def test_hook_whose_program_is_gone_is_silent_and_told(
    repository: Path, env: dict[str, str]
) -> None:
    for tool in ("claude-code", "git"):
        ok("install", tool, cwd=repository, env=env)
    states = ok("status", "--json", cwd=repository, env=env).json["tools"]
    assert {state["tool"]: state["state"] for state in states} == {
        "claude-code": "never fired",
        "git": "never fired",
    }
    script = log_in(repository) / "hook.sh"
    own = script.read_text()
    words = settings_of(repository)["hooks"]["Stop"][0]["hooks"][0]["command"]
    for text in (own.replace(sys.executable, "/old/bin/python"), own.replace("fired.py", "f.py")):
        script.write_text(text)
        for argv in (["/bin/sh", "-c", words], ["/bin/sh", script, "claude-code"]):
            done = subprocess.run(argv, input=b"{}", cwd=repository, env=env, capture_output=True)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        git("commit", "-q", "--allow-empty", "-m", "One", cwd=repository, env=env)
        states = ok("status", "--json", cwd=repository, env=env).json["tools"]
        assert {state["state"] for state in states} == {"no program"}
        ended = run("doctor", cwd=repository, env=env)
        assert ended.code == 0
        told = " ".join(ended.out.split())
        assert "claude-code: its program is gone" in told
        assert "next: thence hook install claude-code; thence hook install git" in told
    script.write_text(own)
    assert events(log_in(repository)) == []
    script.unlink()
    states = ok("status", "--json", cwd=repository, env=env).json["tools"]
    assert [state["state"] for state in states] == ["no program"] * 2


def test_status_says_when_hooks_last_fired(repository: Path, env: dict[str, str]) -> None:
    for tool in ("claude-code", "codex", "git"):
        ok("install", tool, cwd=repository, env=env)
    assert "warn    hooks" in run("doctor", cwd=repository, env=env).out
    record = json.dumps(hook("Stop")).encode()
    for file in (".claude/settings.local.json", ".codex/hooks.json"):
        hooks = json.loads((repository / file).read_text())["hooks"]
        argv = ["/bin/sh", "-c", hooks["Stop"][0]["hooks"][0]["command"]]
        own = {**env, "CLAUDE_PROJECT_DIR": str(repository)}
        subprocess.run(argv, input=record, cwd=repository, env=own, check=True)
    git("commit", "-q", "--allow-empty", "-m", "One", cwd=repository, env=env)
    waiting = ok("status", "--json", cwd=repository, env=env).json
    assert waiting["waiting"] == 3
    assert [state["state"] for state in waiting["tools"]] == ["fired"] * 3
    times = {event.actor: event.timestamp for event in events(log_in(repository))}
    taken_in = ok("status", "--json", cwd=repository, env=env).json
    assert taken_in["waiting"] == 0
    for answer in (waiting, taken_in):
        assert {state["tool"]: state["last_fired"] for state in answer["tools"]} == times
    assert "ok      hooks" in run("doctor", cwd=repository, env=env).out


def test_hooks_that_a_setting_switches_off_are_told(repository: Path, env: dict[str, str]) -> None:
    (repository / ".claude").mkdir()
    (repository / ".claude/settings.json").write_text('{"disableAllHooks": true}')
    assert "take disableAllHooks" in ok("install", "claude-code", cwd=repository, env=env).err
    (state,) = ok("status", "--json", cwd=repository, env=env).json["tools"]
    assert state["state"] == "switched off"
    assert "disableAllHooks" in state["hint"]
    assert "disableAllHooks" in " ".join(run("doctor", cwd=repository, env=env).out.split())


def test_uninstall_leaves_modes_and_line_ends_as_they_were(
    repository: Path, env: dict[str, str]
) -> None:
    exclude, own = repository / ".git/info/exclude", repository / ".git/hooks/post-commit"
    exclude.write_text("*.log")
    exclude.chmod(0o444)
    own.write_text("#!/bin/sh\ntrue\n")
    own.chmod(0o700)
    before = [(path.read_bytes(), path.stat().st_mode) for path in (exclude, own)]
    for step in ("install", "uninstall"):
        for tool in ("claude-code", "git"):
            ok(step, tool, cwd=repository, env=env)
    assert [(path.read_bytes(), path.stat().st_mode) for path in (exclude, own)] == before


def test_hooks_of_git_that_are_gone_are_told(repository: Path, env: dict[str, str]) -> None:
    ok("install", "claude-code", cwd=repository, env=env)
    assert "gone" not in ok("status", cwd=repository, env=env).out
    ok("install", "git", cwd=repository, env=env)
    git("config", "core.hooksPath", ".gh", cwd=repository, env=env)
    words = "thence hook install git"
    for answer in (ok("status", cwd=repository, env=env), run("doctor", cwd=repository, env=env)):
        assert "git: installed and gone" in answer.out
        assert words in " ".join(answer.out.split())
    ok("install", "git", cwd=repository, env=env)
    assert "gone" not in ok("status", cwd=repository, env=env).out
    ok("uninstall", "git", cwd=repository, env=env)
    git("config", "--unset", "core.hooksPath", cwd=repository, env=env)
    git("commit", "-q", "--allow-empty", "-m", "One", cwd=repository, env=env)
    assert events(log_in(repository)) == []  # though the block in .git/hooks is still there


def test_codex_is_told_to_be_trusted_once(repository: Path, env: dict[str, str]) -> None:
    told = ok("install", "codex", cwd=repository, env=env).err
    assert "Trust all and continue" in told
    assert "trust the folder" in told
    assert "/hooks" in told
    assert "codex_hooks" not in told
    (state,) = ok("status", "--json", cwd=repository, env=env).json["tools"]
    assert state["state"] == "never fired"
    assert "Trust" in state["hint"]


def test_users_settings_run_the_script_of_the_state_folder(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    own = {**env, "CODEX_HOME": str(tmp_path / "cx"), "CLAUDE_CONFIG_DIR": str(tmp_path / "cl")}
    script = Path(env["HOME"], ".local/state/thence/agents/hook.sh")
    for tool, path in (("codex", "cx/hooks.json"), ("claude-code", "cl/settings.json")):
        ok("install", tool, "--user", cwd=repository, env=own)
        hooks = json.loads((tmp_path / path).read_text())["hooks"]
        assert hooks["Stop"][0]["hooks"][0]["command"] == f"sh {script} {tool} || true"
        states = ok("status", "--json", cwd=repository, env=own).json["tools"]
        assert (states[-1]["tool"], states[-1]["state"]) == (tool, "never fired")
        ok("uninstall", tool, "--user", cwd=repository, env=own)
    assert not (log_in(repository) / "hook.sh").exists()


def test_install_ends_with_a_next_step(repository: Path, env: dict[str, str]) -> None:
    assert "thence hook install git" in ok("install", "claude-code", cwd=repository, env=env).err
    for tool in ("git", "claude-code"):
        told = ok("install", tool, cwd=repository, env=env).err
        assert told.startswith("next: ")
        assert "thence why FILE:LINE" in told


# as husky's own: it runs the file beside its folder, of which there need be none
HUSKY = """#!/bin/sh
script="$(dirname "$0")/../$(basename "$0")"
[ -f "$script" ] || exit 0
sh -e "$script" "$@"
"""


@pytest.mark.parametrize("content", [None, "echo ran >> out\n", "#!/bin/sh\necho ran >> out\n"])
def test_block_is_in_the_file_that_husky_runs(
    repository: Path, env: dict[str, str], content: str | None
) -> None:
    folder = repository / ".husky"
    (folder / "_").mkdir(parents=True)
    git("config", "core.hooksPath", ".husky/_", cwd=repository, env=env)
    if content:
        (folder / "post-commit").write_text(content)
    ended = ok("install", "git", cwd=repository, env=env)
    assert "other clones" in ended.out
    for name in ("post-commit", "post-rewrite", "post-merge"):  # husky writes these anew
        (folder / "_" / name).write_text(HUSKY)
        (folder / "_" / name).chmod(0o755)
    git("commit", "-q", "--allow-empty", "-m", "One", cwd=repository, env=env)
    git("commit", "-q", "--amend", "--allow-empty", "-m", "Two", cwd=repository, env=env)
    log = events(log_in(repository))
    assert [event.event_type for event in log] == ["commit", "commit", "rewrite"]
    assert (repository / "out").exists() == bool(content)
    ok("uninstall", "git", cwd=repository, env=env)
    path = folder / "post-commit"
    assert (path.read_text() if path.exists() else None) == content


@pytest.mark.parametrize("content", [None, "#!/bin/sh\n# of lefthook or pre-commit\n"])
def test_amend_rebase_and_merge_are_recorded_also_beside_a_manager(
    repository: Path, env: dict[str, str], content: str | None
) -> None:
    paths = [repository / ".git/hooks" / f"post-{name}" for name in ("commit", "rewrite", "merge")]
    for path in paths if content else ():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content or "")
    ok("install", "git", cwd=repository, env=env)

    def commit(name: str, *words: str) -> None:
        (repository / name).write_text(name)
        git("add", name, cwd=repository, env=env)
        git("commit", "-q", "-m", name, *words, cwd=repository, env=env)

    commit("a")
    commit("b", "--amend")
    git("checkout", "-q", "-b", "side", "HEAD~1", cwd=repository, env=env)
    commit("c")
    git("rebase", "-q", "main", cwd=repository, env=env)
    git("checkout", "-q", "main", cwd=repository, env=env)
    git("merge", "-q", "--no-ff", "-m", "m", "side", cwd=repository, env=env)
    log = events(log_in(repository))
    assert [event.payload["by"] for event in log if event.event_type == "rewrite"] == [
        "amend",
        "rebase",
    ]
    commits = [event.payload["commit"] for event in log if event.event_type == "commit"]
    assert commits[-1] == git("rev-parse", "HEAD", cwd=repository, env=env)
    rewritten = {
        sha for event in log for sha in (event.payload.get("old"), event.payload.get("new"))
    }
    assert rewritten - {None} <= set(commits)
    assert len(commits) == 5
    for path in paths if content else ():
        path.write_text(content or "")  # as a manager does at its next start
    (state,) = ok("status", "--json", cwd=repository, env=env).json["tools"]
    assert state["state"] == ("gone" if content else "fired")


def test_script_that_settings_of_a_clone_name_is_not_started(
    repository: Path, env: dict[str, str]
) -> None:
    script = repository / "x" / "thence" / "agents" / "hook.sh"
    script.parent.mkdir(parents=True)
    script.write_text(f"touch {repository}/ran\n")
    entry = {"type": "command", "command": f"sh {script} codex || true"}
    (repository / ".codex").mkdir()
    hooks = repository / ".codex" / "hooks.json"
    hooks.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [entry]}]}}))
    status = run("hook", "status", "--json", cwd=repository, env=env).json
    assert [file["state"] for file in status["hooks"] if file["path"] == str(hooks)] == ["left"]
    ok("install", "git", cwd=repository, env=env)
    assert "it runs the hooks of another folder" in " ".join(
        run("doctor", cwd=repository, env=env).out.split()
    )
    assert not (repository / "ran").exists()
    ok("install", "codex", cwd=repository, env=env)
    assert str(script) not in hooks.read_text()


def test_submodule_has_its_hooks_without_a_warning(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    own = {**env, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow"}
    own["GIT_CONFIG_VALUE_0"] = "always"
    git("submodule", "--quiet", "add", repository, "part", cwd=repository, env=own)
    ended = ok("install", "git", "--json", cwd=repository / "part", env=env)
    assert [change["note"] for change in ended.json["hooks"]] == [""] * 3
    assert {Path(change["path"]).parent for change in ended.json["hooks"]} == {
        repository / ".git/modules/part/hooks"
    }


def test_agents_process_is_the_one_above_the_shell_of_its_hook(
    repository: Path, env: dict[str, str]
) -> None:
    ok("install", "claude-code", cwd=repository, env=env)
    words = settings_of(repository)["hooks"]["SessionStart"][0]["hooks"][0]["command"]
    record = json.dumps(hook("SessionStart")).encode()
    subprocess.run(["/bin/sh", "-c", words], input=record, cwd=repository, env=env, check=True)
    (begin,) = events(log_in(repository))
    assert begin.payload["process"][0] == os.getpid()
