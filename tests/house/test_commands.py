"""Every command has its section in docs/reference/commands.md, and every section its command."""

import re
from collections.abc import Iterator

import click
from tests.house.tree import ROOT

from thence.cli.frame import root

PAGE = "docs/reference/commands.md"
SECTION = re.compile(r"^#+ `(thence(?: [a-z][\w-]*)*)`", re.MULTILINE)


def commands(command: click.Command, path: str = "thence") -> Iterator[str]:
    """Walk a tree of commands; hidden ones are nobody's business."""
    if command.hidden:
        return
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, f"{path} lists {name} and does not have it"
            yield from commands(child, f"{path} {name}")


def judged(found: set[str], page: str) -> list[str]:
    """Compare the commands with the sections of the page, in both directions."""
    written = set(SECTION.findall(page))
    lacking = [f"{name} has no section in {PAGE}" for name in sorted(found - written)]
    return lacking + [f"{PAGE} has a section for {name}" for name in sorted(written - found)]


def test_commands_and_their_sections_name_each_other():
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    wrong = judged(set(commands(root)) - {"thence"}, page)
    assert not wrong, "\n".join(wrong)


def test_tree_of_commands_is_walked():
    group = click.Group("thence")
    group.add_command(click.Command("show"))
    group.add_command(click.Command("secret", hidden=True))
    group.add_command(click.Group("sim", commands={"run": click.Command("run")}))
    assert set(commands(group)) == {"thence", "thence show", "thence sim", "thence sim run"}


def test_missing_and_stale_sections_are_found():
    page = "# Commands\n\n## `thence show`\n\n### `thence sim run` SCENARIO\n"
    assert not judged({"thence show", "thence sim run"}, page)
    assert judged({"thence show", "thence sim run", "thence why"}, page)
    assert judged({"thence show"}, page)
