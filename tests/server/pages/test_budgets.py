"""What a page costs: bytes and requests of the first load, what is drawn while it is moved."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.pages.browser import Tab
from tests.server.serving import Serving, serving

import thence

EVENTS, ACTORS = 30_000, 300
FRAMES, CALLS_MAX = 60, 5_000
PAGE_BYTES_MAX, REQUESTS_MAX = 45_000, 16

# how often a canvas is told to draw
COUNTED = """
window.drawn = 0;
const drawing = CanvasRenderingContext2D.prototype;
for (const name of ["fillRect", "fillText", "fill", "stroke", "moveTo", "lineTo", "rect", "arc"]) {
  const usual = drawing[name];
  drawing[name] = function (...places) {
    window.drawn += 1;
    return usual.apply(this, places);
  };
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root: Path = tmp_path_factory.mktemp("root")
    with thence.open(root / "tasks") as log:
        for number in range(EVENTS):
            log.emit(f"task.step{number % 7}", {"n": number}, actor=f"worker-{number % ACTORS}")
        log.flush()
        log.rebuild()
    with serving(root) as running:
        yield running


def test_first_load_is_small(tab: Tab, server: Serving) -> None:
    channel = tab.page.context.new_cdp_session(tab.page)
    addresses: dict[str, str] = {}
    sizes: dict[str, int] = {}
    channel.on(
        "Network.requestWillBeSent",
        lambda sent: addresses.update({sent["requestId"]: sent["request"]["url"]}),
    )
    channel.on(
        "Network.loadingFinished",
        lambda done: sizes.update({done["requestId"]: done["encodedDataLength"]}),
    )
    channel.send("Network.enable")
    tab.go("/runs/tasks")
    tab.wait(lambda: tab.page.locator(".look-lanes canvas").count())
    paths = {key: address.removeprefix(server.url) for key, address in addresses.items()}
    first = {key for key, path in paths.items() if path.startswith(("/static/", "/runs/"))}
    assert len(first) <= REQUESTS_MAX
    tab.wait(lambda: first <= sizes.keys())
    assert sum(sizes[key] for key in first) <= PAGE_BYTES_MAX


def test_a_frame_draws_a_bounded_part_while_the_lanes_are_moved(tab: Tab) -> None:
    tab.page.add_init_script(COUNTED)
    tab.go("/runs/tasks")
    tab.wait(lambda: tab.page.locator(".look-lanes canvas").count())
    tab.page.focus(".look-lanes canvas")
    for _ in range(3):
        tab.page.keyboard.press("+")
    before = tab.wait(lambda: tab.run("window.drawn"))
    for number in range(FRAMES):
        tab.page.keyboard.press("ArrowRight" if number % 8 < 4 else "ArrowLeft")
    drawn = (tab.run("window.drawn") - before) / FRAMES
    print(f"{drawn:.0f} calls a frame, {EVENTS} events")
    assert 0 < drawn <= CALLS_MAX
