import json

import pytest
from tests.cli.installed import thence


def append(tmp_path, *arguments, **options):
    return thence("append", "--log", "log", *arguments, cwd=tmp_path, **options)


def last(tmp_path):
    return thence("show", "@last", "--log", "log", "--json", cwd=tmp_path).json


def test_append_makes_a_named_log_and_writes_the_id(tmp_path):
    ended = append(tmp_path, "order.placed", "amount=12")
    assert (ended.code, ended.err) == (0, "")
    assert last(tmp_path)["event_id"] == ended.out.strip()


def test_append_makes_the_log_that_the_environment_names(tmp_path):
    thence("append", "note", cwd=tmp_path, env={"THENCE_LOG": "log"}).done()
    assert last(tmp_path)["event_type"] == "note"


def test_append_makes_no_log_that_nobody_named(tmp_path):
    thence("append", "note", cwd=tmp_path).failure(4)
    assert not list(tmp_path.iterdir())


@pytest.mark.promise("P6")
def test_json_tells_id_and_numbers(tmp_path):
    append(tmp_path, "note")
    told = append(tmp_path, "note", "--json").json
    assert told == {"event_id": last(tmp_path)["event_id"], "seq": 2, "lamport_clock": 2}


def test_values_are_json_where_they_parse_and_else_text(tmp_path):
    pairs = ("a=12", 'b="12"', "c=true", "d=[1,2]", "e=two words", "f=x=y", "g=", "h=007", "i=NaN")
    assert append(tmp_path, "note", *pairs).code == 0
    values = {"a": 12, "b": "12", "c": True, "d": [1, 2]}
    texts = {"e": "two words", "f": "x=y", "g": "", "h": "007", "i": "NaN"}
    assert last(tmp_path)["payload"] == values | texts


def test_payload_comes_from_the_option_from_stdin_and_from_pairs(tmp_path):
    append(tmp_path, "note", "--payload", '{"a": 1}', "b=2")
    assert last(tmp_path)["payload"] == {"a": 1, "b": 2}
    append(tmp_path, "note", "--payload", "-", stdin='{"text": "é"}'.encode())
    assert last(tmp_path)["payload"] == {"text": "é"}


def test_words_and_causes_are_kept(tmp_path):
    first = append(tmp_path, "first").out.strip()
    second = append(tmp_path, "second").out.strip()
    words = ("--subject", "order/1", "--actor", "ada", "--stream", "nightly")
    append(tmp_path, "third", *words, "--caused-by", first[:20], "--caused-by", "@last")
    event = last(tmp_path)
    assert event["caused_by"] == [first, second]
    assert (event["subject"], event["actor"], event["stream"]) == ("order/1", "ada", "nightly")


def test_actor_comes_from_the_environment_unless_the_flag_names_one(tmp_path):
    env = {"THENCE_ACTOR": "ada"}
    append(tmp_path, "note", env=env)
    assert last(tmp_path)["actor"] == "ada"
    append(tmp_path, "note", "--actor", "ben", env=env)
    assert last(tmp_path)["actor"] == "ben"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["note", "a=1", "a=2"], 2, "'a' is given twice"),
        (["note", "a=1", "--payload", '{"a": 2}'], 2, "--payload too"),
        (["note", "amount"], 2, "'amount' is not KEY=VALUE"),
        (["note", "=1"], 2, "'=1' is not KEY=VALUE"),
        (["note", "--payload", "{"], 2, "--payload is not JSON"),
        (["note", "--payload", "[1]"], 2, "not an object"),
        (["note", "--subject", ""], 2, "'--subject': it is empty"),
        (["note", "a=\udcff"], 2, "is not UTF-8 text"),
        (["a\nb"], 2, "field event_type"),
        (["log.mine"], 2, "only the log writes"),
        (["note", "--caused-by", "01ZZZZZZ"], 4, "could not find the event 01ZZZZZZ"),
    ],
)
def test_what_is_refused_makes_nothing(tmp_path, arguments, code, said):
    assert said in append(tmp_path, *arguments).failure(code)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "data",
    [b"\xff{", b"[" * 100_000, b" " * (81 * 1024 * 1024) + b"{}"],
    ids=["no UTF-8", "deep", "81 MiB"],
)
def test_bytes_that_are_no_payload_are_refused(tmp_path, data):
    append(tmp_path, "note", "--payload", "-", stdin=data).failure(2)


def test_huge_payload_under_the_limit_is_kept_and_shown(tmp_path):
    data = json.dumps({"text": "x" * 1_000_000}).encode()
    assert append(tmp_path, "note", "--payload", "-", stdin=data).code == 0
    assert len(last(tmp_path)["payload"]["text"]) == 1_000_000
    assert "x" * 1_000_000 in thence("show", "@last", "--log", "log", cwd=tmp_path).out
