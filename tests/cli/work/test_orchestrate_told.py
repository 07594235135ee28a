"""What an orchestrator tells while it runs: each thing once, and none of it stops the work."""

import json

import pytest
from tests.cli.installed import THENCE, is_three_lines
from tests.cli.terminals import Terminal
from tests.cli.work.orchestra import DO, SLUG, WAIT_S, begun, orchestrate, until
from tests.cli.work.other_git import with_git
from tests.cli.work.three_packages import done
from tests.git.repositories import commit

MEET = "overlap    WP01 and WP02 both change shared"
MERGING = [["run", "git", "merge", "main"], ["write", "shared", "both\n"], ["commit", "Merge"]]


@pytest.fixture
def meeting(make):
    """A project whose packages write the same file, and then wait for another one."""
    project = make({"WP01": [], "WP02": []}, slots=2)
    project.go = project.folder.parent / "go"
    both = [["write", "shared", "{wp}\n"], ["commit", "Do it"], ["wait_for", str(project.go)]]
    project.tell(ANY=[both, MERGING])
    return project


def lines_until(process, start):
    """Return the lines of stderr up to one that starts like this."""
    lines = [""]
    while not lines[-1].startswith(start):
        lines.append(process.stderr.readline().decode().rstrip("\n"))
        assert lines[-1], lines
    return lines


def test_packages_that_change_the_same_file_are_told_before_they_do_and_once(meeting):
    process = begun(meeting)
    lines_until(process, MEET)
    assert set(meeting.lanes().values()) == {"doing"}
    meeting.go.touch()
    _, told = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, told
    assert b"overlap" not in told
    assert set(meeting.lanes().values()) == {"done"}


def test_packages_that_change_the_same_file_are_told_as_json(meeting):
    process = begun(meeting, "--json")
    told = {"kind": ""}
    while told["kind"] != "overlap":
        told = json.loads(process.stdout.readline())["happening"]
    assert told == {
        "kind": "overlap",
        "text": MEET.removeprefix("overlap    "),
        "wp_id": None,
        "agent": None,
        "phase": None,
        "seconds": None,
    }
    meeting.go.touch()
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b'"overlap"' in out) == (0, False), err


def test_board_shows_packages_that_change_the_same_file_until_they_have(meeting):
    terminal = Terminal(meeting.folder, "work", "orchestrate")
    try:
        line = "\n  WP01 and WP02 both change shared\n"
        terminal.until(lambda screen: line in f"{screen}\n")
        meeting.go.touch()
        terminal.until(lambda screen: "merged" in str(screen) and line not in f"{screen}\n")
        assert terminal.end() == 0
    finally:
        terminal.close()


def test_forecast_that_git_can_not_make_stops_nothing(meeting):
    asked = meeting.folder.parent / "asked"
    fails = f"[ -e '{meeting.go}' ] || {{ echo no >> '{asked}'; exit 128; }}"
    path = with_git(meeting.folder.parent / "bin", "diff --raw", fails)
    process = begun(meeting, PATH=path)
    until(asked.exists)
    meeting.go.touch()
    _, told = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"overlap" in told, b"trouble" in told) == (0, False, False), told


def test_reason_to_wait_is_told_once_though_the_board_goes_on(make):
    project = make({"WP01": [], "WP02": []}, slots=2)
    go = project.folder.parent / "go"
    project.tell(WP02=[[["wait_for", str(go)], *DO]])
    done(project.folder, "gate", "WP01", "MANUAL_REVIEW", "pending", "--feature", SLUG)
    process = begun(project)
    lines = lines_until(process, "waiting")
    for number in range(3):
        done(project.folder, "add-history", "WP02", f"note {number}", "--feature", SLUG)
    go.touch()
    _, told = process.communicate(timeout=WAIT_S)
    lines += told.decode().splitlines()
    assert process.returncode == 1, lines
    assert len([line for line in lines if line.startswith("waiting")]) == 1, lines
    assert project.lanes() == {"WP01": "for_review", "WP02": "done"}


def test_planning_file_that_can_not_be_read_is_told_with_its_place_and_what_to_do(make):
    project = make({"WP01": [], "WP02": []}, slots=2)
    (path,) = (project.folder / "kitty-specs" / SLUG / "tasks").glob("WP01*")
    name, kept = str(path.relative_to(project.folder)), path.read_text()
    commit(project.folder, {name: "---\nlane: [planned\n---\n"})
    process = begun(project)
    lines = lines_until(process, "waiting")
    assert f"{name}:3:1: " in lines[-1]
    assert lines[-1].endswith("; correct the YAML there")
    commit(project.folder, {name: kept})
    _, told = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"waiting" in told) == (0, False), told


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
    ended = orchestrate(project, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out.splitlines()[-1])["events"]
    after = [each for each in project.events() if each["event_id"] not in before]
    ours = [
        each["event_id"]
        for each in after
        if each["payload"].get("entry_content") != "x" and not each["event_type"].startswith("log.")
    ]
    assert len(ours) > 10
    assert sorted(told) == sorted(ours)
