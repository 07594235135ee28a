"""Where pictures of pages go: nowhere, unless a folder is named to look at them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pages.browser import Tab


@pytest.fixture
def pictures() -> Callable[[Tab, str], None]:
    """Returns what takes a picture of a tab, into the folder THENCE_PICTURES."""
    folder = os.environ.get("THENCE_PICTURES")

    def take(tab: Tab, name: str) -> None:
        if folder:
            tab.page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)

    return take
