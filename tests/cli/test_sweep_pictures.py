"""Tables and pictures of a sweep and of a run, read back from the files that the commands write."""

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas
import pytest
from tests.cli.installed import WITH_BAR, is_three_lines, on_terminal
from tests.cli.warm import warm
from tests.sim.sweeps import counting
from tests.sim.toys import Hiring, config, hiring
from tests.tiers import IS_WHOLE

from thence.sim import sweep_table

SVG = "{http://www.w3.org/2000/svg}"
COUNTED, MOOD = "agent/ada/counted", "agent/ada/mood"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of 2 x 3 runs of 3 turns, one run begun and one not, and a run."""
    place = tmp_path_factory.mktemp("place")
    scenario = counting(place, turns=3)
    words = ("--set", "agents.ada.by=1,5", "--seeds", "1,2,9", "--output", "swept")
    assert warm("sim", "sweep", scenario, *words, cwd=place).code == 0
    assert warm("sim", "run", "spatial_trade_network", "--run-id", "trade", cwd=place).code == 0
    return place


def written(place: Path, *words: str) -> Path:
    ended = warm("sim", *words, cwd=place)
    assert (ended.code, ended.err) == (0, "")
    return place / words[words.index("--output") + 1]


@pytest.mark.promise("O11a")
def test_table_of_a_sweep_has_a_row_a_run_with_settings_and_final_values(place):
    frame = pandas.read_parquet(written(place, "table", "swept", "--output", "runs.parquet"))
    columns = ["run_id", "agents.ada.by", "seed", "status", "turns", "error", COUNTED, MOOD]
    assert list(frame.columns) == columns
    assert frame["agents.ada.by"].tolist() == [1, 1, 1, 5, 5, 5]
    assert frame["seed"].tolist() == [1, 2, 9] * 2
    assert frame[COUNTED].tolist() == [3, 6, 27, 15, 30, 135]
    assert set(frame["status"]) == {"completed"}
    assert sweep_table(place / "swept").to_pandas()[COUNTED].tolist() == frame[COUNTED].tolist()


def test_table_of_turns_has_the_values_after_each(place):
    file = written(place, "table", "swept", "--rows", "turns", "--output", "turns.csv")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row[COUNTED]) for row in rows if row["run_id"] == "set-2-seed-9"] == [
        0,
        45,
        90,
        135,
    ]
    assert len(rows) == 6 * 4
    assert {row[MOOD] for row in rows} == {"'=good"}, "no spreadsheet takes it for a formula"
    assert list(rows[0])[:4] == ["run_id", "agents.ada.by", "seed", "turn"]


def test_run_that_lacks_is_in_the_table_of_runs(tmp_path):
    counting(tmp_path, "fails")
    assert warm(
        "sim", "sweep", "counting.yaml", "--seeds", "1-3", "--output", "s", cwd=tmp_path
    ).code
    (tmp_path / "s" / "set-1-seed-3").rename(tmp_path / "away")
    rows = list(sweep_table(tmp_path / "s"))
    assert [row["status"] for row in rows] == ["completed", "failed", "not begun"]
    assert "the pencil broke" in rows[1]["error"]
    turns = [(row["seed"], row["turn"]) for row in sweep_table(tmp_path / "s", "turns")]
    assert turns == [(1, turn) for turn in range(6)] + [(2, turn) for turn in range(3)]


def test_table_of_one_run_has_its_one_row(place):
    (row,) = sweep_table(place / "output" / "trade")
    assert (row["run_id"], row["seed"], row["turns"]) == ("trade", 7, 40)
    frame = pandas.read_csv(written(place, "table", "trade", "--output", "trade.csv"))
    assert frame["place/Mill/stock_grain"].tolist() == [row["place/Mill/stock_grain"]]


def lines_drawn(svg: Path) -> list[list[float]]:
    """Returns the values of each line of an SVG, by the labels of its y axis."""
    root = ET.parse(svg).getroot()
    ticks = []
    for group in root.iter(f"{SVG}g"):
        if group.get("id", "").startswith("ytick"):
            use, text = group.find(f".//{SVG}use"), group.find(f".//{SVG}text")
            assert use is not None
            assert text is not None
            ticks.append((float(use.get("y", "")), float(text.text or "")))
    (y0, low), (y1, high) = ticks[0], ticks[-1]
    lines = []
    for path in root.iterfind(f".//{SVG}g[@id='axes_1']/{SVG}g/{SVG}path"):
        if "fill: none" in path.get("style", "") and "#" in path.get("clip-path", ""):
            words = path.get("d", "").split()
            ys = [float(words[at + 2]) for at, word in enumerate(words) if word in "ML"]
            lines.append([round(low + (y - y0) / (y1 - y0) * (high - low), 3) for y in ys])
    return lines


@pytest.mark.promise("O11a")
@pytest.mark.whole
def test_plot_of_a_sweep_draws_the_median_over_seeds_a_line_a_setting(place):
    svg = written(place, "plot", "swept", "--variable", COUNTED, "--output", "sweep.svg")
    assert lines_drawn(svg) == [[0, 2, 4, 6], [0, 10, 20, 30]]
    text = svg.read_text()
    assert all(label in text for label in ("agents.ada.by=1", "agents.ada.by=5", COUNTED, "turn"))
    if IS_WHOLE:
        again = written(place, "plot", "swept", "--variable", COUNTED, "--output", "again.svg")
        assert again.read_bytes() == svg.read_bytes()


def test_plot_of_a_sweep_shows_on_a_terminal_how_far_it_is(place):
    words = ("sim", "plot", "swept", "--variable", COUNTED, "-o", "drawn.svg")
    code, shown = on_terminal(place, *words, program=WITH_BAR)
    assert (code, bool(re.search(r"runs (\d+) of \1\b", shown))) == (0, True)


@pytest.mark.whole
def test_plot_of_a_run_draws_a_line_a_variable(place):
    pattern = "place/*/price_grain"
    svg = written(place, "plot", "trade", "--variable", pattern, "--output", "run.svg")
    assert len(lines_drawn(svg)) == 7
    assert "place/Saltmere/price_grain" in svg.read_text()
    if IS_WHOLE:
        png = written(place, "plot", "trade", "--variable", pattern, "--output", "run.png")
        assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.promise("O14")
def test_pictures_hold_an_agent_from_the_turn_in_which_it_came(tmp_path):
    given = config(turns=6, spatial={"grid": {"width": 3, "height": 3}})
    engine = Hiring(position="1,1")
    hiring(tmp_path / "output", engine=engine, given=given, run_id="hiring").run()
    svg = written(tmp_path, "plot", "hiring", "--variable", "agent/cid/x", "--output", "x.svg")
    assert lines_drawn(svg) == [[5, 6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["table", "trade", "--output", "a.txt"], ["a.txt", ".parquet or .csv"]),
        (["table", "nowhere", "--output", "a.csv"], ["nowhere"]),
        (
            ["plot", "trade", "--variable", "place/*/x", "--output", "a.png"],
            ["place/*/x", "nearest"],
        ),
        (["plot", "trade", "--variable", MOOD, "--output", "a.gif"], ["a.gif", ".png or .svg"]),
        (["plot", "swept", "--variable", MOOD, "--output", "a.png"], [MOOD, "numbers"]),
        (["plot", "swept", "--variable", COUNTED, "--output", "no/a.svg"], ["use no/a.svg"]),
        (["table", "swept", "--output", "no/a.csv"], ["use no/a.csv", "No such file"]),
        (["table", "swept", "--output", "no/a.parquet"], ["use no/a.parquet", "No such file"]),
    ],
)
@pytest.mark.whole(rows=5)
def test_what_can_not_be_shown_is_told(place, words, texts):
    ended = warm("sim", *words, cwd=place)
    assert ended.code > 0
    assert is_three_lines(ended.err)
    for text in texts:
        assert text in ended.err
    assert not (place / words[-1]).exists()
