"""The Python examples of README and docs run, in a folder of their own."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# its blocks need the frameworks: `make frameworks` runs them
FRAMEWORKS = ROOT / "docs" / "guides" / "program" / "record-a-framework.md"
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {FRAMEWORKS})]
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
# an example, and what it prints where that stands right behind it
SHOWN = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
VARIES = re.compile(r"\[\w{18}\]|after [\d.]+ \w+")
QUICKSTART = "docs/guides/program/quickstart.md"
TUTORIAL = ROOT / "docs" / "guides" / "simulations" / "build-a-simulation.md"
TRACED = ROOT / "docs" / "guides" / "program" / "record-a-traced-program.md"
PRINTING = [*sorted((ROOT / "docs" / "concepts").glob("*.md")), TUTORIAL, TRACED]


def examples(page: Path) -> list[str]:
    """Return the Python examples of a page, in order."""
    return PYTHON.findall(page.read_text("utf-8"))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page)], ids=lambda page: page.name
)
def test_the_examples_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    for example in examples(page):
        exec(compile(example, f"{page.name} in {os.getcwd()}", "exec"), names)
    assert len(names) > 2, "the examples define or make something"


@pytest.mark.parametrize(("name", "count"), [("README.md", 1), (QUICKSTART, 3)])
def test_a_page_shows_what_its_question_really_answers(
    name: str,
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = ROOT / name
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in examples(page)[:count]:
        exec(example, names)
    shown = re.search(r"^```\n(shop: .*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert VARIES.sub("…", capsys.readouterr().out) == VARIES.sub("…", shown[1])


@pytest.mark.parametrize("page", PRINTING, ids=lambda page: page.stem)
def test_an_example_prints_what_stands_behind_it(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example, shown in SHOWN.findall(page.read_text("utf-8")):
        exec(example, names)
        assert VARIES.sub("…", capsys.readouterr().out) == VARIES.sub("…", shown)
