"""The documents that came with thence: guides, concepts, reference."""

import re
from importlib.resources import files
from pathlib import Path

_PICTURE = re.compile(r"(<picture>.*?</picture>|!\[[^\]]*\]\([^)\s]*\))\n*", re.DOTALL)


def documents() -> dict[str, Path]:
    """Returns the pages by their names, such as "quickstart", those of `start` first."""
    folder = Path(str(files("thence"))) / "docs"
    pages = sorted(folder.rglob("*.md"), key=lambda page: (page.parent.name != "start", page))
    return {page.stem: page for page in pages}


def read_document(page: Path) -> tuple[str, str]:
    """Returns the title of a page, and its Markdown without pictures."""
    text = _PICTURE.sub("", page.read_text("utf-8"))
    return text.partition("\n")[0].removeprefix("# "), text
