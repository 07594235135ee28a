"""Every view by axe-core, at two widths, light and dark: nothing to object to."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from tests.server.pages.browser import SCREENS, tab_of
from tests.server.runs import make_orders, make_run
from tests.server.serving import Serving, serving
from tests.server.test_board_page import write
from tests.server.test_home import counted, make_sweep
from tests.work.project_events import planned

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
FAULTS = """async () => {
  const { violations } = await axe.run();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
}"""


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, list[str]]]:
    root: Path = tmp_path_factory.mktemp("root")
    make_run(root, "first")
    make_run(root, "second", count=9)
    orders = make_orders(root)
    clone = planned(count=4)
    clone.move("WP01", "planned", "doing", actor="ada")
    clone.move("WP02", "planned", "for_review", actor="ben")
    write(root, clone)
    make_sweep(root)
    world = {"places": [{"name": "a"}, {"name": "b"}], "roads": [{"between": ["a", "b"]}]}
    (root / "second" / "config.json").write_text(json.dumps({"scenario": {"spatial": world}}))
    end = {"final_state": {"agent/ada": {"location": "a"}}}
    (root / "second" / "result.json").write_text(json.dumps(end))
    paths = ["/", "/runs/first", "/runs/orders", "/runs/project", "/runs/first/diff/second"]
    paths += ["/runs/second", "/runs/fish"]
    with serving(root) as server:
        counted(server, "/runs/fish")
        yield server, [*paths, f"/runs/orders/events/{orders[0]}", "/runs/none"]


@pytest.mark.parametrize(("size", "is_dark"), SCREENS)
@pytest.mark.whole
def test_no_view_has_a_fault(browser, views, size, is_dark) -> None:
    server, paths = views
    with tab_of(browser, server.url, size, is_dark=is_dark) as tab:
        for path in paths:
            tab.go(path)
            if tab.page.locator("#look").count():
                tab.wait(lambda: tab.page.locator(".look-lanes canvas").count())
            tab.run(AXE)
            assert tab.run(FAULTS) == [], path
            wide = tab.run("document.documentElement.scrollWidth")
            assert wide <= size[0], path
        tab.problems = [one for one in tab.problems if "404" not in one]  # /runs/none
