"""The files for operators start commands that there are, with options that these have."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from thence.cli.frame import root

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def commands():
    """Yields the arguments of each call of thence in the files."""
    unit = (DEPLOY / "thence-server.service").read_text("utf-8")
    for line in re.findall(r"^ExecStart=\S+/thence (.+)$", unit, re.MULTILINE):
        yield shlex.split(line)
    for words in re.findall(r"`thence ([^`]+)`", unit):
        yield shlex.split(words)
    (started,) = re.findall(
        r"^CMD (\[.+\])$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    yield json.loads(started)
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")
    for words in re.findall(r"^#   docker compose run --rm server (.+)$", compose, re.MULTILINE):
        yield shlex.split(words)


def parse(arguments):
    """Parse arguments as the command line does, without doing anything."""
    command, context = root, click.Context(root)
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.get_command(context, name)
        assert command is not None, name
    command.make_context(command.name, list(arguments))


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_command_of_an_operators_file_can_be_typed(arguments):
    parse(arguments)


def test_all_calls_are_found_and_a_wrong_one_is_refused():
    assert len(list(commands())) == 5
    with pytest.raises(click.NoSuchOption):
        parse(["server", "run", "--port-number", "1"])
