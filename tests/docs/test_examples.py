"""The Python examples of README and of the reference run, in a folder of their own."""

import re
from pathlib import Path

import pytest
from tests.docs.test_pages import PAGES as FOLLOWED
from tests.docs.walk import masked, walked

ROOT = Path(__file__).parents[2]
# its blocks need the frameworks: `make frameworks` runs them
FRAMEWORKS = ROOT / "docs" / "guides" / "program" / "record-a-framework.md"
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {FRAMEWORKS})]
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def examples(page: Path) -> list[str]:
    """Return the Python examples of a page, in order."""
    return PYTHON.findall(page.read_text("utf-8"))


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if examples(page) and page not in FOLLOWED],
    ids=lambda page: page.name,
)
def test_the_examples_of_a_page_run_one_after_the_other(page: Path, tmp_path: Path) -> None:
    said = walked(page.read_text("utf-8"), tmp_path, only="python")
    assert said
    for each in said:
        assert masked(each.said) == masked(each.shown) or not each.shown, each.command
