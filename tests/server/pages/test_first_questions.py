"""Twelve questions that people have, answered by following the pages alone, in three clicks."""

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from tests.server.pages.browser import LANES, tab_of
from tests.server.pages.test_questions import CLICKS_MAX, Visitor
from tests.server.pages.world import SWEEP
from tests.server.serving import Serving
from tests.tiers import some

LINE_CAME = """performance.getEntriesByType("resource").some(({ name, responseEnd }) =>
  name.includes("/series?variable=money") && responseEnd)"""


def agent_failed_first(visitor: Visitor, server: Serving) -> None:
    visitor.open("village")
    visitor.press("Next failure")
    visitor.sees("ann", "the answer could not be used", within="aside h1")


def task_failed_first(visitor: Visitor, server: Serving) -> None:
    visitor.open("tasks")
    visitor.press("Next failure")
    visitor.sees("task failed", within="aside h1")


def money_fell(visitor: Visitor, server: Serving) -> None:
    points = server.json("/logs/market-1/series", variable="money")
    lanes = [row[0] for row in server.json("/logs/market-1/lanes", axis="turn")["lanes"]]
    (ada,) = (int(lane) for lane, name in points["names"].items() if name == "agent/ada")
    values = points["lanes"][str(ada)]
    triples = [*zip(values[::3], values[1::3], values[2::3], strict=True)]
    turn = next(turn for (_, before, _), (turn, now, _) in pairwise(triples) if now < before)
    visitor.open("market-1")
    canvas = visitor.tab.page.locator(LANES)
    label = 190
    wide = visitor.tab.wait(lambda: canvas.bounding_box())["width"]
    first, end = server.json("/logs/market-1/look")["ends"]["turn"]
    visitor.tab.wait(lambda: canvas.get_attribute("aria-label"))
    visitor.clicks += 1
    visitor.tab.page.get_by_label("Line").select_option("money")
    visitor.tab.wait(lambda: visitor.tab.run(LINE_CAME))
    visitor.tab.run("new Promise((drawn) => setTimeout(() => requestAnimationFrame(drawn)))")
    visitor.click_at(
        label + (turn - first) / (end - first) * (wide - label), (lanes.index(ada) + 0.75) * 46
    )
    visitor.sees("ada", "money", within="aside h1")
    visitor.sees("Why", within="aside")


def agent_saw(visitor: Visitor, server: Serving) -> None:
    visitor.open("village")
    row = visitor.tab.page.get_by_role("row").filter(has_text="DECISION").first
    visitor.click(row.get_by_role("link"))
    visitor.sees("Model, system", "You may give money.", "Model, user", "Model, answer")


def model_answered(visitor: Visitor, server: Serving) -> None:
    visitor.open("village")
    visitor.press("Next failure")
    visitor.sees("Model, answer", "reasoning", within="aside")


def waits_longest(visitor: Visitor, server: Serving) -> None:
    visitor.open("project")
    visitor.sees("waits longest for review: WP01", within=".verdict")


def runs_part(visitor: Visitor, server: Serving) -> None:
    for run in ("market-1", "market-2"):
        row = visitor.tab.page.get_by_role("row").filter(has_text=run)
        visitor.click(row.get_by_role("checkbox").first)
    visitor.press("Compare")
    visitor.sees("part", "root", within=".verdict")


def prompt_led_to_line(visitor: Visitor, server: Serving) -> None:
    visitor.follow("Files, with the owner of each line")
    visitor.follow("src/pay.py")
    visitor.sees("implementer", "Make pay() safe to try again")


def was_in_flight(visitor: Visitor, server: Serving) -> None:
    visitor.open("agents")
    visitor.sees("in flight when it ended: ", within=".verdict")


def run_cost(visitor: Visitor, server: Serving) -> None:
    row = visitor.tab.page.get_by_role("row").filter(has_text="village")
    assert re.search(r"0\.000\d+", row.first.inner_text())


def stock_collapses(visitor: Visitor, server: Serving) -> None:
    visitor.open(SWEEP)
    visitor.sees("0.1", "0.35", within="main")
    assert visitor.tab.page.locator("main svg").count()


def lasted_longest(visitor: Visitor, server: Serving) -> None:
    visitor.open("tasks")
    visitor.sees("the longest: ", within=".verdict")


# with the clicks of each, from home
QUESTIONS: dict[str, tuple[int, Callable[[Visitor, Serving], None]]] = {
    "Which agent failed first?": (2, agent_failed_first),
    "Which task of a plain log failed first?": (2, task_failed_first),
    "Why did ada's money fall?": (3, money_fell),
    "What did an agent see when it decided?": (2, agent_saw),
    "What did the model answer that could not be used?": (2, model_answered),
    "Which package waits longest for review?": (1, waits_longest),
    "Where do two runs part?": (3, runs_part),
    "Which prompt led to this line?": (2, prompt_led_to_line),
    "What was in flight when the agent was killed?": (1, was_in_flight),
    "What did the run cost?": (0, run_cost),
    "With which setting does the stock collapse?": (1, stock_collapses),
    "What lasted longest?": (1, lasted_longest),
}
_IN_REPOSITORY = (prompt_led_to_line, was_in_flight)


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("question", some(QUESTIONS, 3, "questions"))
@pytest.mark.whole
def test_question_takes_its_clicks(browser, world, request, question):
    clicks, answer = QUESTIONS[question]
    is_in_repository = answer in _IN_REPOSITORY
    server = request.getfixturevalue("repository") if is_in_repository else world
    with tab_of(browser, server.url) as tab:
        visitor = Visitor(tab)
        answer(visitor, server)
        assert visitor.clicks == clicks <= CLICKS_MAX
