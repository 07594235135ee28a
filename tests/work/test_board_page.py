"""`BOARD.md` says what the board says, and nothing of what strangers wrote does anything in it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.work.project_events import Clone, planned

from thence.work.board.board import fold
from thence.work.board.state import Board, FeatureState, GateState, PackageState
from thence.work.journal.board_page import page

GOLDEN = """\
# Board

Drawn by `thence work publish`; what is changed here by hand is lost.

## `001-sync` `Sync of logs`: 1 of 4 done

### planned

- `WP04` `Tell it`: after `WP02`, `WP03`

### doing

- `WP02` `Write | read`: `ada`

### for_review

- `WP03` `` Run `make` ``: `ben`, reviewed by `cleo`, gates open: `CI_CHECK`

### done

- `WP01` `Begin`: `ada`

## Completed

- `000-general`: 0 of 0 done
"""


def package(wp_id: str, title: str, **more) -> PackageState:
    return PackageState(wp_id=wp_id, subject=f"p/001-sync/{wp_id}", title=title, **more)


def board(*packages: PackageState, title: str = "Sync of logs", **more) -> Board:
    feature = FeatureState(
        project_uuid="p",
        slug="001-sync",
        title=title,
        packages={each.wp_id: each for each in packages},
    )
    general = FeatureState(project_uuid="p", slug="000-general", is_completed=True)
    return Board("p", {"000-general": general, "001-sync": feature}, **more)


def test_page_shows_features_lanes_and_who_has_what():
    gates = {"g": GateState("g", "CI_CHECK")}
    drawn = page(
        board(
            package("WP01", "Begin", lane="done", agent="ada"),
            package("WP02", "Write | read", lane="doing", agent="ada"),
            package(
                "WP03", "Run `make`", lane="for_review", agent="ben", reviewer="cleo", gates=gates
            ),
            package("WP04", "Tell it", dependencies=("WP02", "WP03")),
        )
    )
    assert drawn.decode() == GOLDEN


def test_empty_board_says_so():
    assert "There is no feature yet." in page(fold([])).decode()


def test_open_conflict_names_who_wrote_and_what_stands():
    ada = planned(count=1)
    bob = Clone("b", ada.events)
    ada.move("WP01", "planned", "doing", actor="ada")
    bob.move("WP01", "planned", "rejected", actor="bob")
    told = page(fold([*ada.events, *bob.events])).decode()
    assert "### Conflicts" in told
    line = "- `WP01`: `ada`, `bob` wrote at once; the rule `last_writer` keeps what `bob` wrote"
    assert line in told.splitlines()


HOSTILE = (
    "a | b",
    "`code` ``more``",
    "```\nfence",
    "<script>alert(1)</script>",
    "<!-- gone",
    "@everyone",
    "[here](https://example.org)",
    "https://example.org www.example.org me@example.org",
    "![x](y.png)",
    "# heading\n\n- list\n1. one",
    "\u202ereversed\u202c \u200b",
    "\x1b[31mred\x07",
    "&lt;b&gt; \\",
    "`",
    " ",
    "",
)


@pytest.mark.promise("L18")
@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_strangers_is_nothing_but_text(text):
    _check(text)


@given(st.text(alphabet=st.sampled_from("`|<>@[]()!#*_-+\\&;:/.\n\r\t a1~$\u2028"), max_size=30))
def test_any_text_is_nothing_but_text(text):
    _check(text)


def _check(text: str) -> None:
    """Draw it wherever it can stand; a renderer finds the lists and headings of ours alone."""
    drawn = _drawn_with(text)
    assert _shape(drawn) == _shape(_drawn_with("x" if text else ""))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", drawn)


def _drawn_with(text: str) -> str:
    packages = (
        package("WP01", text, lane="doing", agent=text or None),
        package("WP02", "Mine", lane=text or "doing", reviewer=text),
        package("WP03", "Mine", dependencies=(text,)),
    )
    return page(board(*packages, title=text)).decode()


def _shape(markdown: str) -> list[str]:
    """Return the kinds of tokens of a page; text outside of code is told as it is."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    inner = [child for token in tokens for child in token.children or ()]
    told = [token.content for token in inner if token.type == "text"]
    return [*(token.type for token in tokens), *(token.type for token in inner), *told]
