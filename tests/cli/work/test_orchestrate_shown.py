"""A terminal shows what happens in an orchestration, a line for each note."""

import re

import pytest
from tests.cli.terminals import Terminal
from tests.cli.work.orchestra import DO


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


def has(*patterns):
    return lambda screen: all(re.search(each, str(screen), re.MULTILINE) for each in patterns)


def test_ctrl_c_ends_the_agents_and_says_how_to_go_on(make, shown):
    project = make({"WP01": [], "WP02": []}, slots=2)
    waiting(project, "WP01", "WP02")
    terminal = shown(project)
    terminal.until(has("^begun +WP01", "^begun +WP02"))
    terminal.type(b"\x03")
    assert terminal.end() == 130
    told = str(terminal.screen).replace("^C", "").splitlines()  # as the terminal echoes it
    assert told[-2] == "interrupted"
    assert told[-1].startswith("next: run the same command again")
    stops = [f"stopped    {wp_id}  stopped; its claim is free" for wp_id in ("WP01", "WP02")]
    assert [line for line in told if line.startswith("stopped")] == stops
    assert "Traceback" not in str(terminal.screen)


def test_terminal_gets_a_line_for_each_note(make, shown):
    project = make({"WP01": []})
    terminal = shown(project)
    assert terminal.end() == 0
    assert "\x1b" not in terminal.told
    lines = str(terminal.screen).splitlines()
    assert [line.split()[0] for line in lines] == ["begun", "moved", "merged", "completed", "all"]
