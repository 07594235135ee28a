"""The end of a log as it grows: what arrived last, then each event at once."""

import json
import os
import signal
from contextlib import contextmanager

import pytest
from tests.cli.installed import THENCE, begin, in_shell, thence
from tests.log.processes import APPEND, started

import thence as package
from thence.cli.commands.log.listing import TAIL_EVENTS_MAX
from thence.core.vocabulary import PLAIN
from thence.log.open import Log

WAIT_S = 60


@contextmanager
def following(tmp_path, *arguments):
    tail = begin(THENCE, "tail", "-f", *arguments, cwd=tmp_path)
    try:
        yield tail
    finally:
        tail.kill()
        tail.communicate()


def interrupted(tail):
    os.kill(tail.pid, signal.SIGINT)
    out, err = tail.communicate(timeout=WAIT_S)
    return tail.returncode, out, err


def test_tail_shows_the_last_events_as_they_arrived(tmp_path, orders):
    stored = (tmp_path / "orders" / "events.jsonl").read_text().splitlines()
    listed = thence("log", "--log", "orders", cwd=tmp_path).lines
    ended = thence("tail", "--log", "orders", cwd=tmp_path)
    assert (ended.code, ended.err, ended.lines) == (0, "", listed)
    for count in (0, 1, 3, 99):
        asked = ("tail", "-n", count, "--log", "orders", "--json")
        assert thence(*asked, cwd=tmp_path).lines == (stored[-count:] if count else [])
    with (tmp_path / "orders" / "events.jsonl").open("a") as file:
        file.write('{"event_id":"foreign"}\nbad\n{"event_id":"unfinished"}')
    asked = ("tail", "-n", 2, "--log", "orders", "--json")
    assert thence(*asked, cwd=tmp_path).lines == [stored[-1], '{"event_id":"foreign"}']


def test_tail_shows_the_last_events_that_fit_the_options_of_log(tmp_path, orders):
    for options in (["--type", "order.*"], ["--actor", "ada"], ["--where", "amount > 1"]):
        listed = thence("log", *options, "--log", "orders", "--json", cwd=tmp_path).lines
        for count in (1, 99):
            words = ("tail", "-n", count, *options, "--log", "orders", "--json")
            assert thence(*words, cwd=tmp_path).lines == listed[-count:]
    ended = thence("tail", "--type", "ordr.paid", "--log", "orders", cwd=tmp_path)
    assert (ended.code, ended.out) == (4, "")
    assert "the nearest is 'order.paid'" in ended.err


def test_following_shows_new_events_that_fit_alone(tmp_path, orders):
    words = ("-n", "1", "--type", "order.paid", "--log", "orders", "--json")
    with following(tmp_path, *words) as tail:
        assert json.loads(tail.stdout.readline())["event_type"] == "order.paid"
        with package.open(tmp_path / "orders") as log:
            ids = [log.append(name).event_id for name in ("order.paid", "note", "order.paid")]
        lines = [json.loads(tail.stdout.readline()) for _ in range(2)]
    assert [line["event_id"] for line in lines] == [ids[0], ids[2]]


def test_tail_takes_no_more_events_than_memory_should_hold(tmp_path, orders):
    assert len(thence("tail", "-n", TAIL_EVENTS_MAX, "--log", "orders", cwd=tmp_path).lines) == 4
    ended = thence("tail", "-n", TAIL_EVENTS_MAX + 1, "--log", "orders", cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert f"0<=x<={TAIL_EVENTS_MAX}" in ended.err


def test_tail_of_an_empty_log_says_so(tmp_path):
    package.open(tmp_path / "empty").close()
    ended = thence("tail", "--log", "empty", cwd=tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, "", "no events\n")
    assert thence("tail", "--log", "gone", cwd=tmp_path).code == 4


@pytest.mark.promise("P6")
def test_events_of_another_process_are_followed_over_rotations(tmp_path):
    with package.open(tmp_path / "log") as log:
        first = log.append("first")
    with following(tmp_path, "-n", "1", "--json", "--log", "log") as tail:
        assert tail.stdout.readline() == first.line.decode() + "\n"
        writer = started(APPEND, tmp_path / "log", 100, "a")
        numbers = [json.loads(tail.stdout.readline())["payload"]["n"] for _ in range(100)]
        assert numbers == list(range(100))
        assert interrupted(tail) == (130, "", "")
        writer.communicate(timeout=WAIT_S)
    assert len(list((tmp_path / "log").glob("*.jsonl"))) > 5


def test_reader_that_goes_ends_it_quietly_even_when_nothing_comes(tmp_path):
    with Log(tmp_path / "log", PLAIN) as log:
        for _ in range(3):
            log.append("t")
    done = in_shell(f"'{THENCE}' tail -f --log log | head -1", tmp_path)
    assert (done.code, done.err, len(done.lines)) == (0, "", 1)
