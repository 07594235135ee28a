"""Charts without script: a sweep's numbers, a comparison's strips, the map of a run's world."""

import html
import json
import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlencode

import numpy
import pytest
from tests.cli.installed import thence
from tests.server.runs import make_orders, make_run
from tests.server.serving import Serving, serving
from tests.server.test_home import counted, make_sweep
from tests.server.test_pages import HOSTILE, page
from tests.sim.models.players import EXAMPLES
from tests.tiers import tenth

import thence as library
from thence.log.open import open_log
from thence.sim import EventWriter, VerbosityLevel, create_state_event, open_run

ENDS = {1: (3, 8, 5), 2: (21, -4, 0.5)}


def swept(root: Path, finals: dict[int, tuple[object, ...]]) -> Path:
    """Writes a sweep of two settings, with the global variable `fish` at each run's end."""
    folder = make_sweep(root, begun=0)
    plan = json.loads((folder / "plan.json").read_text()) | {"seeds": [1, 2, 3]}
    (folder / "plan.json").write_text(json.dumps(plan))
    for number, ends in finals.items():
        for seed, end in enumerate(ends, 1):
            run = make_run(folder, f"set-{number}-seed-{seed}", count=3)
            state = {"global": {"fish": end, "same": 1, "name": f"n{seed}"}}
            result = {"status": "completed", "final_state": state}
            (run / "result.json").write_text(json.dumps(result))
    return folder


def spreads(text: str) -> dict[str, str]:
    """What the chart of each setting is in words."""
    rows = re.findall(r'<th scope="row"[^>]*><bdi>([^<]+)</bdi></th>.*?aria-label="([^"]+)"', text)
    return dict(rows)


def test_sweep_has_the_median_and_10_to_90_percent_of_each_setting(tmp_path, server) -> None:
    swept(tmp_path, ENDS)
    shown = counted(server, "/runs/fish?var=global%2Ffish")
    assert "global/fish at the end of 6 runs, from -4 to 21" in shown.text
    charts = spreads(server.get("/runs/fish?var=global%2Ffish").text)
    for setting, ends in zip((0.2, 0.35), ENDS.values(), strict=True):
        low, middle, high = numpy.quantile(ends, (0.1, 0.5, 0.9))
        words = f"median {middle:.6g}, 10 to 90 % {low:.6g} to {high:.6g}"
        assert charts[f"engine.growth {setting}"] == words
    bar = shown.all("path")[1]["d"]  # of the first setting, on an axis 200 wide
    low, high = ((end + 4) / 25 * 200 for end in numpy.quantile(ENDS[1], (0.1, 0.9)))
    assert bar == f"M{low:.2f} 10H{high:.2f}"
    medians = {"/runs/fish%3Aset-1-seed-3", "/runs/fish%3Aset-2-seed-3"}
    assert medians <= set(shown.links)
    assert shown.links.count("/runs/fish%3Aset-1-seed-3") == 2


def test_sweep_chooses_what_differs_and_leaves_out_what_is_no_number(tmp_path, server) -> None:
    swept(tmp_path, {1: (3, "many", None), 2: (True, float(7), {"a": 1})})
    shown = counted(server, "/runs/fish?var=global%2Fname")
    assert "global/fish at the end of 2 runs, from 3 to 7; 4 runs without" in shown.text
    options = [option["value"] for option in shown.all("option")]
    assert options == ["global/fish", "global/fish/a", "global/same"]
    same = counted(server, "/runs/fish?var=global%2Fsame")
    assert "global/same at the end of 6 runs, from 1 to 1" in same.text


def test_sweep_without_a_number_has_no_chart(tmp_path: Path, server: Serving) -> None:
    make_sweep(tmp_path, begun=0)
    assert counted(server, "/runs/fish").all("svg") == []


def played(root: Path, scenario: str | Path, *options: object, run_id: str = "run") -> Path:
    places = ("--output-root", root, "--run-id", run_id)
    ran = thence("sim", "run", scenario, *places, *options, cwd=root)
    assert ran.code == 0, ran.err
    return root / run_id


def columns(way: str) -> list[tuple[float, float]]:
    """Left edge and height of each bar."""
    return [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) 20v-([\d.]+)h", way)]


def test_comparison_has_two_strips_of_one_scale_that_part_at_one_place(tmp_path, server) -> None:
    for name, turns in (("a", 10), ("b", 20)):
        played(tmp_path, "fishery", "--set", f"simulation.max_turns={turns}", run_id=name)
    shown = page(server, "/runs/a/diff/b")
    first = shown.all("svg")[0]
    diff = server.get("/simulations/a/diff/b").json()
    assert first["aria-label"].startswith("A: ")
    ways = [one["d"] for one in shown.all("path")][:6]
    (a, in_a, line_a), (b, in_b, line_b) = ways[:3], ways[3:]
    assert line_a == line_b
    with library.open(tmp_path / "b") as log:
        last = max(event.turn_number for event in log.query(limit=100_000).events)
    wide = 200 / (last + 1)
    assert [round(x / wide) for x, _ in columns(b)] == [*range(last + 1)]
    assert max(x for x, _ in columns(a)) < max(x for x, _ in columns(b))
    assert max(height for _, height in columns(a) + columns(b)) == 20
    parting = float(line_a.split()[0].removeprefix("M"))
    assert min(x for x, _ in columns(in_a) + columns(in_b)) == parting
    turn = (diff["first"]["a"] or diff["first"]["b"])["turn_number"]
    assert parting == round(turn * wide, 2)
    assert f"the line at turn {turn} is where they part" in shown.text
    assert page(server, "/runs/a/diff/a").all("svg") == []


def test_comparison_has_a_line_of_each_run_for_a_variable_that_differs(tmp_path, server) -> None:
    for name, changed in (("a", 5), ("b", 7)):
        with EventWriter(tmp_path / name, name, verbosity=VerbosityLevel.DETAIL) as writer:
            for turn, value in ((0, 1), (2, 3), (4, changed)):
                before, scope = {0: 0, 2: 1, 4: 3}[turn], "agent/ada"
                writer.emit(create_state_event(name, turn, "coins", before, value, scope))
                writer.emit(create_state_event(name, turn, HOSTILE, 0, value, scope))
    shown = page(server, "/runs/a/diff/b")
    lines = [one["d"] for one in shown.all("path") if "V" in (one["d"] or "")][-2:]
    assert lines[0] != lines[1]
    # 0 at the turn 0, then 1, 3 and 5 or 7, each until the next: 16 of 20 are the values' room
    assert lines[1] == "M0.00 18.00H0.00V15.71H80.00V11.14H160.00V2.00H200"
    assert "A ends at 5, B ends at 7; 0 to 7 in turns 0 to 4, they part in turn 4" in shown.text
    assert [one["value"] for one in shown.all("option")] == [
        "agent/ada/coins",
        f"agent/ada/{HOSTILE}",
    ]
    other = page(server, f"/runs/a/diff/b?{urlencode({'var': f'agent/ada/{HOSTILE}'})}")
    assert [one["value"] for one in other.all("option") if "selected" in one] == [
        f"agent/ada/{HOSTILE}"
    ]
    assert "part in turn" not in page(server, "/runs/a/diff/a").text


def test_strips_of_long_logs_without_turns_are_by_order_in_120_buckets(tmp_path, server) -> None:
    for name in ("a", "b"):
        with library.open(tmp_path / name) as log:
            for number in range(250):
                log.emit("note", {"n": -1 if name == "b" and number == 200 else number})
            log.flush()
    shown = page(server, "/runs/a/diff/b")
    every, differing, line = (one["d"] for one in shown.all("path")[:3])
    assert len(columns(every)) == 84
    assert "the line at event 201 is where they part" in shown.text
    wide = 200 / 84
    assert [x for x, _ in columns(differing)] == [round(200 // 3 * wide, 2)]
    assert line == f"M{200 // 3 * wide:.2f} 0V20"


def whereabouts(server: Serving, address: str) -> tuple[str, dict[str, set[str]]]:
    """What the map says, and who is where by it."""
    text = page(server, address) and server.get(address).text
    part = text.partition('<section id="map">')[2].partition("</section>")[0]
    assert part, "there is a map"
    pairs = re.findall(r"<title>(.*?): (.*?)</title>", part)
    names = {place: set(agents.split(", ")) for place, agents in pairs if agents != "no one"}
    return html.unescape(re.findall('<p class="quiet">(.*?)</p>', part)[0]), names


SEGREGATION = EXAMPLES / "segregation.yaml"
GRID, PLACES = (SEGREGATION, "position"), ("spatial_trade_network", "location")
PLAYED = [(*GRID, True), (*PLACES, False), *tenth([(*GRID, False), (*PLACES, True)], [])]


@pytest.mark.parametrize(("scenario", "variable", "has_result"), PLAYED)
@pytest.mark.whole
def test_map_of_each_turn_is_what_the_record_says(tmp_path, scenario, variable, has_result) -> None:
    run = played(tmp_path, scenario)
    with open_run(run) as recorded:
        rows = list(recorded.variables(scope="agent/*", name=variable))
        moved = {column for column in rows[0] if len({row[column] for row in rows}) > 1}
    if not has_result:
        (run / "result.json").unlink()
    with serving(tmp_path) as server:
        places = set(whereabouts(server, "/runs/run")[1])
        for row in (rows[0], rows[3], rows[-1]):
            expected: defaultdict[str, set[str]] = defaultdict(set)
            for column, place in row.items():
                if column != "turn" and place != "road" and (has_result or column in moved):
                    expected[place].add(column.split("/")[1])
            text, names = whereabouts(server, f"/runs/run?turn={row['turn']}")
            assert names == expected
            assert text.startswith(f"After turn {row['turn']}: ")
            assert ("has not moved yet" in text) is not has_result
        last = rows[-1]["turn"]
        assert whereabouts(server, "/runs/run")[0].startswith(f"After turn {last}: ")
        assert places
        links = page(server, f"/runs/run?turn={last - 1}").links
        assert f"/runs/run?turn={last}#map" in links
        assert f"/runs/run?turn={last - 2}#map" in links


@pytest.mark.parametrize("options", [("--verbosity", "action"), ()])
def test_map_without_the_changes_or_of_agents_that_come_and_go_is_that_of_the_end_alone(
    tmp_path: Path, server: Serving, options: tuple[str, ...]
) -> None:
    run = played(tmp_path, SEGREGATION, *options)
    if not options:
        with open_log(run) as log:
            log.append("SYSTEM", {"error_type": "agent_added"})
    assert whereabouts(server, "/runs/run?turn=1")[0].startswith("After turn 15: 80 agents")
    assert not [link for link in page(server, "/runs/run").links if link.endswith("#map")]


def test_map_is_left_out_where_there_is_none_and_its_names_are_text(tmp_path, server) -> None:
    make_orders(tmp_path)
    for number, spatial in enumerate(
        (
            None,
            {},
            {"grid": {"width": 101, "height": 100}},
            {"grid": {"width": "9"}},
            {"places": [{"name": "a"}], "network": {"nodes": "agents", "edges": [["a", "b"]]}},
            {"places": [{"name": "a"}]},
        )
    ):
        config = {"scenario": {"spatial": spatial}}
        (make_run(tmp_path, f"run-{number}") / "config.json").write_text(json.dumps(config))
    run = make_run(tmp_path, "hostile")
    spatial = {"places": [{"name": "a"}, {"name": "b"}], "roads": [{"between": ["a", "b"]}]}
    agents = [{"name": HOSTILE, "count": 2}]
    config = {"scenario": {"spatial": spatial, "agents": agents}}
    (run / "config.json").write_text(json.dumps(config))
    state = {f"agent/{HOSTILE}": {"location": "a"}, "agent/b": {"location": HOSTILE}, "x": 5}
    (run / "result.json").write_text(json.dumps({"final_state": state}))
    for name in ("orders", *(f"run-{number}" for number in range(6))):
        assert 'id="map"' not in server.get(f"/runs/{name}").text, name
    text, names = whereabouts(server, "/runs/hostile")
    assert text == "After turn 8: 1 agent at 1 of 2 places, 1 elsewhere"
    assert "<script>alert" not in str(names)
    assert "&lt;script&gt;alert(1)" in str(names["a"])
