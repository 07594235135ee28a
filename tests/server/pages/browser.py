"""Pages as a person sees them: Chromium without a window, which reports what goes wrong in it."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.system_packages import provided
from tests.tiers import tenth

ENDS_S = 30.0
LOOK_EVERY_S = 0.02
WIDE, NARROW = (1280, 800), (390, 844)
# two of the four screens, by their size and whether they are dark, have each size and each light
LIGHT_AND_WIDE = pytest.param(WIDE, False, id="wide-light")
DARK_AND_NARROW = pytest.param(NARROW, True, id="narrow-dark")
OTHERS = [pytest.param(NARROW, False, id="narrow-light"), pytest.param(WIDE, True, id="wide-dark")]
SCREENS = [LIGHT_AND_WIDE, DARK_AND_NARROW, *tenth(OTHERS, [])]
_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
MISSING = (
    "there is no Chromium to run the pages and the examples in JavaScript in.\n"
    "Install it: apt-get install chromium (Debian), dnf install chromium (Fedora), "
    "brew install --cask chromium (macOS).\n"
    "To leave the examples out: make test ARGS=\"-k 'not javascript'\""
)
_OPTIONS = (
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-features=LocalNetworkAccessChecks",
)

# what is painted: how often, and of the lanes rectangles by colour, texts with places, shapes
NOTED = """
Object.assign(window, { drawn: 0, shapes: 0, painted: [], written: {} });
for (const name of ["clearRect", "fillRect", "fillText", "fill", "stroke", "moveTo", "lineTo",
                    "rect", "arc"]) {
  const usual = CanvasRenderingContext2D.prototype[name];
  CanvasRenderingContext2D.prototype[name] = function (...what) {
    window.drawn += 1;
    if (this.canvas.closest?.(".look-lanes")) {
      if (name === "clearRect") window.painted = [];
      if (name === "fillRect") window.painted.push([this.fillStyle, ...what]);
      if (name === "fillText") window.written[what[0]] = what.slice(1);
      window.shapes += name === "fill";
    }
    return usual.apply(this, what);
  };
}
"""
LANES = ".look-lanes canvas"
_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
_FAULTS = """async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Runs a browser; while it does, this thread has a running event loop."""
    path = provided("chromium", _path, MISSING)
    with sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=path, chromium_sandbox=os.geteuid() != 0, args=[*_OPTIONS]
        )
        try:
            yield browser
        finally:
            browser.close()


def _path() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Tab:
    """A page of a browser at one server."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._heard)
        page.on("request", self._asked)

    def go(self, path: str) -> None:
        """Opens a path of the server."""
        self.page.goto(self.origin + path)

    def wait(self, is_so: Callable[[], Any]) -> Any:
        """Returns what a question comes to, once that is true.

        The browser's own `wait_for_function` needs eval, which the policy forbids.
        """
        end_s = time.monotonic() + ENDS_S
        while not (answer := is_so()):
            assert time.monotonic() < end_s, f"not so in {self.page.url}: {self.problems}"
            time.sleep(LOOK_EVERY_S)
        return answer

    def run(self, script: str, argument: object = None) -> Any:
        """Returns what a script comes to in the page."""
        return self.page.evaluate(script, argument)

    @property
    def lanes(self) -> str:
        """What is said of the lanes that are seen."""
        return self.page.get_attribute(LANES, "aria-label") or ""

    def faults(self) -> list[str]:
        """Returns what axe-core objects to in the page."""
        self.run(_AXE)
        found: list[str] = self.run(_FAULTS)
        return found

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _asked(self, request: Any) -> None:
        address = urlsplit(request.url)
        is_sent = address.scheme in ("http", "https", "ws", "wss")
        if is_sent and f"{address.scheme}://{address.netloc}" != self.origin:
            self.problems.append(f"a request left the origin: {request.url}")


@contextmanager
def tab_of(
    browser: Browser,
    origin: str,
    size: tuple[int, int] = WIDE,
    *,
    is_dark: bool = False,
    has_script: bool = True,
) -> Iterator[Tab]:
    """Opens a tab in a profile of its own; nothing may have gone wrong in it at its end."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if is_dark else "light",
        java_script_enabled=has_script,
        has_touch=size == NARROW,
    )
    try:
        tab = Tab(context.new_page(), origin)
        yield tab
        assert tab.problems == []
    finally:
        context.close()
