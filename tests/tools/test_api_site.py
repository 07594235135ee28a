"""The public names of Python: the page of `thence` by hand has each, and so has the site."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from tools.api_site import FRONTS

import thence

PAGE = Path("docs/reference/python.md")


def test_page_has_each_name_of_thence_and_each_module() -> None:
    told = set(re.findall(r"\b[A-Za-z_.]+\b", PAGE.read_text("utf-8")))
    assert set(thence.__all__) - {"__version__"} <= told
    assert set(FRONTS) <= told


def test_site_is_made_offline_and_has_each_public_name(tmp_path: Path) -> None:
    offline = ["unshare", "--net", "--map-root-user"]
    made = subprocess.run(
        [*offline, sys.executable, "-m", "tools.api_site", tmp_path], capture_output=True, text=True
    )
    assert (made.returncode, made.stderr) == (0, "")
    for front in FRONTS:
        text = tmp_path.joinpath(*front.split(".")).with_suffix(".html").read_text("utf-8")
        for name in getattr(import_module(front), "__all__", ()):
            assert f'id="{name}"' in text or f">{name}<" in text, (front, name)
        assert not re.findall(r'(?:src|href)="https?://(?!pdoc\.dev)[^"]+\.(?:js|css)', text)
