"""A terminal shows the board of an orchestration, redrawn below what happened."""

import re

import pytest
from tests.cli.terminals import Terminal
from tests.cli.work.orchestra import DO, SLUG

HEAD = f"{SLUG}: "


@pytest.fixture
def shown():
    """Start an orchestrator on a terminal; at the end it is ended."""
    begun = []

    def start(project, *arguments, **more):
        begun.append(Terminal(project.folder, "work", "orchestrate", *arguments, **more))
        return begun[-1]

    yield start
    for terminal in begun:
        terminal.close()


def waiting(project, *wp_ids, **more):
    """Have the agents of packages wait for files; return the files."""
    files = {wp_id: project.folder.parent / f"{wp_id}.go" for wp_id in wp_ids}
    project.tell(
        **{wp_id: [[["wait_for", str(file)], *DO]] for wp_id, file in files.items()}, **more
    )
    return files


def heads(lines):
    return [number for number, line in enumerate(lines) if line.startswith(HEAD)]


def has(*patterns):
    return lambda screen: all(re.search(each, str(screen), re.MULTILINE) for each in patterns)


def test_board_is_redrawn_below_what_happened_and_leaves_a_whole_screen(make, shown):
    project = make({"WP01": [], "WP02": [], "WP03": ["WP01", "WP02"]}, slots=2)
    go = waiting(project, "WP01", "WP02")
    terminal = shown(project)
    at_work = [rf"^  {wp} +\d+ s  implementation by coder  Do {wp}$" for wp in go]
    terminal.until(has(f"^{HEAD}1 planned, 2 doing$", *at_work))
    assert not terminal.screen.is_cursor_shown
    terminal.until(has(r"^  WP02 +[1-9] s  implementation"))  # nothing happened, but time goes by
    go["WP01"].touch()
    terminal.until(has(f"^{HEAD}1 planned, 1 doing, 1 done$", at_work[1]))
    (head,) = heads(terminal.screen.lines)
    above, board = terminal.screen.lines[:head], terminal.screen.lines[head:]
    assert [line.split()[:2] for line in above if "WP01" in line] == [
        ["begun", "WP01"],
        ["moved", "WP01"],
        ["merged", "WP01"],
    ]
    assert not any("WP01" in line for line in board)
    go["WP02"].touch()
    assert terminal.end() == 0
    assert len(terminal.screen.frames) > 4
    for frame in terminal.screen.frames:
        places = heads(frame)
        assert len(places) <= 1, "the old board is taken away before a new one is drawn"
        assert not any(line.startswith("begun") for place in places for line in frame[place:])
    told = str(terminal.screen).splitlines()
    assert terminal.screen.is_cursor_shown
    assert told[-2:] == ["completed  all 3 packages are done", f"all of {SLUG} is done"]
    kinds = [line.split()[0] for line in told[:-1]]
    assert sorted(kinds) == sorted([*["begun", "moved", "merged"] * 3, "completed"])


def test_ctrl_c_takes_the_board_away_and_gives_the_cursor_back(make, shown):
    project = make({"WP01": [], "WP02": []}, slots=2)
    waiting(project, "WP01", "WP02")
    terminal = shown(project)
    terminal.until(has(f"^{HEAD}2 doing$"))
    terminal.type(b"\x03")
    assert terminal.end() == 130
    told = str(terminal.screen).splitlines()
    assert terminal.screen.is_cursor_shown
    assert heads(told) == [], terminal.told
    assert told[-2] == "interrupted"
    assert told[-1].startswith("next: run the same command again")
    stops = [f"stopped    {wp_id}  stopped; its claim is free" for wp_id in ("WP01", "WP02")]
    assert [line for line in told if line.startswith("stopped")] == stops
    assert "Traceback" not in str(terminal.screen)


def test_terminal_that_can_not_redraw_gets_lines(make, shown):
    project = make({"WP01": []})
    terminal = shown(project, TERM="dumb")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.told
    lines = str(terminal.screen).splitlines()
    assert [line.split()[0] for line in lines] == ["begun", "moved", "merged", "completed", "all"]
