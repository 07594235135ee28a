"""What an orchestrator tells while it runs: each thing once, and none of it stops the work."""

import json

from tests.cli.installed import THENCE, is_three_lines
from tests.cli.terminals import Terminal
from tests.cli.work.orchestra import DO, SLUG, orchestrate
from tests.cli.work.three_packages import done


def test_tasks_that_can_not_be_read_at_the_start_are_told_at_once(make):
    project = make({"WP01": []})
    path = project.folder / "kitty-specs" / SLUG / "tasks.md"
    path.unlink()
    path.mkdir()
    ended = orchestrate(project)
    assert (ended.code, ended.out) == (2, "")
    assert f"{SLUG}/tasks.md" in ended.err
    assert is_three_lines(ended.err)
    assert project.lanes() == {"WP01": "planned"}


def test_trouble_that_lasts_is_told_once_and_its_end_lets_all_go_on(make):
    project = make({"WP01": [], "WP02": ["WP01"]})
    go, path = project.folder.parent / "go", project.folder / "kitty-specs" / SLUG / "tasks.md"
    project.tell(WP01=[[["wait_for", str(go)], *DO]])
    terminal = Terminal(project.folder, "work", "orchestrate", columns=300)
    try:
        terminal.until(lambda screen: "1 planned, 1 doing" in str(screen))
        kept = path.read_bytes()
        path.unlink()
        path.mkdir()
        done(project.folder, "add-history", "WP01", "a note", "--feature", SLUG)
        terminal.until(lambda screen: "trouble" in str(screen))
        seen = len(terminal.screen.frames)
        terminal.until(lambda screen: len(screen.frames) > seen + 6)
        assert "1 planned, 1 doing" in str(terminal.screen), "the board stays on"
        assert str(terminal.screen).count("\ntrouble ") == 1
        assert "tasks.md: Is a directory; look at the path" in str(terminal.screen)
        path.rmdir()
        path.write_bytes(kept)
        go.touch()
        assert terminal.end() == 0
    finally:
        terminal.close()


def test_result_names_the_events_that_were_appended_and_no_others(make):
    project = make(
        {"WP01": [], "WP02": [], "WP03": []}, agents=("coder", "critic"), review=("critic",)
    )
    project.tell(WP02=[[["run", str(THENCE), "work", "add-history", "WP02", "x"], *DO]])
    done(project.folder, "move-task", "WP03", "--to", "rejected", "--feature", SLUG)
    before = {each["event_id"] for each in project.events()}
    ended = orchestrate(project, "--json").done()
    told = json.loads(ended.out.splitlines()[-1])["events"]
    after = [each for each in project.events() if each["event_id"] not in before]
    ours = [
        each["event_id"]
        for each in after
        if each["payload"].get("entry_content") != "x" and not each["event_type"].startswith("log.")
    ]
    assert len(ours) > 10
    assert sorted(told) == sorted(ours)
