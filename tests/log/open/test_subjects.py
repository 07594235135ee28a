"""An event asked for by the subject that it is about."""

import pytest
from tests.cli.warm import warm
from tests.codes import raises_code
from tests.server.runs import foreign

import thence
from thence.errors import EventNotFound


@pytest.fixture(params=["read", "indexed"])
def log(request, tmp_path):
    with thence.open(tmp_path / "orders") as opened:
        placed = opened.append("order.placed", subject="order/881")
        opened.append("order.placed", subject="order/882")
        opened.append("order.sent", subject="order/881", caused_by=[placed])
        opened.append("noted", subject="eu/a/7")
        opened.append("noted", subject="us/a/7")
        opened.append("noted", {"n": 1})
        if request.param == "indexed":
            opened.rebuild()
        yield opened


@pytest.mark.promise("A1")
def test_subject_stands_for_the_latest_event_on_it(log):
    assert log.resolve("order/881").event_type == "order.sent"
    assert log.resolve("881") == log.resolve("order/881")
    assert [event.event_type for event in log.why("order/881").chain] == [
        "order.placed",
        "order.sent",
    ]
    assert not log.effects("order/881").cone
    assert log.why("@last").event.payload["n"] == 1


def test_id_and_beginning_of_one_go_before_a_subject(log):
    first = next(log.read())
    log.append("noted", subject=first.event_id[:20])
    assert log.resolve(first.event_id[:20]) == log.resolve(first.event_id) == first


def test_last_parts_of_several_subjects_are_refused_with_their_names(log):
    with raises_code("ambiguous_id", match="2 subjects") as raised:
        log.resolve("a/7")
    assert "eu/a/7" in raised.value.hint
    assert log.resolve("eu/a/7").subject == "eu/a/7"


@pytest.mark.parametrize("text", ["order/883", "Order/88", "oder/881", "x" * 10_000, "\ud800", "?"])
def test_what_is_neither_names_the_nearest_subjects(log, text):
    with pytest.raises(EventNotFound, match="id, subject or type") as raised:
        log.resolve(text)
    assert ("order/881" in raised.value.hint) is ("/" in text)


def test_whole_subject_with_a_typo_names_the_whole_one_that_is_nearest(log):
    log.append("moved", subject="agent/abbey/claim")
    with pytest.raises(EventNotFound) as raised:
        log.resolve("agent/abby/claim")
    assert raised.value.hint == "the nearest subjects are: agent/abbey/claim"


def test_text_that_names_no_cause_is_never_taken_for_a_subject(log, tmp_path):
    ended = warm("append", "x", "--log", "orders", "--caused-by", "order/881", cwd=tmp_path)
    assert ended.code != 0
    assert log.resolve("@last").event_type == "noted"


def test_command_says_which_event_of_a_subject_it_took(log, tmp_path):
    latest = log.resolve("order/881").event_id
    for command in ("why", "effects", "show"):
        ended = warm(command, "order/881", "--log", "orders", cwd=tmp_path)
        assert ended.code == 0
        assert latest in ended.err
        assert warm(command, latest[:18], "--log", "orders", cwd=tmp_path).err == ""
    ended = warm("why", "order/88", "--log", "orders", cwd=tmp_path)
    assert ended.code == 4
    assert "order/881" in ended.err


@pytest.mark.parametrize("is_indexed", [False, True])
def test_whole_id_of_another_tool_goes_before_longer_ones_that_begin_so(tmp_path, is_indexed):
    (tmp_path / "events.jsonl").write_bytes(
        foreign(1, event_id="a/1") + foreign(2, event_id="a/12")
    )
    with thence.open(tmp_path) as opened:
        if is_indexed:
            opened.rebuild()
        assert opened.resolve("a/1").event_id == opened.why("a/1").event.event_id == "a/1"
