import pytest
from tests.cli.warm import warm
from tests.events import drafted, line_of, stamped

import thence as package


@pytest.fixture
def long_chain(tmp_path):
    with package.open(tmp_path / "long") as log:
        ids = [log.append("step", {"n": 0}).event_id]
        for number in range(1, 40):
            ids.append(log.append("step", {"n": number}, caused_by=ids[-1:]).event_id)
    return ids


def test_why_tells_the_chain_root_first_each_with_its_short_id(tmp_path, orders):
    ended = warm("why", orders[2], "--log", "orders", cwd=tmp_path).done()
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
        *("event_id", "sentences", "chain", "causes", "truncated", "cut_at", "missing"),
        "asked_by",
    ]
    assert told["event_id"] == orders[2]
    assert [event["event_id"] for event in told["chain"]] == orders[:3]
    assert told["chain"][0]["payload"] == {"amount": 12}
    assert told["causes"] == [
        {"event_id": orders[0], "depth": 1},
        {"event_id": orders[1], "depth": 1},
    ]
    assert (told["truncated"], told["cut_at"], told["missing"]) == (False, [], [])
    assert told["asked_by"] == []
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


def test_first_event_that_names_a_cause_which_the_log_lacks_is_told_to_be_no_root(tmp_path):
    (tmp_path / "events.jsonl").write_text(
        '{"event_id":"aaaaaa","event_type":"note","caused_by":["elsewhere"]}\n'
        '{"event_id":"bbbbbb","event_type":"note","caused_by":["aaaaaa","elsewhere"]}\n'
    )
    for event_id in ("aaaaaa", "bbbbbb"):
        out = " ".join(warm("why", event_id, cwd=tmp_path).out.split())
        assert "[aaaaaa] is not a root: it names the cause elsewhere, which is not in" in out
        assert "removed, or never written" in out
    assert warm("why", "bbbbbb", "--json", cwd=tmp_path).json["missing"] == [
        {"event_id": "elsewhere", "named_by": "aaaaaa", "log_id": None}
    ]
    assert "elsewhere, not in this log" in warm("show", "@last", cwd=tmp_path).out


@pytest.mark.promise("A1b")
@pytest.mark.parametrize("is_indexed", [False, True])
def test_cause_in_another_log_is_told_with_that_log(tmp_path, is_indexed):
    with package.open(tmp_path / "shop") as shop, package.open(tmp_path / "depot") as depot:
        placed = shop.append("order.placed")
        (cause,) = shop.environment(placed).values()
        members = {"external_causes": [cause]}
        (tmp_path / "depot" / "events.jsonl").write_bytes(
            stamped(drafted("0" * 26, "packed", members, [placed.event_id]), 1, 9)
        )
        if is_indexed:
            depot.rebuild()
        out = " ".join(warm("why", "packed", "--log", "depot", cwd=tmp_path).out.split())
        assert f"names the cause {placed.event_id}, which is not in this log" in out
        assert f"in log {shop.log_id}" in out
        error = warm("why", placed.event_id, "--log", "depot", "--json", cwd=tmp_path).json["error"]
        assert error["code"] == "event_not_found"


@pytest.mark.promise("A1b")
def test_long_chain_gives_way_to_the_reasons_in_twelve_lines(tmp_path, long_chain):
    arguments = ("why", long_chain[-1], "--log", "long")
    *lines, following = warm(*arguments, cwd=tmp_path).lines
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"step: n 39 [{long_chain[-1][:18]}], because"
    assert lines[1:3] == [
        f"- step: n 38 [{long_chain[-2][:18]}]",
        f"  - step: n 37 [{long_chain[-3][:18]}]",
    ]
    assert lines[-1] == "39 causes in all; --all shows the whole chain."
    assert following.endswith(f"thence why {long_chain[-1]} --all --log long")
    whole = warm(*arguments, "--all", cwd=tmp_path).out
    assert all(event_id[:18] in whole for event_id in long_chain)
    assert len(warm(*arguments, "--json", cwd=tmp_path).json["sentences"]) == 40


def test_of_many_effects_the_nearest_are_shown_but_all_in_json(tmp_path, long_chain):
    arguments = ("effects", long_chain[0], "--log", "long")
    ended = warm(*arguments, cwd=tmp_path)
    assert "39 effects in all; --all shows them." in ended.out
    assert [event_id[:18] in ended.out for event_id in long_chain[1:]] == [True] * 14 + [False] * 25
    assert max(map(len, ended.lines[:-1])) <= 80
    whole = warm(*arguments, "--all", cwd=tmp_path).out
    assert all(event_id[:18] in whole for event_id in long_chain)
    assert len(warm(*arguments, "--json", cwd=tmp_path).json["sentences"]) == 39


@pytest.mark.parametrize("is_indexed", [False, True])
def test_type_and_subject_name_the_event_that_why_and_effects_are_about(tmp_path, is_indexed):
    with package.open(tmp_path / "shop") as log:
        placed = log.append("order.placed", subject="order/7")
        failed = log.append("pay.failed", subject="order/7", caused_by=placed)
        noted = log.append("order.noted", subject="order/7", caused_by=placed)
        if is_indexed:
            log.rebuild()
        for command in ("why", "effects"):
            of_type = warm(command, "pay.failed", "--log", "shop", cwd=tmp_path)
            assert failed.event_id in of_type.err
            assert failed.event_id[:18] in of_type.out
            ended = warm(command, "order/7", "--log", "shop", cwd=tmp_path)
            assert f"last failure, without a success since, is {failed.event_id}" in ended.err
            told = warm(command, "order/7", "--log", "shop", "--json", cwd=tmp_path).json
            assert told["event_id"] == failed.event_id
        assert noted.event_id in warm("show", "order/7", "--log", "shop", cwd=tmp_path).err
    ended = warm("why", "pay.faild", "--log", "shop", cwd=tmp_path)
    assert (ended.code, len(ended.err.splitlines())) == (4, 3)


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
