"""The blocks of docs/guides/program/record-a-framework.md, run as they are."""

import re
from pathlib import Path
from typing import Any

from tape import Tape

PAGE = Path(__file__).parents[4] / "docs/guides/program/record-a-framework.md"
SECTION = re.compile(r"^## (.*?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def row(title: str) -> str:
    """Returns the Python in a row of the table `Also run`, by the first word of the row."""
    text = PAGE.read_text("utf-8")
    cells = next(line for line in text.splitlines() if line.startswith(f"| {title} ")).split(" | ")
    return "\n".join(re.findall(r"`([^`]+)`", cells[1]))


# the names that the page's blocks define
opened: dict[str, Any] = {}


def blocks(title: str) -> list[str]:
    """Returns the Python of a section, by the first word of its heading."""
    text = PAGE.read_text("utf-8")
    if not title:
        return BLOCK.findall(text.partition("\n## ")[0])
    return next(
        BLOCK.findall(body) for name, body in SECTION.findall(text) if name.startswith(title)
    )


def recorded(title: str = "") -> dict[str, Any]:
    """Runs the page's first block, then the first of a section; returns their names, as `log`."""
    exec(blocks("")[0], opened)
    opened["provider"].add_span_processor(Tape())
    if title:
        exec(blocks(title)[0], opened)
    return opened


def recorded_by_row(title: str) -> dict[str, Any]:
    """Does the same with the lines of a row of the table `Also run`."""
    recorded()
    exec(row(title), opened)
    return opened
