"""Markdown of models and colours of code: safe whatever a text holds, and no character is lost."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.test_pages import HOSTILE, TURNED, Parsed

from thence.core.markup import visible
from thence.server.web.parts import COLOURED_CHARACTERS_MAX, coloured, markdown

_SIGNS = st.sampled_from([*"#*_`~[]()!<>&|-+1. \n\t\"'\\", "```", "http://x", "\u202e", "&lt;"])
CODE = 'def pay(total):\n\treturn total * 1.19  # "VAT"\n\n\n"""a\nb"""\n'


def parsed(html: str) -> Parsed:
    """A piece of a page, which must be well formed."""
    return Parsed(f"<!doctype html>{html}")


@given(st.lists(_SIGNS | st.text(max_size=4), max_size=40).map("".join))
def test_markdown_of_any_text_is_well_formed_and_has_no_link_image_or_heading(text: str) -> None:
    found = parsed(markdown(text, 500))
    tags = {tag for tag, _ in found.elements}
    allowed = {"div", "p", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "br"}
    assert tags <= allowed | {"hr", "h4"}
    names = {name for _, attributes in found.elements for name in attributes}
    assert names <= {"class", "start", "tabindex"}


@pytest.mark.parametrize(
    "text", [HOSTILE, TURNED, "[a](javascript:alert(1))", "![a](http://x/y.png)", "<http://x>"]
)
def test_hostile_markdown_stays_text(text: str) -> None:
    found = parsed(markdown(text, 500))
    assert found.text.strip() == visible(text).strip()


def test_markdown_is_what_it_means() -> None:
    found = parsed(markdown("# Plan\n\n1. *first*\n2. `second`\n\n```py\nx = 1\n```", 500))
    tags = [tag for tag, _ in found.elements]
    assert tags == ["div", "h4", "ol", "li", "em", "li", "code", "pre", "code"]
    assert "… (600 characters)" in markdown("x" * 600, 500)
    for json in ('{"a": "*b* \\" c"}', " [1, 2]"):
        assert parsed(markdown(json, 500)).all("pre") == [{"tabindex": "0"}]
        assert parsed(markdown(json, 500)).text == json


@pytest.mark.parametrize("name", ["a.py", "b.js", "c.json", "d.yaml", "e.sh", "f.rs", "g", "h.css"])
@given(st.lists(st.sampled_from(CODE.split("\n")) | st.text(max_size=20), max_size=12))
def test_coloured_lines_hold_the_text_of_each_line(name: str, lines: list[str]) -> None:
    lines = [line.replace("\n", "") for line in lines]
    shown = [unescape(re.sub(r"<[^>]*>", "", line)) for line in coloured(name, lines)]
    assert shown == [visible(line) for line in lines]


def test_colours_are_classes_of_what_the_language_says() -> None:
    first, second, *_ = coloured("src/pay.py", CODE.split("\n"))
    assert '<span class="keyword">def</span>' in first
    assert '<span class="digits">1.19</span>' in second
    assert '<span class="comment"># &quot;VAT&quot;</span>' in second
    assert coloured("pay.unknown", ["def"]) == coloured("x", ["def"]) == ["<bdi>def</bdi>"]


def test_large_text_is_left_as_it_is() -> None:
    line = "x = 1"
    many = coloured("a.py", [line] * (COLOURED_CHARACTERS_MAX // len(line)))
    assert many[0] == f"<bdi>{line}</bdi>"
