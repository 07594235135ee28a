"""Every guide and concept is followed from its top, and each block does what the page shows."""

import tempfile
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
# the address of the model that pages ask, and the page with a section that starts one there
MODEL = "127.0.0.1:8000"
PEOPLE = DOCS / "guides" / "simulations" / "people-from-a-table.md"


def followed(page: Path) -> list[Said]:
    """Follow a page in a folder of its own, and return what was said."""
    text, before = page.read_text("utf-8"), ""
    if MODEL in text and page != PEOPLE:
        before = PEOPLE.read_text("utf-8").split("\n## ")[1]
        assert before.startswith("A small model\n")
    with tempfile.TemporaryDirectory() as scratch:  # a longer path would be broken into lines
        return walked(text, Path(scratch).resolve(), before)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if not RUN_BY.search(page.read_text("utf-8"))],
    ids=lambda page: page.stem,
)
def test_each_block_of_a_page_does_what_the_page_shows(page: Path) -> None:
    for each in followed(page):
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
