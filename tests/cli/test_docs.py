"""The documents that came with thence: each is shown, and leads to others that are there."""

import ast
import re
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.cli.terminals import Terminal

FOLDERS = ("start", "guides", "concepts", "reference")
PAGES = {
    path.stem: path
    for folder in FOLDERS
    for path in Path("docs", folder).rglob("*.md")
    if not {"formats", "python"} & set(path.parts) and path.stem not in ("api", "promises")
}
_COMMAND = re.compile(r"`thence docs ([\w-]+)`")


def test_pages_are_listed_with_their_titles(tmp_path: Path) -> None:
    told = thence("docs", "--json", cwd=tmp_path).json["pages"]
    assert told.keys() == PAGES.keys()
    for name, title in told.items():
        assert PAGES[name].read_text("utf-8").startswith(f"# {title}\n")
    listed = thence("docs", cwd=tmp_path).out
    assert all(f"  {name} " in listed for name in PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_shown_and_its_links_are_commands(name: str, tmp_path: Path) -> None:
    shown = thence("docs", name, cwd=tmp_path)
    text = PAGES[name].read_text("utf-8")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(text.partition("\n")[0])
    code = re.findall(r"```.*?```", text, re.DOTALL)
    assert all(block in shown.out for block in code)
    words = re.sub(r"```.*?```", "", shown.out, flags=re.DOTALL)
    assert not re.search(r"\]\((?!https?:)|<picture>|!\[", words)
    assert set(_COMMAND.findall(words)) <= PAGES.keys()


def test_link_says_by_which_command_its_page_is_shown(tmp_path: Path) -> None:
    shown = thence("docs", "record-a-traced-program", cwd=tmp_path).out
    assert "agent frameworks (`thence docs record-a-framework`)" in shown


def test_page_is_set_in_type_on_a_terminal(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "docs", "findings")
    assert terminal.end() == 0
    assert "\x1b[1" in terminal.told
    assert "# Findings" not in terminal.told


def test_page_by_its_path_is_that_page_and_a_wrong_name_is_told_the_nearest(tmp_path: Path) -> None:
    by_path = thence("docs", "docs/reference/findings.md", cwd=tmp_path)
    assert by_path.out == thence("docs", "findings", cwd=tmp_path).out
    wrong = thence("docs", "findngs", cwd=tmp_path)
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean findings?" in wrong.err


def test_nothing_that_a_user_reads_names_a_file_that_a_wheel_lacks() -> None:
    """Texts of errors and helps, and what `help()` shows of public names."""
    found = [
        f"{path}:{node.lineno}"
        for path in Path("src/thence").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        # a module's own docstring is for who reads the code, and so is a decision
        if node.lineno > 1
        and re.search(r"(?<!/)\bdocs/(?!specs/|guides/structured|decisions)", node.value)
    ]
    assert found == []
