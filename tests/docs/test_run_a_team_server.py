"""The page for the operator of a team's server: its commands are typed from the top."""

import re
import shlex
from pathlib import Path

import click
from tests.cli.installed import thence
from tests.server.team.team_server import TeamServer

from thence.cli.frame import root

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "team" / "run-a-team-server.md"
# what needs a certificate or a provider, and what never ends, is parsed alone
PARSED_ALONE = ("--tls-cert", "--oidc-issuer", "-f")


def commands() -> list[list[str]]:
    """Returns the arguments of each command of thence in the page's blocks, in order."""
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    typed = [re.sub(r"^[A-Z_]+=\S* ", "", line) for line in lines]
    return [shlex.split(line)[1:] for line in typed if line.startswith("thence ")]


def parse(arguments: list[str]) -> None:
    """Parses arguments as the command line does, without doing anything."""
    command: click.Command | None = root
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.get_command(click.Context(root), name)
    assert command is not None
    command.make_context(command.name, list(arguments))


def test_commands_of_the_page_can_be_typed_from_the_top(tmp_path: Path) -> None:
    server = TeamServer(tmp_path / "thence-server")
    typed = commands()
    assert len(typed) > 15
    is_running = False
    try:
        for arguments in typed:
            if not {*arguments}.isdisjoint(PARSED_ALONE):
                parse(arguments)
            elif arguments == ["server", "run"]:
                server.start()
                is_running = True
            else:
                if "restore" in arguments:  # the page says that the server must not run then
                    server.end()
                    is_running = False
                arguments = ["ab" * 32 if word == "KEY" else word for word in arguments]
                ended = thence(*arguments, cwd=tmp_path)
                assert ended.code == 0, f"{arguments}: {ended.err}"
    finally:
        if is_running:
            server.end()
    assert not is_running
