"""Hooks are put in beside what stands there, work, and go without a trace."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.warm import warm as run
from tests.trace.agents.firing import FROM_FOLDERS, Shop, git, hook

from thence.trace.agents import installed

OTHERS = """{
    "model": "m-1",
    "hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "guard"}]}]
    },
    "permissions": {"allow": ["Bash(ls:*)"]}
}"""


def settings_of(folder: Path) -> Any:
    return json.loads((folder / ".claude" / "settings.local.json").read_text())


def test_installed_hooks_of_claude_code_record(shop: Shop) -> None:
    shop.hook("install", "claude-code")
    hooks = settings_of(shop.top)["hooks"]
    assert len(hooks) == 19
    # Claude Code has the hooks of these make and remove worktrees
    assert not {"WorktreeCreate", "WorktreeRemove"} & hooks.keys()
    for name in ("SessionStart", "PreToolUse"):
        (group,) = hooks[name]
        argv = ["/bin/sh", "-c", group["hooks"][0]["command"]]
        record = json.dumps(hook(name, tool_name="Read", tool_use_id="t"))
        shop.quiet(argv, record)
    begin, call = shop.events()
    assert [event.event_type for event in (begin, call)] == ["session.begun", "tool.begun"]
    # the process above the shell of the hook
    assert begin.payload["process"][0] == os.getpid()


@pytest.mark.promise("A5c")
@pytest.mark.parametrize(
    "content",
    [
        *(None, OTHERS, '{\n\t"a": 1e3\n}', "{}"),
        # what only looks like ours
        '{"permissions": {"allow": ["Bash(sh /x/thence/agents/hook.sh:*)"]}}',
        '{"hooks": {"Stop": [{"hooks": 5}, {"hooks": ["thence/agents/hook.sh"]}, 7], "X": []}}',
        '{"hooks": {"Stop": [{"hooks": [{"command": "cat /x/thence/agents/hook.sh"}]}]}}',
    ],
)
def test_uninstall_leaves_all_that_is_not_ours(shop: Shop, content: str | None) -> None:
    path = shop.top / ".claude" / "settings.local.json"
    if content is not None:
        path.parent.mkdir()
        path.write_text(content)
    shop.hook("uninstall", "claude-code")
    assert (path.read_text() if path.exists() else None) == content
    shop.hook("install", "claude-code")
    first = path.read_bytes()
    shop.hook("install", "claude-code")
    assert path.read_bytes() == first
    shop.hook("uninstall", "claude-code")
    members = json.loads(content or "{}")
    rest = json.loads(path.read_text()) if path.exists() else {}
    assert [*rest.items()] == [*members.items()]
    assert path.parent.exists() == bool(members)
    assert shop.log.is_dir()


@pytest.mark.promise("A5c")
def test_what_others_changed_meanwhile_stays(shop: Shop) -> None:
    path = shop.top / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text(OTHERS)
    shop.hook("install", "claude-code")
    settings = settings_of(shop.top)
    assert list(settings) == ["model", "hooks", "permissions"]
    assert settings["hooks"]["PreToolUse"][0]["hooks"] == [{"type": "command", "command": "guard"}]
    settings["hooks"]["Stop"][0]["hooks"].append({"type": "command", "command": "say"})
    path.write_text(json.dumps(settings))
    shop.hook("uninstall", "claude-code")
    expected = json.loads(OTHERS)
    expected["hooks"]["Stop"] = [{"hooks": [{"type": "command", "command": "say"}]}]
    assert settings_of(shop.top) == expected


@pytest.mark.parametrize("content", ["{", '{"hooks": 3}', "[]", '{"hooks": {"Stop": {}}}'])
def test_settings_that_are_not_understood_are_left_alone(shop: Shop, content: str) -> None:
    path = shop.top / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text(content)
    for word, code in (("install", 1), ("uninstall", 0)):
        shop.hook(word, "claude-code", code=code)
        assert path.read_text() == content
    ended = shop.hook("install", "claude-code", "--json", code=1)
    (change,) = ended.json["hooks"]
    assert change["state"] == "left"
    assert change["note"]


def test_settings_that_a_clone_links_elsewhere_are_not_written(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (shop.top / ".claude").symlink_to(tmp_path / "elsewhere")
    ended = shop.hook("install", "claude-code", "--json", code=1)
    assert ended.json["hooks"][0]["state"] == "left"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("tool", ["claude-code", "codex"])
def test_settings_with_paths_of_this_machine_are_hidden_from_git(shop: Shop, tool: str) -> None:
    exclude = shop.top / ".git" / "info" / "exclude"
    exclude.write_text("*.log")
    exclude.chmod(0o444)
    for _ in range(2):
        shop.hook("install", tool)
        assert shop.git("status", "--porcelain") == ""
    assert exclude.read_text().count(".codex" if tool == "codex" else ".claude") == 1
    shop.hook("uninstall", tool)
    assert exclude.read_text() == "*.log"
    assert exclude.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("words", [("claude-code",), ("git",), ("git", "--user")])
def test_folder_outside_a_repository_is_refused(tmp_path, env, words):
    bare = tmp_path / "bare.git"
    git("init", "-q", "--bare", bare, cwd=tmp_path, env=env)
    for place in (tmp_path, bare):
        ended = run("hook", "install", *words, cwd=place, env=env)
        assert ended.code == 1
        assert "why:" in ended.err
        assert ended.err.count("\n") == 3


def test_line_that_is_asked_about_before_any_hook_fired_is_older_than_the_hooks(shop: Shop) -> None:
    (shop.top / "pay.py").write_text("total = 1\n")
    for words in (("add", "-A"), ("commit", "-qm", "By hand")):
        shop.git(*words)
    assert shop.run("hook", "install", "git").code == 0
    told = shop.run("why", "pay.py:1")
    unknown = "unknown owner: no hook has recorded anything here yet (git author:"
    assert unknown in " ".join(told.out.split())
    assert told.out.endswith("next: let the agent commit, then ask about one of its lines\n")


def test_codex_has_hooks_of_its_own_form(shop: Shop) -> None:
    home = Path(shop.env["HOME"], ".codex")
    told = shop.hook("install", "codex", "--user").err
    assert 'trust the folder and choose "Trust all and continue"' in told
    (state,) = shop.hook("status", "--json").json["tools"]
    assert (state["state"], "Trust" in state["hint"]) == ("never fired", True)
    hooks = json.loads((home / "hooks.json").read_text())["hooks"]
    assert len(hooks) == 12
    assert {
        group["hooks"][0]["timeout"] for group in (*hooks["SessionEnd"], *hooks["Interrupt"])
    } == {3}
    argv = ["/bin/sh", "-c", hooks["Stop"][0]["hooks"][0]["command"]]
    record = json.dumps({"hook_event_name": "Stop", "session_id": "c-1", "turn_id": "u-1"})
    shop.quiet(argv, record)
    (turn_end,) = shop.events()
    assert (turn_end.event_type, turn_end.actor, turn_end.stream) == ("turn.ended", "codex", "c-1")
    assert turn_end.payload["prompt_id"] == "u-1"
    shop.hook("uninstall", "codex", "--user")
    assert not home.exists()


EXISTING = """#!/usr/bin/env bash
set -eu
while read -r old new rest; do echo "$old $new" >> "$OUT"; done
echo ran >> "$OUT"
exit 0
"""


@pytest.mark.parametrize("hooks_path", [None, ".githooks"])
def test_hooks_of_git_run_before_those_that_stand_there(shop, tmp_path, hooks_path):
    folder = shop.top / (hooks_path or ".git/hooks")
    folder.mkdir(parents=True, exist_ok=True)
    if hooks_path:
        shop.git("config", "core.hooksPath", hooks_path)
    for name in ("post-commit", "post-rewrite"):
        (folder / name).write_text(EXISTING)
        (folder / name).chmod(0o700)
    out = tmp_path / "out"
    shop.env["OUT"] = str(out)
    shop.hook("install", "git")
    shop.hook("install", "git")
    shop.git("worktree", "add", "-q", "../tree")
    tree = tmp_path / "tree"
    if hooks_path:  # it is looked for in each worktree
        (tree / ".githooks").symlink_to(shop.top / ".githooks")
    shop.git("commit", "-q", "--allow-empty", "-m", "One", cwd=tree)
    old = shop.git("rev-parse", "HEAD", cwd=tree)
    shop.git("commit", "-q", "--amend", "--allow-empty", "-m", "Two", cwd=tree)
    new = shop.git("rev-parse", "HEAD", cwd=tree)
    log = shop.events()
    assert [event.subject for event in log] == [f"commit/{s}" for s in (old, new, new)]
    assert [event.event_type for event in log] == ["commit", "commit", "rewrite"]
    assert {event.payload["root"] for event in log} == {str(tree)}
    assert out.read_text() == f"ran\nran\n{old} {new}\nran\n"
    shop.hook("uninstall", "git")
    assert (folder / "post-commit").read_text() == EXISTING
    assert (folder / "post-commit").stat().st_mode & 0o777 == 0o700
    assert not (folder / "post-merge").exists()


@pytest.mark.parametrize(
    "content",
    ["#!/usr/bin/env python3\nprint(1)\n", "#!/bin/sh\n" + "# long\n" * 700_000 + "exit 0\n"],
    ids=["no shell script", "over 4 MiB"],
)
def test_hook_that_cannot_be_changed_is_left_whole(shop: Shop, content: str) -> None:
    path = shop.top / ".git" / "hooks" / "post-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    ended = shop.hook("install", "git", "--json", code=1)
    assert [change["state"] for change in ended.json["hooks"]] == ["left", "installed", "installed"]
    assert path.read_text() == content
    shop.hook("status")


def test_doctor_tells_of_refused_files(shop: Shop) -> None:
    shop.hook("install", "git")
    assert "hooks" in shop.run("doctor").out
    (shop.log / "spool" / "x.json").write_text("{")
    assert shop.run("log").code == 0
    ended = shop.run("doctor", "--json")
    check = next(check for check in ended.json["checks"] if check["name"] == "hooks")
    assert not check["ok"]
    assert "x.json is refused" in check["detail"]
    assert shop.hook("status", "--json").json["refused"] == 1


def test_text_of_settings_stays_over_a_new_environment(shop: Shop) -> None:
    for tool in ("claude-code", "codex", "git"):
        shop.hook("install", tool)
    files = [shop.top / ".claude/settings.local.json", shop.top / ".codex/hooks.json"]
    files.append(shop.top / ".git/hooks/post-commit")
    texts = [file.read_text() for file in files]
    script = shop.log / "hook.sh"
    assert [sys.executable in text for text in (*texts, script.read_text())] == [False] * 3 + [True]
    own = script.read_bytes()
    script.write_bytes(own.replace(sys.executable.encode(), b"/old/bin/python"))
    shop.hook("install", "codex")
    assert script.read_bytes() == own
    assert [file.read_text() for file in files] == texts


def test_hook_whose_program_is_gone_is_silent_and_told(shop: Shop) -> None:
    for tool in ("claude-code", "git"):
        shop.hook("install", tool)
    states = shop.hook("status", "--json").json["tools"]
    assert {state["tool"]: state["state"] for state in states} == {
        "claude-code": "never fired",
        "git": "never fired",
    }
    script = shop.log / "hook.sh"
    own = script.read_text()
    words = settings_of(shop.top)["hooks"]["Stop"][0]["hooks"][0]["command"]
    for text in (own.replace(sys.executable, "/old/bin/python"), own.replace("fired.py", "f.py")):
        script.write_text(text)
        for argv in (["/bin/sh", "-c", words], ["/bin/sh", script, "claude-code"]):
            shop.quiet(argv, "{}")
        shop.git("commit", "-q", "--allow-empty", "-m", "One")
        states = shop.hook("status", "--json").json["tools"]
        assert {state["state"] for state in states} == {"no program"}
        ended = shop.run("doctor")
        assert ended.code == 0
        told = " ".join(ended.out.split())
        assert "claude-code: its program is gone" in told
        assert "next: thence hook install claude-code; thence hook install git" in told
    script.write_text(own)
    assert shop.events() == []
    script.unlink()
    states = shop.hook("status", "--json").json["tools"]
    assert [state["state"] for state in states] == ["no program"] * 2


def test_status_says_when_hooks_last_fired(shop: Shop) -> None:
    assert "no hooks are installed here" in shop.hook("status").out
    for tool in ("claude-code", "codex", "git"):
        shop.hook("install", tool)
    assert "warn    hooks" in shop.run("doctor").out
    for file in (".claude/settings.local.json", ".codex/hooks.json"):
        hooks = json.loads((shop.top / file).read_text())["hooks"]
        argv = ["/bin/sh", "-c", hooks["Stop"][0]["hooks"][0]["command"]]
        own = {**shop.env, "CLAUDE_PROJECT_DIR": str(shop.top)}
        shop.quiet(argv, json.dumps(hook("Stop")), env=own)
    shop.git("commit", "-q", "--allow-empty", "-m", "One")
    waiting = shop.hook("status", "--json").json
    assert waiting["waiting"] == 3
    assert [state["state"] for state in waiting["tools"]] == ["fired"] * 3
    times = {event.actor: event.timestamp for event in shop.events()}
    taken_in = shop.hook("status", "--json").json
    assert taken_in["waiting"] == 0
    for answer in (waiting, taken_in):
        assert {state["tool"]: state["last_fired"] for state in answer["tools"]} == times
    assert "ok      hooks" in shop.run("doctor").out


def test_hooks_that_a_setting_switches_off_are_told(shop: Shop) -> None:
    (shop.top / ".claude").mkdir()
    (shop.top / ".claude/settings.json").write_text('{"disableAllHooks": true}')
    assert "take disableAllHooks" in shop.hook("install", "claude-code").err
    (state,) = shop.hook("status", "--json").json["tools"]
    assert state["state"] == "switched off"
    assert "disableAllHooks" in state["hint"]
    assert "disableAllHooks" in " ".join(shop.run("doctor").out.split())


def test_managed_settings_that_let_no_hook_of_ours_run_are_told(shop, tmp_path, monkeypatch):
    monkeypatch.chdir(shop.top)
    monkeypatch.setattr(installed, "_MANAGED", (str(tmp_path),))
    assert installed.switched_off("claude-code") == ""
    managed = tmp_path / "managed-settings.json"
    managed.write_text('{"allowManagedHooksOnly": true}')
    assert installed.switched_off("claude-code").startswith(f"ask who manages {managed}")
    managed.rename(shop.top / managed.name)  # only an administrator's folder can say so
    assert installed.switched_off("claude-code") == ""


def test_hooks_of_git_that_are_gone_are_told(shop: Shop) -> None:
    shop.hook("install", "claude-code")
    assert "gone" not in shop.hook("status").out
    shop.hook("install", "git")
    shop.git("config", "core.hooksPath", ".gh")
    words = "thence hook install git"
    for answer in (shop.hook("status"), shop.run("doctor")):
        assert "git: installed and gone" in answer.out
        assert words in " ".join(answer.out.split())
    shop.hook("install", "git")
    assert "gone" not in shop.hook("status").out
    shop.hook("uninstall", "git")
    shop.git("config", "--unset", "core.hooksPath")
    shop.git("commit", "-q", "--allow-empty", "-m", "One")
    assert shop.events() == []  # though the block in .git/hooks is still there


def test_users_settings_run_the_script_of_the_state_folder(shop: Shop, tmp_path: Path) -> None:
    own = {
        **shop.env,
        "CODEX_HOME": str(tmp_path / "cx"),
        "CLAUDE_CONFIG_DIR": str(tmp_path / "cl"),
    }
    script = Path(shop.env["HOME"], ".local/state/thence/agents/hook.sh")
    for tool, path in (("codex", "cx/hooks.json"), ("claude-code", "cl/settings.json")):
        shop.hook("install", tool, "--user", env=own)
        hooks = json.loads((tmp_path / path).read_text())["hooks"]
        assert hooks["Stop"][0]["hooks"][0]["command"] == f"sh {script} {tool} || true"
        states = shop.hook("status", "--json", env=own).json["tools"]
        assert (states[-1]["tool"], states[-1]["state"]) == (tool, "never fired")
        shop.hook("uninstall", tool, "--user", env=own)
    assert not (shop.log / "hook.sh").exists()


def test_amend_rebase_and_merge_are_recorded_also_beside_a_manager(shop: Shop) -> None:
    content = "#!/bin/sh\n# of lefthook or pre-commit\n"
    paths = [shop.top / ".git/hooks" / f"post-{name}" for name in ("commit", "rewrite", "merge")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    shop.hook("install", "git")

    def commit(name: str, *words: str) -> None:
        (shop.top / name).write_text(name)
        shop.git("add", name)
        shop.git("commit", "-q", "-m", name, *words)

    commit("a")
    commit("b", "--amend")
    shop.git("checkout", "-q", "-b", "side", "HEAD~1")
    commit("c")
    shop.git("rebase", "-q", "main")
    shop.git("checkout", "-q", "main")
    shop.git("merge", "-q", "--no-ff", "-m", "m", "side")
    shop.git("checkout", "-q", "side")
    shop.git("merge", "-q", "main")  # moves the branch only
    log = shop.events()
    assert [event.payload["by"] for event in log if event.event_type == "rewrite"] == [
        "amend",
        "rebase",
    ]
    commits = [event.payload["commit"] for event in log if event.event_type == "commit"]
    assert commits[-1] == shop.git("rev-parse", "HEAD")
    rewritten = {
        sha for event in log for sha in (event.payload.get("old"), event.payload.get("new"))
    }
    assert rewritten - {None} <= set(commits)
    assert len(commits) == 5
    for path in paths:
        path.write_text(content)  # as a manager does at its next start
    (state,) = shop.hook("status", "--json").json["tools"]
    assert state["state"] == "gone"


def test_script_that_settings_of_a_clone_name_is_not_started(shop: Shop) -> None:
    script = shop.top / "x" / "thence" / "agents" / "hook.sh"
    script.parent.mkdir(parents=True)
    script.write_text(f"touch {shop.top}/ran\n")
    entry = {"type": "command", "command": f"sh {script} codex || true"}
    (shop.top / ".codex").mkdir()
    hooks = shop.top / ".codex" / "hooks.json"
    hooks.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [entry]}]}}))
    status = shop.run("hook", "status", "--json").json
    assert [file["state"] for file in status["hooks"] if file["path"] == str(hooks)] == ["left"]
    shop.hook("install", "git")
    assert "it runs the hooks of another folder" in " ".join(shop.run("doctor").out.split())
    assert not (shop.top / "ran").exists()
    shop.hook("install", "codex")
    assert str(script) not in hooks.read_text()


def test_submodule_has_its_hooks_without_a_warning(shop: Shop, tmp_path: Path) -> None:
    own = {**shop.env, **FROM_FOLDERS}
    shop.git("submodule", "--quiet", "add", shop.top, "part", env=own)
    ended = shop.hook("install", "git", "--json", cwd=shop.top / "part")
    assert [change["note"] for change in ended.json["hooks"]] == [""] * 3
    assert {Path(change["path"]).parent for change in ended.json["hooks"]} == {
        shop.top / ".git/modules/part/hooks"
    }


@pytest.mark.parametrize(
    "content",
    [
        '{"permissions": {"allow": ["Bash(sh /x/thence/agents/hook.sh:*)"]}}',
        '{"hooks": {"Stop": [{"hooks": 5}, {"hooks": ["thence/agents/hook.sh"]}, 7], "X": []}}',
        '{"hooks": {"Stop": [{"hooks": [{"command": "cat /x/thence/agents/hook.sh"}]}]}}',
    ],
)
def test_what_only_looks_like_a_hook_of_ours_stays(shop: Shop, content: str) -> None:
    path = shop.top / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text(content)
    shop.hook("uninstall", "claude-code")
    assert path.read_text() == content
    shop.hook("install", "claude-code")
    settings = settings_of(shop.top)
    settings["own"] = 1  # so that the text from before is not put back whole
    path.write_text(json.dumps(settings))
    shop.hook("uninstall", "claude-code")
    expected = {**json.loads(content), "own": 1}
    assert settings_of(shop.top) == expected


# as husky's own: it runs the file beside its folder, of which there need be none
HUSKY = """#!/bin/sh
script="$(dirname "$0")/../$(basename "$0")"
[ -f "$script" ] || exit 0
sh -e "$script" "$@"
"""


@pytest.mark.parametrize("content", [None, "echo ran >> out\n", "#!/bin/sh\necho ran >> out\n"])
def test_block_is_in_the_file_that_husky_runs(shop: Shop, content: str | None) -> None:
    folder = shop.top / ".husky"
    (folder / "_").mkdir(parents=True)
    shop.git("config", "core.hooksPath", ".husky/_")
    if content:
        (folder / "post-commit").write_text(content)
    ended = shop.hook("install", "git")
    assert "other clones" in ended.out
    for name in ("post-commit", "post-rewrite", "post-merge"):  # husky writes these anew
        (folder / "_" / name).write_text(HUSKY)
        (folder / "_" / name).chmod(0o755)
    shop.git("commit", "-q", "--allow-empty", "-m", "One")
    shop.git("commit", "-q", "--amend", "--allow-empty", "-m", "Two")
    log = shop.events()
    assert [event.event_type for event in log] == ["commit", "commit", "rewrite"]
    assert (shop.top / "out").exists() == bool(content)
    shop.hook("uninstall", "git")
    path = folder / "post-commit"
    assert (path.read_text() if path.exists() else None) == content
