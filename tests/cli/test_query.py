import json
import os
import re
import shlex
from pathlib import Path

import pytest
from tests.cli.installed import THENCE, is_three_lines
from tests.cli.warm import warm
from tests.events import foreign_log

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def event(event_id, kind, second, **members):
    """Return an event as another tool would have written it."""
    time = f"2026-11-20T08:55:{second}000Z"
    return {"event_id": event_id, "event_type": kind, "timestamp": time, **members}


# the logs that the page shows
AMOUNT = {"payload": {"amount": 12}}
ORDERS = [
    event("01M7W2P5C00000000144WCNZH3", "order.placed", "35.552", **AMOUNT)
    | {"subject": "order/881", "actor": "ada"},
    event("01M7W2P5FM00000000HXX9C0P8", "order.paid", "35.668", **AMOUNT, actor="ben"),
    event("01M7W2P5K500000000D6WC9JSJ", "order.failed", "35.781", payload={"reason": "no stock"}),
    event("01M7W2P5R200000000D6WC9JSJ", "order.returned", "52.114", payload={}, stream="nightly"),
]
TURNS = [
    event(event_id, "DECISION", second, simulation_id="run-1", turn_number=turn, agent_id=agent)
    | {"details": {"decision_type": "trade", "old_value": None, "new_value": chosen}}
    for event_id, second, turn, agent, chosen in (
        ("01M7W2P5Z000000001D6WC9JSJ", "35.900", 2, "ada", "wait"),
        ("01M7W2P60000000001D6WC9JSJ", "36.000", 3, "ada", "sell 3 grain"),
        ("01M7W2P64000000001D6WC9JSJ", "36.100", 3, "ben", "wait"),
        ("01M7W2P6Z800000001D6WC9JSJ", "37.000", 4, "ada", "wait"),
        ("01M7W2P7Z800000001D6WC9JSJ", "38.000", 5, "ada", "wait"),
    )
]


def query(cwd, *arguments):
    return warm("query", "--log", "orders", *arguments, cwd=cwd)


def ids(ended):
    assert (ended.code, ended.err) == (0, ""), ended
    return [line[-19:-1] for line in ended.lines]


@pytest.fixture
def shown(tmp_path):
    """The logs that the page asks."""
    foreign_log(tmp_path / "orders", *ORDERS)
    foreign_log(tmp_path / "output/run-1", *TURNS)
    return tmp_path


def examples():
    """Yields each command of the page's section with what the page shows of its streams."""
    _, _, section = PAGE.read_text("utf-8").partition("### `thence log`\n")
    section = section.partition("\n### `thence tail`")[0]
    for block in re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE):
        for example in block.removeprefix("$ ").split("\n$ "):
            words, _, output = example.partition("\n")
            yield words, output.rstrip("\n")


def test_page_shows_what_the_command_says_and_has_an_example_of_each_option(shown):
    options = set()
    env = {"PATH": f"{THENCE.parent}:{os.environ['PATH']}"}
    for words, output in examples():
        arguments = shlex.split(words)[1:]
        ended = warm(*arguments, cwd=shown, env=env)
        assert (ended.out + ended.err).rstrip("\n") == output, words
        assert is_three_lines(ended.err) is (ended.code != 0), words
        options |= {word for word in arguments if word.startswith("--")}
    keys = "log type actor subject stream since until turn failed where"
    keys += " last desc count limit json"
    assert options == {f"--{key}" for key in keys.split()}


@pytest.mark.promise("P6")
def test_json_is_the_stored_lines(tmp_path, orders):
    stored = (tmp_path / "orders" / "events.jsonl").read_text()
    ended = query(tmp_path, "--json")
    assert (ended.code, ended.out, ended.err) == (0, stored, "")
    ended = query(tmp_path, "--json", "--until", "2020-01-01")
    assert (ended.code, ended.out, ended.err) == (0, "", "no events\n")


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--where", "amount >"], "could not read --where, column 9"),
        (["--where", "amount > 1e400"], "could not read --where, column 10"),
        (["--turn", "3-7"], "could not read --turn"),
        (["--since", "tomorrow"], "could not read --since"),
        (["--since", "1y"], "could not read --since"),
        (["--type", ""], "'--type': it is empty"),
        (["--until", "2026-11-20T07:13:00 02:00"], "could not read --until"),
        (["--limit", "-1"], "--limit"),
        (["--last", "10001"], "--last"),
        (["--last", "2", "--limit", "2"], "--last and --limit exclude each other"),
        (["--count", "--limit", "0"], "--count"),
    ],
)
def test_what_is_no_filter_is_wrong_usage(tmp_path, orders, arguments, told):
    ended = query(tmp_path, *arguments, "--json")
    ended.failure(2)
    assert told in ended.json["error"]["message"]
    assert query(tmp_path, *arguments).out == ""


@pytest.mark.promise("A1")
@pytest.mark.parametrize(
    ("where", "key", "nearest"),
    [
        ("typ ~ failed", "typ", "event_type"),
        ("type = order.failed", "type", "event_type"),
        ("amuont > 1", "amuont", "amount"),
        ("payload.amont > 1", "payload.amont", "payload.amount"),
        ("amount > 1 and resaon ~ x", "resaon", "reason"),
    ],
)
def test_key_that_no_event_has_is_told_with_the_nearest(shown, where, key, nearest):
    ended = query(shown, "--where", where)
    assert (ended.code, ended.out) == (0, "")
    first, hint = ended.err.splitlines()
    assert first == "no events"
    assert f"no event has a key `{key}`" in hint
    assert hint.endswith(f"nearest: {nearest}")
    quiet = query(shown, "--where", where, "-q", "--json")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    exported = warm("export", "--log", "orders", "--csv", "--where", where, cwd=shown)
    assert hint in exported.err
    counted = query(shown, "--where", where, "--count")
    assert (counted.code, counted.out) == (0, "0\n")
    assert counted.err == ended.err


@pytest.mark.promise("A1d")
@pytest.mark.parametrize(
    ("key", "name", "nearest"),
    [
        ("actor", "Ada", "ada"),
        ("type", "ordr.paid", "order.paid"),
        ("subject", "order/88", "order/881"),
        ("stream", "nihgtly", "nightly"),
    ],
)
@pytest.mark.parametrize("command", [["log"], ["log", "--count"], ["query"], ["stats"],
                                     ["stats", "--by", "type"], ["export", "--csv"]])  # fmt: skip
def test_name_that_no_event_has_is_told_with_the_nearest(shown, command, key, name, nearest):
    form = "-q" if "export" in command else "--json"
    assert warm(*command, "--log", "orders", form, f"--{key}", nearest, cwd=shown).code == 0
    ended = warm(*command, "--log", "orders", form, f"--{key}", name, cwd=shown)
    ended.failure(4)
    assert f"no event has the {key} '{name}'; the nearest is '{nearest}'" in ended.err
    if form == "--json":
        assert ended.json["error"]["code"] == "event_not_found"


@pytest.mark.parametrize(
    "command", [("log",), ("log", "--count"), ("stats",), ("export", "--csv"), ("tail",)]
)
def test_name_that_no_event_has_is_noted_beside_one_that_matches(shown, command):
    names = ("--type", "order.placed", "--type", "ordr.paid")
    ended = warm(*command, "--log", "orders", *names, cwd=shown).done()
    assert "no event has the type 'ordr.paid'; the nearest is 'order.paid'\n" in ended.err
    alone = warm(*command, "--log", "orders", "--type", "order.placed", cwd=shown)
    assert "no event has" not in alone.err
    assert ended.out == alone.out


def test_last_and_desc_and_count(tmp_path, orders):
    assert ids(query(tmp_path, "--last", "4")) == [event_id[:18] for event_id in orders]
    assert ids(query(tmp_path, "--desc")) == [event_id[:18] for event_id in orders[::-1]]
    assert len(ids(query(tmp_path, "--limit", "0"))) == 4
    last = query(tmp_path, "--last", "2", "--desc", "--json")
    assert "the last 2 of 4 events" in last.err
    assert [json.loads(line)["event_id"] for line in last.lines] == orders[:1:-1]
    first = query(tmp_path, "--desc", "--limit", "3", "--json")
    assert [json.loads(line)["event_id"] for line in first.lines] == orders[:0:-1]
    assert "3 of 4 events" in first.err
    counted = query(tmp_path, "--count", "--type", "order.*", "--json")
    assert (counted.code, counted.json) == (0, {"events": 3})


def test_times_that_the_help_names_are_times(tmp_path, orders):
    text = " ".join(warm("log", "--help", cwd=tmp_path).out.split())
    examples = re.search(r"--since TIME .* in UTC: (.*?)\. --until", text)[1].split(", ")
    assert "yesterday" in examples
    for example in examples:
        time = example.partition(" (")[0]
        assert query(tmp_path, "--since", time, "--count").code == 0, time
