"""Every view by axe-core, at two widths, light and dark: nothing to object to."""

import pytest
from tests.server.pages.browser import LANES, SCREENS, tab_of
from tests.server.pages.world import SWEEP
from tests.server.test_home import counted

PATHS = (
    *("/", "/runs/market-1", "/runs/tasks", "/runs/project", f"/runs/{SWEEP}"),
    *("/runs/market-1/diff/market-2", "/runs/none"),
)
OF_A_SESSION = ("/runs/agents", "/runs/agents/files", "/runs/agents/files/src/pay.py")


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize(("size", "is_dark"), SCREENS)
@pytest.mark.whole
def test_no_view_has_a_fault(browser, world, session, size, is_dark) -> None:
    counted(world, f"/runs/{SWEEP}")
    (event,) = world.json("/logs/tasks/events", limit=1)["events"]
    of_world = (*PATHS, f"/runs/tasks/events/{event['event_id']}")
    for server, paths in ((world, of_world), (session, OF_A_SESSION)):
        with tab_of(browser, server.url, size, is_dark=is_dark) as tab:
            for path in paths:
                tab.go(path)
                if tab.page.locator("#look").count():
                    tab.wait(lambda: tab.page.locator(LANES).count())
                assert tab.faults() == [], path
                assert tab.run("document.documentElement.scrollWidth") <= size[0], path
            tab.problems = [one for one in tab.problems if "404" not in one]  # /runs/none
