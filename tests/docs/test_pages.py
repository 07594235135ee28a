"""Every guide and concept is followed from its top, and each block does what the page shows."""

import atexit
import shutil
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from tests.docs.walk import RUN_BY, Said, blocks, masked, refused, walked

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    page for room in ("start", "guides", "concepts") for page in (DOCS / room).rglob("*.md")
)
# pages that others run, as they say at their top
OTHERS = {"make frameworks", "make real-agents"}
# why blocks are left out: each reason of a page is one of these
NOT_RUN = {
    *("a notebook runs it", "a remote of yours", "it needs Slurm", "it needs a PostgreSQL"),
    *("it listens on every address", "it needs a collector", "it needs packages of npm"),
    *("parts of a scenario", "the transcripts are yours", "it changes the system"),
    *("tests/docs/test_query_over_http.py runs it in Chromium",),
}
# the address of the model that a page asks
MODEL = "http://127.0.0.1:8000/v1"


@cache
def followed(page: Path) -> tuple[Path, list[Said]]:
    """Follow a page once for all tests of this process: its folder, and what was said."""
    from tests.docs.model import model

    scratch = Path(tempfile.mkdtemp()).resolve()  # a longer path would be broken into lines
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    text = page.read_text("utf-8")
    with ExitStack() as stack:
        instead = {MODEL: stack.enter_context(model()).base_url} if MODEL in text else {}
        return scratch, walked(text, scratch, instead)


def groups() -> list[object]:
    """Return the pages, each in the group of those tests that look at what it made."""
    return [
        pytest.param(page, id=page.stem, marks=pytest.mark.xdist_group(page.stem))
        for page in PAGES
        if not RUN_BY.search(page.read_text("utf-8"))
    ]


@pytest.mark.parametrize("page", groups())
def test_each_block_of_a_page_does_what_the_page_shows(page: Path) -> None:
    _, said = followed(page)
    for each in said:
        assert masked(each.said) == masked(each.shown), each.command
        is_refused = "thence: could not" in each.shown or "thence: " in each.shown[:9]
        assert each.status == 0 or is_refused, (each.command, each.said)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_block_that_is_not_run_says_why(page: Path) -> None:
    text = page.read_text("utf-8")
    by = RUN_BY.search(text)
    assert by is None or by[1] in OTHERS
    assert text.count("```") == 2 * len(blocks(text)), "each fence begins and ends a line"
    assert {block.reason for block in blocks(text)} <= {None, *NOT_RUN}
    if by is None:
        unsaid = [block.text for block in blocks(text) if refused(block)]
        assert not unsaid, "give it a language and a name, or <!-- not run: reason --> before it"
