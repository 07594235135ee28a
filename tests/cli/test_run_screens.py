"""What a simulation shows on a terminal and in a pipe, and how Ctrl-C stops it."""

import re
import shlex

import pytest
from tests.cli.installed import WITH_BAR, in_python, on_terminal, thence

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RUN = ("sim", "run", "spatial_trade_network")


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder in which a simulation was run into a pipe, and what it said."""
    folder = tmp_path_factory.mktemp("played")
    return folder, thence(*RUN, cwd=folder)


@pytest.mark.parametrize("width", [80, 30])
def test_progress_is_drawn_on_a_terminal_and_a_narrow_one_gets_the_whole_end(tmp_path, width):
    code, shown = on_terminal(tmp_path, *RUN, columns=width, program=WITH_BAR)
    assert code == 0
    assert width < 80 or ("━" in shown and "turn 40 of 40" in shown)
    assert "completed: 40 turns" in ESCAPES.sub("", shown).replace("\r\n", " ")


def test_colour_is_left_out_where_it_is_not_wanted(tmp_path):
    for number, env in enumerate(({"NO_COLOR": "1"}, {"TERM": "dumb"})):
        env["THENCE_ROOT"] = f"{number}"
        code, shown = on_terminal(tmp_path, *RUN, program=WITH_BAR, **env)
        assert code == 0
        assert "turn 40 of 40" in shown
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)
    assert "\x1b" not in shown
    assert re.findall(r"turn (\d+) of 40, ", shown) == [str(turn) for turn in range(4, 41, 4)]


def test_ctrl_c_on_a_terminal_ends_a_run_in_good_order(tmp_path):
    code, shown = on_terminal(tmp_path, *RUN, "--turns", "5000", interrupt=b"of 5,000")
    assert code == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    text = ESCAPES.sub("", shown).replace("\r\n", "")  # a long line goes on in the next
    (folder,) = re.findall(r"next: thence sim resume (output/[\w-]+)", text)
    assert (tmp_path / folder / "events.jsonl").is_file()
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    assert thence("verify", cwd=tmp_path).code == 0


def test_short_run_and_a_quiet_one_draw_no_bar(tmp_path):
    code, shown = on_terminal(tmp_path, *RUN, "--turns", "2", columns=None)
    assert code == 0
    assert "completed: 2 turns" in shown
    assert len(shown.splitlines()) == 1
    code, shown = on_terminal(tmp_path, *RUN, "-q", program=WITH_BAR)
    assert (code, len(shown.splitlines())) == (0, 1)


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
def test_run_needs_no_network(tmp_path, arguments, said):
    done = in_python(ALONE, *RUN, *arguments, cwd=tmp_path)
    assert done.code == (1 if said else 0)
    assert said in done.err
