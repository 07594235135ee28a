"""A coding agent's session in a real browser: bars, lanes, the pages of its files."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.server.pages.browser import SCREENS, Tab, tab_of
from tests.server.pages.test_axe import AXE, FAULTS
from tests.server.pages.test_look_page import painted
from tests.server.serving import Serving, serving
from tests.server.test_session_page import ASK, play
from tests.trace.agents.played import PlayedRepository, Session

CANVAS = ".look-lanes canvas"
# what a canvas is told to write, and how many marks are drawn by lines
NOTED = """
window.written = new Set();
window.diamonds = 0;
const { fillText, fill } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
  window.written.add(text);
  return fillText.call(this, text, ...place);
};
CanvasRenderingContext2D.prototype.fill = function (...path) {
  window.diamonds += 1;
  return fill.apply(this, path);
};
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    played = play(tmp_path_factory.mktemp("root") / "shop")
    with serving(played.top) as running:
        yield running


@pytest.fixture
def tab(browser: Browser, server: Serving) -> Iterator[Tab]:
    with tab_of(browser, server.url) as opened:
        opened.page.add_init_script(NOTED)
        opened.go("/runs/agents")
        opened.wait(lambda: painted(opened, CANVAS) > 1_000)
        yield opened


def written(tab: Tab) -> list[str]:
    return tab.run("[...window.written]")


def test_prompts_are_bars_with_their_words_and_commits_are_diamonds(tab, server):
    tab.wait(lambda: [text for text in written(tab) if ASK[:10] in text])
    told = server.json("/logs/agents/bars")["words"].values()
    assert 'the user asked: "Is all well?"' in told
    assert tab.run("window.diamonds") > 0
    assert tab.page.locator("script").count() == 1


def test_session_of_a_lane_is_short_enough_to_read(browser: Browser, tmp_path) -> None:
    played = PlayedRepository(tmp_path / "shop", {"a.py": "a\n"})
    name = "5f0c1c3e-7d53-4b51-9f0a-3d2b8a4f6e10"
    agent = Session(played, name, ask="Do it")
    agent.subagent("implementer", "Do it").write("a.py", "b\n")
    played.log.close()
    with serving(played.top) as server, tab_of(browser, server.url) as tab:
        tab.page.add_init_script(NOTED)
        tab.go("/runs/agents")
        tab.wait(lambda: "5f0c1c3e claude-code" in written(tab))
        assert [text for text in written(tab) if text.startswith("5f0c1c3e implementer/a")]


@pytest.mark.parametrize(("size", "is_dark"), SCREENS)
@pytest.mark.whole
def test_pages_of_a_session_fit_and_have_no_fault(browser, server, size, is_dark) -> None:
    with tab_of(browser, server.url, size, is_dark=is_dark) as tab:
        for path in ("/runs/agents", "/runs/agents/files", "/runs/agents/files/src/pay.py"):
            tab.go(path)
            if tab.page.locator("#look").count():
                tab.wait(lambda: painted(tab, CANVAS) > 1_000)
            assert tab.run("document.documentElement.scrollWidth") <= size[0]
            tab.run(AXE)
            assert tab.run(FAULTS) == [], path
