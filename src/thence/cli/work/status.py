"""The command `work status`."""

import gc
from typing import TYPE_CHECKING

from thence.cli.output import current
from thence.cli.work.command_runner import command, feature_option, run

if TYPE_CHECKING:
    from thence.work.result import CommandResult
    from thence.work.session.session import Session


@command("status", "thence work status --json")
@feature_option
def status_command(feature: str | None) -> int:
    """Show the board: every work package in its lane.

    It is a replay of the log. Events that clones have written at once and that can't both stand
    are shown as a conflict, with the rule that settled it. Packages at work whose branches
    change the same files are shown too.
    """
    from thence.work.commands.status import status

    gc.disable()  # what is read of the log lives until the end

    def show(session: "Session") -> "CommandResult":
        current().keep(session)
        return status(session, feature)

    return run(show, create=False)
