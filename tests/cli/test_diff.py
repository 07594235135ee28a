import json

import pytest
from tests.cli.warm import warm

import thence as package

SHIPPED = "spatial_trade_network"
TURNS = 6


def ran(folder, *arguments):
    """Run the shipped scenario by the installed command and return the run's folder."""
    ended = warm("sim", "run", SHIPPED, "--turns", TURNS, "--json", *arguments, cwd=folder).done()
    return ended.json["output_dir"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with runs of the shipped scenario, and what each is called."""
    folder = tmp_path_factory.mktemp("runs")
    named = {
        "one": ran(folder, "--seed", "1", "--verbosity", "STATE"),
        "same": ran(folder, "--seed", "1", "--verbosity", "STATE", "--mode", "sync"),
        "other": ran(folder, "--seed", "2", "--verbosity", "STATE"),
        "fewer": ran(folder, "--seed", "1", "--verbosity", "DECISION"),
    }
    return folder, named


def diff(runs, a, b, *arguments):
    folder, named = runs
    return warm("diff", named.get(a, a), named.get(b, b), *arguments, cwd=folder)


@pytest.mark.promise("P6")
def test_json_of_two_runs_that_say_the_same(runs):
    ended = diff(runs, "one", "same", "--json").done()
    told = ended.json
    counts = "same changed only_a only_b notices_a notices_b roots first"
    events = "root_events changed_events only_a_events only_b_events truncated"
    assert list(told) == f"{counts} {events}".split()
    assert told["same"] > 100
    assert told["first"] is None
    assert not any(told[key] for key in list(told)[1:])


def test_another_seed_parts_where_nothing_different_led_to_it(runs):
    folder, named = runs
    ended = diff(runs, "one", "other", "--json")
    assert (ended.code, ended.err) == (3, "")
    first = ended.json["first"]
    assert first["a"]["step"] == first["b"]["step"]
    assert first["differs"]
    for side, log in (("a", "one"), ("b", "other")):
        effects = warm(
            "effects", first[side]["event_id"], "--log", named[log], "--json", cwd=folder
        ).json["effects"]
        assert first[f"follow_{side}"] == len(effects)


def test_text_tells_counts_divergence_causes_and_what_to_type_next(runs):
    folder, named = runs
    ended = diff(runs, "one", "other")
    assert ended.code == 3
    told = diff(runs, "one", "other", "--json").json
    first = told["first"]
    assert ended.out.startswith(f"{told['same']} events the same in A and B, ")
    for side in ("a", "b"):
        assert f"  {side.upper()}  " in ended.out
        assert first[side]["event_id"][:18] in ended.out
        assert f"{first[f'follow_{side}']:,} later event" in ended.out
    assert f"  {first['differs'][0]['path']}: " in ended.out
    assert max(map(len, ended.lines[:-2])) <= 80
    commands = [line.removeprefix("next: ").strip() for line in ended.lines[-2:]]
    for line, side, log in zip(commands, ("a", "b"), ("one", "other"), strict=True):
        words = line.split()
        assert words[-4:] == ["why", first[side]["event_id"], "--log", named[log]]
        assert warm(*words[-4:], cwd=folder).code == 0


def test_run_that_tells_more_holds_all_of_the_other(runs):
    ended = diff(runs, "fewer", "one", "--json")
    told = ended.json
    assert ended.code == 3
    assert (told["changed"], told["only_a"]) == (0, 0)
    assert {event["event_type"] for event in told["only_b_events"]} == {"ACTION", "STATE"}
    assert told["first"]["a"] is None
    assert "  B  no such event\n" in diff(runs, "one", "fewer").out


def test_every_divergence_is_shown_with_both_sides_and_what_differs(tmp_path):
    for name, n in (("a", 1), ("b", 2)):
        with package.open(tmp_path / name) as log:
            for word in ("one", "two", "three"):
                log.append(word, {"n": n}, actor="ada")
    ended = warm("diff", "a", "b", cwd=tmp_path)
    assert ended.code == 3
    assert "first divergence of 3\n" in ended.out
    others = ended.lines[ended.lines.index("other divergences") + 1 :]
    assert [line[:12].rstrip() for line in others[:6]] == [
        "  A  ada: tw",
        "  B  ada: tw",
        "     payload",
        "  A  ada: th",
        "  B  ada: th",
        "     payload",
    ]
    assert "     payload.n: 1 in A, 2 in B" in others


def test_damaged_and_foreign_lines_are_told_and_passed_over_as_by_every_command(tmp_path, orders):
    path = tmp_path / "orders" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    other = tmp_path / "other"
    other.mkdir()
    foreign = b'{"event_id":"aaaaaa","event_type":"seen","caused_by":["bbbbbb"]}\n'
    circle = b'{"event_id":"bbbbbb","event_type":"seen","caused_by":["aaaaaa"]}\n'
    damaged = lines[0].replace(b"placed", b"plucked")
    (other / "events.jsonl").write_bytes(
        b"".join([*lines, damaged, foreign, circle, lines[1][:50]])
    )
    ended = warm("diff", "orders", "other/events.jsonl", "--json", cwd=tmp_path)
    assert ended.code == 3
    assert "1 damaged line is skipped" in ended.err
    assert "the last line is unfinished" in ended.err
    assert [event["event_id"] for event in ended.json["only_b_events"]] == ["bbbbbb", "aaaaaa"]
    assert warm("diff", "other", "other", "-q", cwd=tmp_path).code == 0


def test_notices_are_not_compared_but_told_on_stderr(tmp_path, orders):
    whole = (tmp_path / "orders" / "events.jsonl").read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (other / "events.jsonl").write_bytes(whole + b'{"event_id":"01')
    for folder in ("orders", "other"):
        assert warm("append", "note", "--log", folder, cwd=tmp_path).code == 0
    ended = warm("diff", "orders", "other", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "A and B say the same: 5 events.\n")
    notices = warm("diff", "orders", "other", "--json", cwd=tmp_path).json["notices_b"]
    assert notices == 1
    assert ended.err == "1 notice of the logs themselves is not compared\n"


def test_log_that_is_not_there_is_told_and_names_are_needed(tmp_path, orders):
    ended = warm("diff", "orders", "nowhere", "--json", cwd=tmp_path)
    assert ended.code == 4
    assert json.loads(ended.out)["error"]["code"] == "not_a_log"
    assert warm("diff", "orders", cwd=tmp_path).code == 2


def test_long_lists_are_cut_and_counted_and_shown_with_v(tmp_path):
    for name, number in (("a", 1), ("b", 2)):
        with package.open(tmp_path / name) as log:
            payload = {f"key{n:02}": number for n in range(20)} | {"\x1b[2J": "x" * 5_000 * number}
            log.append("effect", payload)
    out = warm("diff", "a", "b", cwd=tmp_path).out
    assert "11 more places; -v shows all" in out
    whole = warm("diff", "a", "b", "-v", cwd=tmp_path).out
    assert "key19" in whole
    assert "more" not in whole
    assert "\x1b" not in whole
    assert len(whole) < 5_000


def test_text_lists_the_events_that_differ_three_of_a_kind_and_all_with_v(runs):
    told = diff(runs, "one", "other", "--json").json
    sides = [event["a"] for event in told["changed_events"]]
    sides += [event["b"] for event in told["changed_events"]]
    sides += [*told["only_a_events"], *told["only_b_events"]]
    every = diff(runs, "one", "other", "-v").out
    assert all(event["event_id"][:18] in every for event in sides)
    lines = diff(runs, "one", "other").lines
    begin = lines.index("changed")
    for event in told["changed_events"][:3]:
        for side in ("a", "b"):
            assert any(event[side]["event_id"][:18] in line for line in lines[begin:])
    for kind, count in (("changed", told["changed"]), ("only in A", told["only_a"])):
        begin = lines.index(kind)
        end = lines.index("", begin)
        assert lines[end - 1] == f"  {count - 3:,} more events; -v shows more"
