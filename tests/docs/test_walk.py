"""The runner of pages: what it runs, what it refuses, and what it takes for equal."""

import os
from pathlib import Path

import pytest
from tests.docs.walk import blocks, masked, refused, rewritten, walked


def page(*parts: str) -> str:
    """Return a page of fences: each part is a language and its text."""
    return "\n".join(f"```{part}\n```\n" for part in parts)


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("```\nls\n```\n", True),
        ("```ruby\nputs 1\n```\n", True),
        ("```yaml\na: 1\n```\n", True),
        ("```yaml a.yaml\na: 1\n```\n", False),
        ("<!-- not run: parts of a scenario -->\n```yaml\na: 1\n```\n", False),
        ("```console\n$ ls\n```\n", False),
        ("```python\nprint(1)\n```\n\n```\n1\n```\n", False),
        ("```python\nprint(1)\n```\n\nbetween\n\n```\n1\n```\n", True),
    ],
)
def test_block_that_nothing_runs_is_refused_unless_it_says_why(text: str, is_refused: bool) -> None:
    assert any(refused(block) for block in blocks(text)) is is_refused


def test_blocks_of_a_page_share_folder_files_names_and_home(tmp_path: Path) -> None:
    text = page(
        "text notes/a.txt\nhello",
        "console\n$ cd notes\n$ cat a.txt\nhello",
        "python\nfrom pathlib import Path\nhere = Path.cwd().name",
        "sh\ncp a.txt ~/b.txt",
        "python\nprint(here, Path.home().joinpath('b.txt').read_text(), end='')",
    )
    before = os.getcwd(), dict(os.environ)
    said = walked(text + "\n```\nnotes hello\n```\n", tmp_path)
    assert [each.said for each in said if each.said] == ["hello\n", "notes hello\n"]
    assert all(masked(each.said) == masked(each.shown) for each in said)
    assert (os.getcwd(), dict(os.environ)) == before


def test_page_that_shows_something_else_is_found_and_written_anew(tmp_path: Path) -> None:
    text = page(
        "console\n$ echo new; exit 3\nold\n$ echo 2026-11-28T10:00:00Z\n2025-01-01T09:00:00Z"
    )
    said = walked(text, tmp_path)
    assert [masked(each.said) == masked(each.shown) for each in said] == [False, True]
    assert said[0].status == 3
    assert rewritten(text, said) == text.replace("old", "new"), "what only varies stays"


def test_server_of_a_page_answers_on_a_port_of_its_own_and_is_ended(tmp_path: Path) -> None:
    text = page(
        "console\n$ thence append --log orders a.b > id.txt\n"
        "$ thence serve . &\nhttp://127.0.0.1:8377\n"
        "serving ~/shop; try: curl http://127.0.0.1:8377/simulations\nCtrl-C stops it\n"
        "$ curl -sf http://127.0.0.1:8377/health | head -c 14\n"
        '{"status":"ok"\n$ kill %1\n$ curl -s http://127.0.0.1:8377/health || echo gone\ngone'
    )
    said = walked(text, tmp_path)
    assert [masked(each.said) == masked(each.shown) for each in said] == [True] * 5
