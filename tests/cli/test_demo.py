"""The demo: an agent that is killed at work, whose log then tells what it did and why."""

import json
import re
import shlex
import signal
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.cli.installed import THENCE, begin, begun, in_shell, on_terminal, thence
from tests.docs.walk import MASKS

from thence.cli.commands.demo import FILE, LINE

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder in which the demo was run into a pipe, by a coding agent, and what it said."""
    folder = tmp_path_factory.mktemp("played")
    agents = {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": "s-0", "CODEX_THREAD_ID": "t-0"}
    return folder, thence("demo", cwd=folder, env=agents)


def part(ended, heading):
    """Return the lines below a heading of the demo."""
    rest = ended.out.partition(heading + "\n")[2]
    return rest.partition("\n\n")[0]


def answer(ended, command):
    """Return what the demo shows below a command, in one line."""
    return " ".join(part(ended, f"$ thence {command}").split())


@pytest.mark.promise("A5f")
def test_demo_shows_a_killed_agent_a_simulation_and_a_board(played):
    _, ended = played
    assert ended.code == 0, ended.err
    headings = ("1. A coding", "2. A sim", "3. A feature", "Ask more", "Look at all three")
    places = [ended.out.find(f"\n{heading}") for heading in headings[1:]]
    assert ended.out.startswith(headings[0])
    assert -1 not in places
    assert places == sorted(places)
    assert "load_test.py" in answer(ended, "unfinished")
    why = answer(ended, f"why {FILE}:{LINE}")
    for said in (
        "Pay once (#1)",
        "which is by claude-code/implementer",
        "A customer was charged twice, because the gateway",
    ):
        assert said in why, said
    why = answer(ended, "why agent/south/claim")
    assert why.startswith("In turn 5 agent/south/claim went from 16 to 15")
    assert "south asked qwen of local" in why
    board = ended.out.partition("$ thence work status\n")[2]
    assert "doing 1, in review 1" in board
    assert re.search(r"doing +WP02 +The till refunds an order +\(Bob\)", board)
    assert "next: " not in ended.out.replace("              next: ", "")


@pytest.mark.promise("A5f")
def test_demo_ends_with_the_line_that_opens_all_three(played):
    folder, ended = played
    *words, option = shlex.split(ended.lines[-1])
    assert option == "--open"
    process = begin(*words, "--port", "0", "--json", cwd=folder.parent)
    url = json.loads(process.stdout.readline())["url"]
    with urlopen(f"{url}/") as page:
        home = page.read().decode()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    for name in ("agents", "demo-1", "negotiation-"):
        assert f'href="/runs/{name}' in home, name


def test_no_line_of_the_demo_is_wider_than_80_columns(played):
    folder, ended = played
    for line in (*ended.lines, *ended.err.splitlines()):
        short = line.replace(str(THENCE), ".venv/bin/thence").replace(str(folder), "")
        assert len(short) <= 80, line
    assert "\x1b" not in ended.out + ended.err


def told(text):
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return text


@pytest.mark.promise("A5f")
def test_readme_shows_what_the_demo_says(played):
    readme = README.read_text()
    start = readme.index("$ thence why")
    shown = readme[start : readme.index("```", start)]
    said = "\n".join(played[1].lines)
    for block in re.split(r"^(?=\$ )", shown, flags=re.MULTILINE)[1:]:
        assert told(block).strip() in told(said), block


def test_commands_of_the_demo_work_when_pasted(played):
    folder, ended = played
    enter, *typed = part(ended, "Ask more").splitlines()
    assert len(typed) == 3
    for command in typed:
        done = in_shell(f"{enter.strip()} && {command.strip()}", folder)
        assert (done.code, bool(done.out)) == (0, True), command


def test_second_demo_has_a_folder_of_its_own_and_fits_a_narrow_terminal_without_colour(played):
    folder, _ = played
    code, shown = on_terminal(folder, "demo", columns=40, NO_COLOR="1")
    assert code == 0
    assert "Look at all three" in shown
    assert not re.search(r"\x1b\[[0-9;]*m", shown)
    assert sorted(path.name for path in (folder / "output").iterdir()) == ["demo-1", "demo-2"]


def test_demo_without_git_says_what_to_install(tmp_path):
    ended = thence("demo", cwd=tmp_path, env={"PATH": str(tmp_path)})
    ended.failure(1)
    assert "install git" in ended.err
    assert "Traceback" not in ended.err


def test_ctrl_c_at_any_time_ends_the_demo_and_its_agent(tmp_path):
    for step in range(6):
        started = begun("demo", cwd=tmp_path, THENCE_ROOT=f"root-{step}")
        time.sleep(0.05 + step * 0.4)  # the moment is what the test varies
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
        assert started.returncode in (0, 130, -signal.SIGINT), err
        assert "Traceback" not in err + out
