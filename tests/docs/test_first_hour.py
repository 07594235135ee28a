"""The first hour of a new user: the boxes of the README, typed in a new repository."""

import re
import subprocess

import pytest
from tests.docs.walk import commands, environment, made
from tests.house.tree import ROOT

README = (ROOT / "README.md").read_text("utf-8")
BOX = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
# what a new user sees below each command of the boxes, in part
SEEN = {
    "thence hook install claude-code": "next: ",
    "thence hook install git": "post-commit",
    "thence hook past": "imported: 0 sessions",
    "thence why README.md:1": "next: let the agent commit",
    "thence sim run negotiation": "completed: 5 turns",
    "thence why agent/south/claim": "In turn 5 agent/south/claim went from 16 to 15",
    "thence serve --open": "http://127.0.0.1:",
}


def typed(command: str, folder, home) -> str:
    """Type a command as a user would; a server is ended by Ctrl-C once it has its address."""
    variables = {**environment(home), "BROWSER": "true"}
    stop = "timeout --signal=INT 5 " if " serve " in command else ""
    ended = subprocess.run(
        ["bash", "-c", stop + command],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode in ((124, 130) if stop else (0,)), ended.stdout
    return ended.stdout


@pytest.mark.promise("A5f")
def test_boxes_of_the_readme_work_in_a_new_repository(tmp_path):
    home = tmp_path / "home"
    folder = made(home / "shop", home)
    (folder / "README.md").write_text("# Shop\n")
    for words in (("add", "README.md"), ("commit", "--quiet", "--message", "Say what it is")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    lines = [command for box in BOX.findall(README) for command, _ in commands(box)]
    assert lines == list(SEEN)
    for command in lines:
        said = typed(command, folder, home)
        assert SEEN[command] in said, f"{command}: {said}"
        assert "Traceback" not in said


def test_readme_has_five_screens_and_the_index_all_pages():
    assert len(README.splitlines()) <= 200
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([^)#]+)\)", index))
    for room in ("start", "guides", "concepts", "project"):
        for page in (ROOT / "docs" / room).rglob("*.md"):
            assert str(page.relative_to(ROOT / "docs")) in linked, f"no link to {page.name}"
    assert "docs/index.md" in README
