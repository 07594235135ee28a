import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.cli.installed import THENCE, begin, in_python, in_shell, on_terminal, thence

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder in which the demo was run into a pipe, and what it said."""
    folder = tmp_path_factory.mktemp("played")
    return folder, thence("demo", cwd=folder)


@pytest.mark.promise("P6")
def test_demo_ends_with_what_to_type_next(played):
    _, ended = played
    assert ended.code == 0
    parts = ("What happened", "What was recorded", "Where it lies", "Why did", "What to type next")
    places = [ended.out.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def columns(line):
    """Returns the width of a line, wherever this checkout lies: commands name the program."""
    return len(line.replace(str(THENCE), ".venv/bin/thence"))


def test_no_line_of_the_demo_is_wider_than_80_columns(played):
    _, ended = played
    for line in (*ended.lines, *ended.err.splitlines()):
        assert columns(line) <= 80, line
    assert "\x1b" not in ended.out + ended.err


def test_demo_counts_what_the_log_holds(played):
    folder, ended = played
    told = thence("sim", "show", "--json", cwd=folder).json
    assert f"What was recorded: {told['events']:,} events" in ended.out
    for name, count in told["by_type"].items():
        assert re.search(rf"^  {name} +{count:,} ", ended.out, re.MULTILINE)


README = Path(__file__).parents[2] / "README.md"
VARYING = (
    (re.compile(r"\b[0-9A-Z]{18}\b"), "id"),
    (re.compile(r"spatial-trade-network-\w+-\w+"), "run"),
    (re.compile(r"[\d,]+ bytes"), "bytes"),
    (re.compile(r"\S+ (?=(why|effects|log|sim) )"), "thence "),
    (re.compile(r" +"), " "),
)


def test_readme_shows_what_the_demo_says(played):
    screens = []
    for text in (README.read_text(), played[1].out):
        screen = text[text.index("What happened\n") :]
        for pattern, name in VARYING:
            screen = pattern.sub(name, screen)
        screens.append(screen)
    shown = screens[0][: screens[0].index("```")]
    assert screens[1].startswith(shown)
    assert "What to type next" in shown


def test_demo_names_the_files_that_are_there(played):
    folder, ended = played
    (run,) = (folder / "output").iterdir()
    assert f"  output/{run.name}\n" in ended.out
    for name in ("events.jsonl", "config.json", "result.json"):
        assert f"{(run / name).stat().st_size:,} bytes" in ended.out


def test_demo_answers_why_a_late_trade_happened_over_several_turns(played):
    folder, ended = played
    answer = ended.out.partition("Why did")[2].partition("What to type next")[0]
    asked = re.match(r" (\w+) (buy|sell) (\d+) (\w+) at (\w+) in turn (\d+)\?", answer)
    assert asked
    assert int(asked[6]) >= 28
    lines = answer.splitlines()[1:]
    assert len("\n".join(lines).strip("\n").splitlines()) <= 12
    ids = re.findall(r"\[(\w{18})\]", answer)
    trade, decision, *others = (thence("show", i, "--json", cwd=folder).json for i in ids)
    assert decision["event_type"] == "DECISION"
    assert others[0]["event_id"] in decision["caused_by"]
    assert others[1]["event_id"] in others[0]["caused_by"]
    assert "MILESTONE" not in {event["event_type"] for event in others}
    wanted = {"place": asked[5], "good": asked[4], "amount": int(asked[3])}
    assert trade["agent_id"] == asked[1]
    assert trade["details"] == {"action_type": asked[2], "action_payload": wanted}
    assert len(set(re.findall(r"turn (\d+)", answer))) >= 2


def test_commands_of_the_demo_work_when_pasted(played):
    folder, ended = played
    typed = ended.out.partition("What to type next\n")[2]
    commands = re.findall(r"^  (?!#)(\S*thence.*(?:\\\n.*)?)$", typed, re.MULTILINE)
    assert len(commands) == 4
    for command in commands[:3]:
        done = in_shell(command, folder)
        assert (done.code, bool(done.out)) == (0, True), command


def test_demo_names_the_run_where_it_would_not_be_found(tmp_path):
    ended = thence("demo", cwd=tmp_path, env={"THENCE_LOG": str(tmp_path / "other")})
    (run,) = (tmp_path / "output").iterdir()
    assert ended.out.count(f"--log output/{run.name}") == 3
    assert max(map(columns, ended.lines)) <= 80


@pytest.mark.parametrize("width", [80, 30])
def test_progress_is_drawn_on_a_terminal_and_a_narrow_one_gets_the_whole_demo(tmp_path, width):
    code, shown = on_terminal(tmp_path, "demo", columns=width)
    assert code == 0
    assert width < 80 or "40/40" in shown
    assert "What to type next" in shown
    text = ESCAPES.sub("", shown).replace("\r\n", "\n")
    assert max(columns(line) for part in text.split("\r") for line in part.split("\n")) <= 80


def test_colour_is_left_out_where_it_is_not_wanted(tmp_path):
    for number, env in enumerate(({"NO_COLOR": "1"}, {"TERM": "dumb"})):
        code, shown = on_terminal(tmp_path, "demo", THENCE_ROOT=f"{number}", **env)
        assert code == 0
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)
    assert "\x1b" not in shown


def test_ctrl_c_on_a_terminal_ends_the_demo_in_good_order(tmp_path):
    code, shown = on_terminal(tmp_path, "demo", interrupt=b"/40")
    assert code == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    assert thence("verify", cwd=tmp_path).code == 0


def test_ctrl_c_at_any_time_is_quiet_and_leaves_a_whole_log(tmp_path):
    door = "import sys; print('ready', flush=True)\nfrom thence.cli.main import main\n"
    for step in range(12):
        words = (sys.executable, "-c", f"{door}sys.exit(main(['demo']))")
        started = begin(*words, cwd=tmp_path, THENCE_ROOT=f"root-{step}")
        assert started.stdout
        assert started.stdout.readline() == "ready\n"
        time.sleep(0.02 + step * 0.07)  # the moment is what the test varies
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
        assert started.returncode in (0, 130, -signal.SIGINT), err
        assert "Traceback" not in err + out
        for log in (tmp_path / f"root-{step}").glob("*/events.jsonl"):
            assert thence("verify", "--log", log, cwd=tmp_path).code == 0


def test_run_of_a_scenario_draws_a_bar_on_a_terminal(tmp_path):
    scenario = "spatial_trade_network"
    code, shown = on_terminal(tmp_path, "sim", "run", scenario, "--turns", "9", columns=None)
    text = ESCAPES.sub("", shown)
    assert code == 0
    assert "9/9" in text
    assert "completed: 9 turns" in text
    quiet = on_terminal(tmp_path, "sim", "run", scenario, "--turns", "2", "-q")
    assert len(quiet[1].splitlines()) == 1


def test_log_on_a_terminal_shows_the_last_events_cut_to_its_width(played):
    folder, _ = played
    code, shown = on_terminal(folder, "log", columns=70)
    lines = ESCAPES.sub("", shown).replace("\r\n", "\n").splitlines()
    assert code == 0
    assert len(lines) == 52
    assert "the last 50 of" in lines[-1]
    assert all(len(line) <= 70 for line in lines[1:-1])
    assert all(re.search(r"\[\w{18}\]$", line) for line in lines[1:-1])


def test_colour_of_events_follows_the_terminal_and_no_color(played):
    folder, _ = played
    assert "\x1b[35mSTATE" in on_terminal(folder, "log", columns=None)[1]
    assert "\x1b" not in on_terminal(folder, "log", columns=None, NO_COLOR="1")[1]
    assert "\x1b" not in thence("log", cwd=folder).out


def test_command_with_a_space_in_its_log_is_quoted(tmp_path):
    thence("append", "note", "--log", "my notes", cwd=tmp_path)
    out = thence("why", "@last", "--log", "my notes", cwd=tmp_path).out
    typed = out.rpartition("next: ")[2].strip()
    assert shlex.split(typed)[-1] == "my notes"


ALONE = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"it reached for the network: {event} {arguments}")

sys.addaudithook(watch)
sys.argv = ["thence", *sys.argv[1:]]
from thence.cli.main import main

if "--reach" in sys.argv:
    import socket

    socket.getaddrinfo("localhost", 1)
sys.exit(main())
"""


@pytest.mark.parametrize(("arguments", "said"), [([], ""), (["--reach"], "the network")])
def test_demo_needs_no_network(tmp_path, arguments, said):
    done = in_python(ALONE, "demo", *arguments, cwd=tmp_path)
    assert done.code == (1 if said else 0)
    assert said in done.err
