"""The pictures of the docs: each view as it is today, in light and dark.

THENCE_PICTURES=docs/pictures writes them there.
"""

import io
import os
import re
from pathlib import Path

import pytest
from PIL import Image
from tests.server.pages.browser import Tab, tab_of
from tests.server.pages.world import SWEEP
from tests.tiers import tenth

SIZE = (1200, 720)
BYTES_MAX, COLOURS_LEAST = 60_000, 6
DOCS = (Path("README.md"), *Path("docs").glob("guides/*/*.md"))
PLACE = Path("docs/pictures")
# what is seen of which server, after which buttons, from which element on
VIEWS = {
    "home": ("world", "/", (), "h1"),
    "run": ("world", "/runs/market-1?var=money", (), "#look"),
    "failure": ("world", "/runs/village", ("Next failure",), "#look"),
    "board": ("world", "/runs/project", (), "h1"),
    "sweep": ("world", f"/runs/{SWEEP}", (), "h1"),
    "agent": ("repository", "/runs/agents?axis=time", (), "#look"),
}


def taken(tab: Tab, path: str, buttons: tuple[str, ...], top: str) -> bytes:
    """Returns the picture of a view, as a PNG of few colours."""
    tab.go(path)
    if tab.page.locator("#look").count():
        tab.wait(lambda: tab.page.get_attribute(".look-lanes canvas", "aria-label"))
    for button in buttons:
        tab.page.get_by_role("button", name=button, exact=True).click()
        tab.wait(lambda: tab.page.locator("aside h1").count())
    tab.run("(top) => document.querySelector(top).scrollIntoView()", top)
    tab.page.wait_for_timeout(300)  # so that what is asked for last is painted
    image = Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB")
    file = io.BytesIO()
    image.quantize(64, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


# two are enough to see that pictures can be made; all are, where they are to be kept
TAKEN = [("home", False), ("run", True)]
ALL = [(name, is_dark) for name in VIEWS for is_dark in (False, True)]


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize(
    ("name", "is_dark"), ALL if "THENCE_PICTURES" in os.environ else tenth(ALL, TAKEN)
)
@pytest.mark.whole
def test_view_makes_the_picture_of_the_docs(browser, request, name, is_dark):
    of, *how = VIEWS[name]
    server = request.getfixturevalue(of)
    with tab_of(browser, server.url, SIZE, is_dark=is_dark) as tab:
        data = taken(tab, *how)
    assert len(data) < BYTES_MAX
    assert len(Image.open(io.BytesIO(data)).convert("RGB").getcolors(256)) > COLOURS_LEAST
    if folder := os.environ.get("THENCE_PICTURES"):
        Path(folder, f"{name}-{'dark' if is_dark else 'light'}.png").write_bytes(data)


def test_docs_show_each_picture_and_no_other() -> None:
    text = "".join(path.read_text() for path in DOCS)
    shown = set(re.findall(r"docs/pictures/([\w-]+\.png)|\.\./pictures/([\w-]+\.png)", text))
    names = {"".join(pair) for pair in shown}
    files = {path.name: path.stat().st_size for path in PLACE.iterdir()}
    assert (
        names
        == files.keys()
        == {f"{name}-{way}.png" for name in VIEWS for way in ("light", "dark")}
    )
    assert max(files.values()) < BYTES_MAX
    pages = [path.name for path in DOCS if "pictures/" in path.read_text()]
    assert "README.md" in pages
    assert len(pages) >= 6
