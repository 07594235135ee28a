"""A board's slider over its events, and the line of a variable over the turns of a run."""

from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.server.pages.browser import LANES, Tab
from tests.server.pages.test_look_page import asked, opened
from tests.server.test_board_page import write
from tests.work.project_events import Clone, planned

from thence.sim import Event as SimEvent
from thence.sim import EventWriter, VerbosityLevel

LABEL, LANE = 190, 46  # pixels of the names of lanes, and of a lane with a line


@pytest.fixture(scope="module")
def clone() -> Clone:
    clone = planned(count=4)
    clone.move("WP01", "planned", "doing", actor="ada")
    clone.move("WP01", "doing", "for_review", actor="ada")
    return clone


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, clone: Clone) -> Path:
    root: Path = tmp_path_factory.mktemp("root")
    write(root, clone)
    ran = thence("sim", "run", "fishery", "--output-root", root, "--run-id", "fish", cwd=root)
    assert ran.code == 0, ran.err
    with EventWriter(root / "failing", "failing", verbosity=VerbosityLevel.DETAIL) as writer:
        for turn, kind, details in (
            *((turn, "DECISION", {"decision_type": "go"}) for turn in range(9)),
            (2, "SYSTEM", {"error_type": "agent_failed", "status": "failure"}),
        ):
            event = SimEvent(
                event_type=kind,
                simulation_id="failing",
                turn_number=turn,
                agent_id="ada",
                details=details,
            )
            assert writer.emit(event)
    return root


def column(tab: Tab, number: int) -> list[str]:
    """The packages in one column of the board."""
    cards = tab.page.locator(f".board > div:nth-child({number}) li a")
    return [text.partition(" ")[0] for text in cards.all_inner_texts()]


def test_slider_shows_the_board_as_it_was_and_the_address_keeps_it(tab, clone) -> None:
    tab.go("/runs/project")
    slider = tab.page.locator("#board input[type=range]")
    tab.wait(slider.count)
    count = len(clone.events)
    assert (slider.get_attribute("max"), slider.input_value()) == (str(count), str(count))
    assert column(tab, 3) == ["WP01"]
    slider.focus()
    tab.page.keyboard.press("ArrowLeft")
    tab.wait(lambda: column(tab, 2) == ["WP01"])
    assert tab.wait(lambda: asked(tab).get("board")) == clone.events[-2].event_id
    assert f"after {count - 1} of {count} events" in slider.get_attribute("aria-valuetext")
    assert "waits longest" not in tab.page.locator(".verdict").inner_text()
    assert tab.run("document.activeElement.type") == "range"
    tab.page.keyboard.press("Home")
    tab.wait(lambda: asked(tab).get("board") == clone.events[0].event_id)
    tab.wait(lambda: tab.page.locator(".board li").count() == 0)
    tab.page.reload()
    tab.wait(slider.count)
    assert slider.input_value() == "1"


def test_brackets_move_the_board_from_the_lanes_too(tab, clone) -> None:
    opened(tab, "/runs/project")
    tab.page.focus(LANES)
    tab.page.keyboard.press("[")
    tab.page.keyboard.press("[")
    tab.wait(lambda: column(tab, 1)[:1] == ["WP01"])
    tab.wait(lambda: asked(tab).get("board") == clone.events[-3].event_id)
    for _ in range(3):
        tab.page.keyboard.press("]")
    tab.wait(lambda: column(tab, 3) == ["WP01"])
    tab.wait(lambda: "board" not in asked(tab))
    tab.page.keyboard.press("?")
    assert "the board one event back, forward" in tab.page.locator(".look").inner_text()


def heading(tab: Tab) -> list[str]:
    return tab.page.locator(".look aside h1").all_inner_texts()


def click_step(tab: Tab, turn: int, below: int = LANE - 10, run: str = "fish") -> None:
    """Clicks the first lane where a turn begins: by its line, else so many pixels below its top."""
    look = tab.run("(run) => fetch(`/logs/${run}/look`).then((answer) => answer.json())", run)
    box = tab.page.locator(LANES).bounding_box()
    x = LABEL + turn / look["ends"]["turn"][1] * (box["width"] - LABEL)
    tab.page.mouse.click(box["x"] + x + 2, box["y"] + below)


@pytest.mark.parametrize(
    ("line", "find", "fall"), [("fish", "", "global/fish"), ("money", "ada", "agent/ada/money")]
)
def test_click_on_a_line_that_falls_shows_why(tab: Tab, line: str, find: str, fall: str) -> None:
    """The line of a global variable lies above the lanes, that of an agent's in its lane."""
    opened(tab, f"/runs/fish?axis=turn&find={find}")
    tab.page.select_option("select[aria-label=Line]", line)
    tab.wait(lambda: asked(tab).get("var") == line)

    def is_chosen() -> bool:
        click_step(tab, 5)
        return any(text.startswith(f"In turn 5 {fall} went from ") for text in heading(tab))

    tab.wait(is_chosen)


def test_click_in_a_turn_shows_what_the_lane_did_in_it_a_failure_first(tab: Tab) -> None:
    for run, lane, turn, begin in (
        ("fish", "ada", 3, "In turn 3 ada decided"),
        ("fish", "global", 4, "In turn 4 global/fish went "),
        ("failing", "ada", 2, "In turn 2 the system noted agent failed"),
    ):
        opened(tab, f"/runs/{run}?axis=turn&find={lane}")
        tab.wait(lambda: "1 lane," in tab.lanes)
        click_step(tab, turn, 10, run)
        assert tab.wait(lambda: heading(tab))[0].startswith(begin)
