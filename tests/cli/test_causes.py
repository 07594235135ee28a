import pytest
from tests.cli.warm import warm
from tests.events import line_of

import thence as package


@pytest.fixture
def long_chain(tmp_path):
    with package.open(tmp_path / "long") as log:
        ids = [log.append("step", {"n": 0}).event_id]
        for number in range(1, 40):
            ids.append(log.append("step", {"n": number}, caused_by=ids[-1:]).event_id)
    return ids


def test_why_tells_the_chain_root_first_each_with_its_short_id(tmp_path, orders):
    ended = warm("why", orders[2], "--log", "orders", cwd=tmp_path)
    assert ended.code == 0
    told = [line for line in ended.lines if line.endswith("]")]
    assert [line[-19:-1] for line in told] == [event_id[:18] for event_id in orders[:3]]
    assert "2 causes in all" in ended.out
    assert f"thence effects {orders[2]} --log orders" in ended.out


def test_line_of_causes_that_goes_back_too_far_is_told_to_begin_at_no_root(tmp_path):
    """At 10,000 causes all are told; beyond, the nearest."""
    lines, last = [], ""
    for number in range(1, 10_003):
        named = [last] if last else []
        last = f"{number:026d}"
        lines.append(line_of(event_id=last, seq=number, lamport_clock=number, causes=named))
    for events, is_cut in ((10_001, False), (10_002, True)):
        (tmp_path / "events.jsonl").write_bytes(b"".join(lines[:events]))
        out = warm("why", "@last", cwd=tmp_path).out
        assert ("no root" in out) == is_cut
        assert ("10,000 or more causes in all" in out) == is_cut
        told = warm("why", "@last", "--json", cwd=tmp_path).json
        assert (len(told["chain"]), len(told["causes"])) == (10_001, 10_000)
        assert told["truncated"] == is_cut


@pytest.mark.promise("P6")
def test_why_as_json(tmp_path, orders):
    told = warm("why", orders[2], "--log", "orders", "--json", cwd=tmp_path).json
    assert list(told) == [
        *("event_id", "sentences", "chain", "causes", "truncated", "cut_at", "missing")
    ]
    assert told["event_id"] == orders[2]
    assert [event["event_id"] for event in told["chain"]] == orders[:3]
    assert told["chain"][0]["payload"] == {"amount": 12}
    assert told["causes"] == [
        {"event_id": orders[0], "depth": 1},
        {"event_id": orders[1], "depth": 1},
    ]
    assert (told["truncated"], told["cut_at"], told["missing"]) == (False, [], [])
    assert len(told["sentences"]) == 3


@pytest.mark.promise("P6")
def test_effects_as_json_and_as_text(tmp_path, orders):
    told = warm("effects", orders[0], "--log", "orders", "--json", cwd=tmp_path).json
    assert list(told) == ["event_id", "sentences", "effects", "truncated"]
    assert [effect["event_id"] for effect in told["effects"]] == orders[1:3]
    out = warm("effects", orders[0], "--log", "orders", cwd=tmp_path).out
    assert "2 effects in all" in out
    assert orders[2][:18] in out


def test_event_apart_is_a_root_without_effects(tmp_path, orders):
    assert "it is a root" in warm("why", orders[3], "--log", "orders", cwd=tmp_path).out
    assert "Nothing followed" in warm("effects", orders[3], "--log", "orders", cwd=tmp_path).out


def test_cause_that_the_log_lacks_is_counted(tmp_path):
    (tmp_path / "events.jsonl").write_text(
        '{"event_id":"aaaaaa","event_type":"note","caused_by":["elsewhere"]}\n'
    )
    assert "1 cause named, none in this log" in warm("why", "@last", cwd=tmp_path).out
    assert "elsewhere, not in this log" in warm("show", "@last", cwd=tmp_path).out


@pytest.mark.parametrize(("command", "at"), [("why", -1), ("effects", 0)])
def test_long_answer_is_shown_without_its_middle_but_never_in_json(
    tmp_path, long_chain, command, at
):
    arguments = (command, long_chain[at], "--log", "long")
    ended = warm(*arguments, cwd=tmp_path)
    sentences = 40 if command == "why" else 39
    assert f" …  {sentences - 14} more: " in ended.out
    assert max(map(len, ended.lines[:-1])) <= 80
    whole = warm(*arguments, "-v", cwd=tmp_path).out
    assert all(event_id[:18] in whole for event_id in long_chain)
    assert len(warm(*arguments, "--json", cwd=tmp_path).json["sentences"]) == sentences


def test_causes_that_go_in_a_circle_still_get_an_answer(tmp_path):
    (tmp_path / "events.jsonl").write_text(
        '{"event_id":"aaaaaa","event_type":"note","caused_by":["bbbbbb"]}\n'
        '{"event_id":"bbbbbb","event_type":"note","caused_by":["aaaaaa"]}\n'
    )
    for command in ("why", "effects"):
        assert warm(command, "@last", "--json", cwd=tmp_path).code == 0


@pytest.fixture
def declined(tmp_path):
    """A plain program whose step failed: what it wrote, with a duration as steps write it."""
    error = {"error_type": "CardDeclined", "error_message": "gateway gave up after 3 attempts"}
    with package.open(tmp_path / "shop") as log:
        begun = log.append("fulfil.begun", {"amount": 12}, subject="order/881")
        failed = {**error, "duration_s": 0.093}
        log.append("fulfil.failed", failed, subject="order/881", caused_by=[begun])
    return "order/881 fulfil failed after 93 ms: CardDeclined: gateway gave up after 3 attempts"


@pytest.mark.promise("A1")
def test_every_command_that_shows_a_failure_shows_its_reason(tmp_path, declined):
    for command in ("why", "effects", "show"):
        out = warm(command, "@last-error", "--log", "shop", cwd=tmp_path).out
        assert declined in " ".join(out.split()), command
    assert declined in " ".join(warm("last", "--log", "shop", cwd=tmp_path).out.split())
    _, _, reason = declined.partition(" fulfil failed ")
    for command in ("log", "tail", "query"):
        last = warm(command, "--log", "shop", cwd=tmp_path).lines[-1]
        assert "  fulfil.failed  " in last
        assert f"  order/881 {reason} [" in last
        assert last.count("fulfil") == last.count("failed") == 1
    assert (
        warm("why", "@last", "--log", "shop", "--json", cwd=tmp_path)
        .json["sentences"][-1]
        .startswith(f"{declined} [")
    )
