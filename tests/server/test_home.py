"""The first page: what it lists of any root, by which figures, and that it waits for nothing."""

import json
import re
import threading
import time
from pathlib import Path

import pytest
from tests.server.runs import foreign, make_run
from tests.server.serving import Serving, serving
from tests.server.test_pages import HOSTILE, TURNED, Parsed, page
from tests.tiers import tenth

import thence as library
from thence.server.web.home import LOGS_SHOWN

RUNS = tenth(1_000, 220)


def counted(server: Serving, address: str = "/", s_max: float = 60) -> Parsed:
    """The page once all that it lists is counted."""
    end = time.monotonic() + s_max
    while "Refresh" in server.get(address).headers:
        assert time.monotonic() < end
    return page(server, address)


def make_sweep(root: Path, name: str = "fish", begun: int = 3) -> Path:
    """Writes the folder of a sweep over 2 values and 2 seeds, of which some runs have begun."""
    folder = root / name
    folder.mkdir(parents=True)
    settings = {"engine.growth": [0.2, 0.35]}
    plan = {"scenario": "fish.yaml", "files": {}, "settings": settings, "seeds": [1, 2]}
    (folder / "plan.json").write_text(json.dumps(plan))
    names = [f"set-{number}-seed-{seed}" for number in (1, 2) for seed in (1, 2)]
    for at, run in enumerate(names[:begun]):
        configure(make_run(folder, run, count=3), growth=0.2, seed=at)
        result = {"status": "completed", "final_state": {"global": {"fish": 80 + at, "same": 1}}}
        (folder / run / "result.json").write_text(json.dumps(result))
    return folder


def configure(run: Path, *, seed: object = 1, name: str = "shop", **engine: object) -> None:
    """Writes the config.json of a run."""
    scenario = {"simulation": {"name": name}, "engine": engine, "agents": [{"name": "ada"}]}
    content = {"simulation": {"name": name, "seed": seed}, "scenario": scenario}
    (run / "config.json").write_text(json.dumps(content))


def test_row_has_seed_turns_failures_usage_duration_and_course(tmp_path, server) -> None:
    for seed, name, failed in ((41, "first", 0), (42, "second", 2)):
        run = make_run(tmp_path, name, count=30)
        configure(run, seed=seed, growth=seed / 100, same=5)
        result = {"status": "completed", "decisions": 3, "decisions_failed": failed}
        (run / "result.json").write_text(json.dumps(result))
    with library.open(tmp_path / "calls") as log:
        log.append(
            "llm.call", {"model": "m", "tokens_in": 1_200, "tokens_out": 34, "cost": 0.000125}
        )
        log.append("task.failed", {})
    home = counted(server)
    assert "1 of 2 runs had failures" in home.text
    assert "2 of 3 decisions failed" in home.text
    for text in ("41", "42", "engine.growth=0.41", "engine.growth=0.42", "1,234", "0.000125"):
        assert text in home.text, text
    assert "engine.same" not in home.text
    assert "/runs/calls?failed=1#events" in home.links
    assert "task.failed" in page(server, "/runs/calls?failed=1").text
    charts = home.all("svg")
    assert len(charts) == 3
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert not [bars for bars in home.all("path") if bars["fill"] != "currentColor"]
    assert "Damage" not in home.text


def test_two_ticked_rows_are_compared(tmp_path: Path, server: Serving) -> None:
    hostile = "<b>&run=x"
    make_run(tmp_path, "first", count=9)
    make_run(tmp_path, hostile, count=9)
    home = page(server, "/")
    boxes = [box for box in home.all("input") if box["type"] == "checkbox"]
    assert [box["name"] for box in boxes] == ["run", "run"]
    (form,) = home.all("form")
    assert {box["form"] for box in boxes} == {form["id"]}
    assert (form["action"], form["method"]) == ("/runs", "get")
    answer = server.get("/runs", params={"run": sorted(str(box["value"]) for box in boxes)})
    assert answer.status_code == 303
    assert "Two runs compared" in page(server, answer.headers["location"]).text
    for query in ("run=first", "run=a&run=b&run=c"):
        assert "tick two" in page(server, f"/runs?{query}", 422).text
    page(server, "/runs", 404)


def test_sweep_is_one_row_that_leads_to_its_runs(tmp_path: Path, server: Serving) -> None:
    make_sweep(tmp_path)
    make_run(tmp_path, "alone", count=3)
    home = counted(server)
    assert "3 of 4 runs completed" in home.text
    assert "set-1-seed-1" not in home.text
    sweep = counted(server, "/runs/fish")
    assert "engine.growth" in sweep.text
    assert "global/fish" in sweep.text
    assert sweep.text.index("global/fish") < sweep.text.index("global/same")
    assert sweep.text.count("completed") == 4
    assert sweep.text.count("not begun") == 1
    runs = [link for link in sweep.links if "set-" in link]
    assert runs[0] == "/runs/fish%3Aset-1-seed-1"
    run = page(server, runs[0])
    values = [str(option["value"]) for option in run.all("option")]
    options = [value for value in values if "seed" in value]
    assert options == ["fish:set-1-seed-2", "fish:set-2-seed-1"]
    assert "Two runs compared" in page(server, f"{runs[0]}/diff/fish%3Aset-1-seed-2").text


def test_folder_of_a_sweep_is_a_root_too(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path)
    with serving(folder) as server:
        assert "/runs/fish" in counted(server).links
        assert "/runs/set-1-seed-1" in counted(server, "/runs/fish").links


def test_broken_plan_is_reported_and_breaks_nothing(tmp_path, server) -> None:
    make_run(tmp_path, "run", count=3)
    plan = make_sweep(tmp_path, begun=0) / "plan.json"
    whole = json.loads(plan.read_text())
    endless = whole | {"settings": {str(n): [*range(1_000)] for n in range(30)}}
    for broken, text in (
        ("{", "can't be read"),
        (json.dumps(whole | {"settings": []}), "can't be read"),
        ("[" * 100_000, "can't be read"),
        (json.dumps(endless), "more than 100,000 runs"),
    ):
        plan.write_text(broken)
        home = page(server, "/")
        assert text in home.text, broken[:99]
        assert "/runs/run" in home.links
        assert text in page(server, "/runs/fish").text


@pytest.mark.promise("Q6")
def test_no_name_of_a_sweep_leads_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_sweep(root)
    make_sweep(tmp_path, "outside")
    make_run(root / ".hidden", "run", count=2)
    (root / ".hidden" / "plan.json").write_text("{}")
    (root / "linked").symlink_to(tmp_path / "outside")
    (root / "fish" / "away").symlink_to(tmp_path / "outside" / "set-1-seed-1")
    (root / "turned").mkdir()
    (root / "turned" / "plan.json").symlink_to(tmp_path / "outside" / "plan.json")
    make_run(root / "turned", "set-1-seed-1", count=2)
    names = ["linked", "linked:set-1-seed-1", "fish:away", "turned", "turned:set-1-seed-1"]
    names += ["fish:..", "fish:.", "fish:", ":fish", "..:outside", "root:..", "fish:..%2foutside"]
    names += [".hidden", ".hidden:run", "fish:slots", "fish:set-1-seed-1:", "outside:set-1-seed-1"]
    with serving(root) as server:
        for name in names:
            assert server.get(f"/runs/{name}").status_code == 404, name
        assert server.get("/runs/fish:set-1-seed-1").status_code == 200


def test_damaged_records_and_hostile_names_are_words(tmp_path: Path, server: Serving) -> None:
    contents = ["{", "[]", '{"simulation": 5, "scenario": []}', "[" * 50_000]
    contents.append('{"scenario": {"x": 1e999}}')
    for at, content in enumerate(contents):
        (make_run(tmp_path, f"run-{at}", count=2) / "config.json").write_text(content)
    configure(make_run(tmp_path, "hostile", count=2), name=HOSTILE, seed="<b>", **{HOSTILE: TURNED})
    configure(make_run(tmp_path, "other", count=2), name=HOSTILE, seed=True, **{HOSTILE: HOSTILE})
    configure(make_run(tmp_path, "many", count=2), **{f"k{n}": n for n in range(5_000)})
    configure(make_run(tmp_path, "fewer", count=2), **{f"k{n}": -n for n in range(1, 9)})
    make_sweep(tmp_path, HOSTILE.replace("/", ""))
    home = counted(server)
    assert HOSTILE in home.text
    assert "\\u202e" in home.text
    assert "more differ" in home.text
    for link in home.links:
        assert server.get(link).status_code == 200, link


def test_comparison_offers_logs_alone(tmp_path: Path) -> None:
    make_run(tmp_path, "first", count=2)
    make_run(tmp_path, "second", count=2)
    make_sweep(tmp_path)
    (tmp_path / "memo.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    with serving(tmp_path) as server:
        (choice,) = [c for c in page(server, "/runs/first").all("select") if c["id"] == "run"]
        assert choice
        options = [option["value"] for option in page(server, "/runs/first").all("option")]
        assert "second" in options
        assert not {"memo.json", "empty", "fish", "first"} & set(options)
    with serving(tmp_path / "first") as server:
        assert "run" not in [c["id"] for c in page(server, "/runs/first").all("select")]


def test_page_does_not_load_again_while_a_log_grows(tmp_path: Path, server: Serving) -> None:
    make_run(tmp_path, "run", count=3)
    is_over = threading.Event()

    def grow() -> None:
        with library.open(tmp_path / "calls") as log:
            while not is_over.is_set():
                log.append("call", {})

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        counted(server)
        answers = [server.get("/") for _ in range(20)]
    finally:
        is_over.set()
        writer.join()
    assert not [answer for answer in answers if "Refresh" in answer.headers]
    totals = [re.search(r"([\d,]+) events; the latest", answer.text) for answer in answers]
    assert len({total[1] for total in totals if total}) > 1


def test_unreadable_log_is_counted_and_not_waited_for(tmp_path: Path, server: Serving) -> None:
    make_run(tmp_path, "run", count=3)
    (tmp_path / "hurt" / ".thence").mkdir(parents=True)
    (tmp_path / "hurt" / ".thence" / "log.json").write_text("{")
    assert "Refresh" not in server.get("/").headers
    assert "1 more can't be read" in page(server, "/").text


@pytest.mark.whole
def test_latest_of_a_thousand_runs_are_listed_and_all_on_demand(tmp_path, server) -> None:
    for number in range(RUNS):
        folder = tmp_path / f"run-{number:04}"
        folder.mkdir()
        (folder / "events.jsonl").write_bytes(b"".join(foreign(n) for n in range(3)))
        configure(folder, seed=number, growth=number)
    server.get("/health")
    assert server.get("/").text.count("<tr") == LOGS_SHOWN + 1  # whatever is counted by then
    home = counted(server)
    assert f"{RUNS * 3:,} events" in home.text
    assert f"The {LOGS_SHOWN} latest of {RUNS:,} are shown" in home.text
    assert "/?all=1" in home.links
    assert server.get("/?all=1").text.count("<tr") == RUNS + 1
