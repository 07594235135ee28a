import re
import signal
import sys
from shutil import copytree
from subprocess import PIPE, Popen

import pytest
from tests.cli.scenarios import counting
from tests.cli.warm import warm
from tests.events import drafted, foreign_log, new_id, stamped
from tests.log.processes import ran

import thence as package
from thence.cli.commands.log.listing import OPEN_SHOWN_MAX


def write(folder, *parts):
    """Write events given as name, seconds after the first, and members."""
    folder.mkdir()
    lines = []
    for number, (kind, seconds, members) in enumerate(parts, 1):
        minutes, rest = divmod(seconds, 60)
        when = f"2026-11-20T07:{minutes:02.0f}:{rest:09.6f}Z"
        event_id = members.pop("event_id", None) or new_id()
        lines.append(stamped(drafted(event_id, kind, members, timestamp=when), number, number))
    (folder / "events.jsonl").write_bytes(b"".join(lines))


def last(cwd, *arguments):
    return warm("last", "--log", "orders", *arguments, cwd=cwd)


@pytest.mark.promise("P6")
def test_json_is_the_last_event_and_the_open_ones_as_stored(tmp_path):
    begun = new_id()
    write(
        tmp_path / "orders",
        ("refund.begun", 0, {"begins": True, "event_id": begun, "subject": "order/881"}),
        ("pay.begun", 1, {"begins": True}),
        ("refund.ended", 2, {"ends": begun}),
    )
    lines = (tmp_path / "orders" / "events.jsonl").read_text().splitlines()
    ended = last(tmp_path, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f'{{"last":{lines[2]},"open":[{lines[1]}],"writers_ended":{{}}}}\n'


@pytest.mark.promise("A2c")
def test_unfinished_lists_what_began_by_whom_since_when_and_whether_it_lives(tmp_path):
    def unfinished(*arguments):
        return warm("unfinished", "--log", "orders", *arguments, cwd=tmp_path)

    with package.open(tmp_path / "orders") as log:
        log.append("first")
        assert unfinished().err == "nothing is unfinished\n"
        with package.step("pay", log=log, subject="order/1", actor="till") as pay:
            alive = unfinished()
        program = "import os, sys, thence\nlog = thence.open(sys.argv[1])\n"
        program += "thence.step('night', log=log).__enter__()\nos._exit(1)"
        ran(program, tmp_path / "orders", check=False)
    line = " ".join(text.strip() for text in alive.lines)
    assert line.startswith(f"{pay.timestamp}  till: order/1 pay began")
    assert line.endswith("; may still be running")
    dead = unfinished()
    assert "night began" in dead.out
    assert "its process has ended" in " ".join(text.strip() for text in dead.lines)
    (step,) = unfinished("--json").json["unfinished"]
    assert (step["event"]["event_type"], step["is_alive"]) == ("night.begun", False)
    assert step["writer_ended"] == step["event"]["timestamp"]


def test_many_open_events_are_cut_to_the_newest_and_counted(tmp_path):
    many = [("begun", number, {"begins": True}) for number in range(OPEN_SHOWN_MAX + 3)]
    write(tmp_path / "orders", *many)
    lines = last(tmp_path).lines
    assert len(lines) == OPEN_SHOWN_MAX + 2
    assert lines[1] == "open at the end (-v shows 3 older ones too):"
    assert len(last(tmp_path, "-v").lines) == OPEN_SHOWN_MAX + 5
    assert len(last(tmp_path, "--json").json["open"]) == OPEN_SHOWN_MAX + 3


def test_times_that_another_tool_wrote_hurt_nothing(tmp_path):
    begun = {"event_id": "a", "event_type": "begun", "timestamp": "2026", "begins": True}
    note = {"event_id": "b", "event_type": "note", "timestamp": "noon"}
    foreign_log(tmp_path / "orders", begun, note)
    ended = last(tmp_path).done()
    assert ended.lines[::2] == [
        "last event: note [b], noon",
        "2026  begun [a]; may still be running",
    ]


def test_killed_simulation_shows_the_turn_that_it_was_in(tmp_path):
    path = counting(tmp_path, engine="Deadly")
    run = warm("sim", "run", path, "--mode", "sync", cwd=tmp_path)
    assert run.code == -signal.SIGKILL
    told = warm("last", "--json", cwd=tmp_path).json
    still_open = told["open"]
    assert list(told["writers_ended"]) == [event["event_id"] for event in still_open]
    kinds = [(event["turn_number"], event["details"]["milestone_type"]) for event in still_open]
    assert kinds == [(0, "simulation_start"), (3, "turn_start")]
    assert "Turn 3 began [" in warm("last", cwd=tmp_path).out


STEP = """
import os, signal, sys, thence
log = thence.open(sys.argv[1])
with thence.step(sys.argv[2], log=log):
    log.append("noted")
    print("begun", flush=True)
    if sys.argv[2] == "pay":
        os.kill(os.getpid(), signal.SIGKILL)
    input()
"""


@pytest.mark.promise("A1c")
def test_step_of_a_dead_process_is_told_from_one_of_a_living(tmp_path):
    command = [sys.executable, "-c", STEP, str(tmp_path / "orders"), "send"]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as alive:
        assert alive.stdout
        assert alive.stdout.readline() == "begun\n"
        assert last(tmp_path).out.count("began") == 1
        assert not last(tmp_path, "--json").json["writers_ended"]
        ran(STEP, tmp_path / "orders", "pay", check=False)
        text = " ".join(last(tmp_path).out.split())
        assert re.search(r" send began \[\w+\]; may still be running .* pay began \[", text)
        told = last(tmp_path, "--json").json
        (time,) = told["writers_ended"].values()
        assert "; its process has ended" in text
        assert time == told["last"]["timestamp"]
        alive.communicate("\n")
    warm("append", "noted", "--log", "orders", cwd=tmp_path)  # buries what the dead process left
    text = " ".join(last(tmp_path).out.split())
    assert f"pay began [{told['open'][1]['event_id'][:18]}]; its process has ended" in text
    assert "send" not in text


def test_writer_of_a_step_in_a_copy_of_a_log_is_not_taken_for_ended(tmp_path):
    ran(STEP, tmp_path / "original", "pay", check=False)
    copytree(tmp_path / "original", tmp_path / "orders")
    for _ in range(2):
        text = " ".join(last(tmp_path).out.split())
        assert re.search(r" pay began \[\w+\]; may still be running", text)
        package.open(tmp_path / "orders").append("noted")
