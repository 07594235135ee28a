"""The command `mcp`: answers the questions of an agent about a log, by MCP."""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from thence import __version__
from thence.cli import INTERRUPTED
from thence.cli.commands.causes import answer_lines
from thence.cli.frame import help_with, log_options, require_packages
from thence.cli.output import current
from thence.cli.shared.logs import open_for_reading, take_in_hooks
from thence.core.event import Event
from thence.core.sentences.events import clipped, short_id
from thence.errors import InvalidFilter, ThenceError
from thence.open_log.log import Log

EVENTS_MAX = 200
_WIDTH = 100
_LINE_CHARACTERS_MAX = 20_000
_ERROR_CHARACTERS_MAX = 1_000
_ABOUT = """\
An event log of what agents, people and programs did, in which each event names its causes. Name
an event by its id, by 6 or more characters of it, by @last or @last-error, by a subject such as
order/881, or by a type such as order.failed. Nothing here can be changed."""
_P = ParamSpec("_P")


@click.command("mcp", **help_with("thence mcp --log output/my-run"))
@log_options
def mcp_command(log: str | None) -> None:
    """Answer an agent's questions about a log by MCP, on stdin and stdout.

    The tools are why, effects, query, show and unfinished; none of them changes anything. It
    ends when stdin does. Needs the extra thence[mcp].
    """
    require_packages("could not answer by MCP", "mcp", "mcp")
    if sys.stdin.isatty():
        cause = "an agent starts this command and asks on stdin, which is a terminal here"
        raise click.UsageError(cause, click.get_current_context())
    from mcp.server import MCPServer
    from mcp.types import ToolAnnotations

    with open_for_reading(current(), log, by_index=False, counts_damage=False) as replica:
        server = MCPServer("thence", instructions=_ABOUT, version=__version__)
        tools = _Tools(replica)
        for tool in (tools.why, tools.effects, tools.query, tools.show, tools.unfinished):
            annotated = server.tool(annotations=ToolAnnotations(read_only_hint=True))
            annotated(_reporting(tool, replica.folder))
        # nothing is written, and the thread that waits for stdin would hold the process
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        server.run("stdio")


class _Tools:
    """The tools; a docstring is what the agent reads of one."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def why(self, event: str) -> str:
        """Why an event happened: the line of its causes, from the first one to the event."""
        answer = self._log.why(event)
        lines, _ = answer_lines(answer, self._log.vocabulary, _WIDTH)
        return "\n".join([*lines, f"the event: {answer.event.event_id}"])

    def effects(self, event: str) -> str:
        """What followed from an event, nearest first, at most 200 events."""
        answer = self._log.effects(event)
        hidden = len(answer.cone) - EVENTS_MAX
        rest = [f"and {hidden:,} more"] if hidden > 0 else []
        return "\n".join([*answer.sentences[:EVENTS_MAX], *rest]) or "nothing followed from it"

    def query(
        self,
        type: str | None = None,
        subject: str | None = None,
        actor: str | None = None,
        where: str | None = None,
        since: str | None = None,
        limit: int = 50,
    ) -> str:
        """The last events that fit all that is given, one line each, at most 200.

        `type` may hold *, as in order.*; `where` is an expression over the payload such as
        amount > 10 and reason ~ stock; `since` a time or a length such as 2h.
        """
        filters = {"type": type, "subject": subject, "actor": actor, "where": where, "since": since}
        chosen = {key: value for key, value in filters.items() if value}
        if limit < 1:
            hint = f"give a number from 1 to {EVENTS_MAX}"
            raise InvalidFilter("could not read the limit", cause=f"it is {limit}", hint=hint)
        page = self._log.query(last=min(limit, EVENTS_MAX), **chosen)  # type: ignore[arg-type]
        lines = [f"{page.total:,} fit; the last {len(page.events):,}:"]
        return "\n".join([*lines, *map(self._line, page.events)])

    def show(self, event: str) -> str:
        """An event as it is stored, as JSON, with its causes and its whole payload."""
        stored = self._log.why(event).event.readable_line.decode()
        hidden = len(stored) - _LINE_CHARACTERS_MAX
        return stored if hidden <= 0 else f"{stored[:_LINE_CHARACTERS_MAX]} … and {hidden:,} more"

    def unfinished(self) -> str:
        """What began and never ended, and whether its process may still go on."""
        from thence.cli.commands.listing import read_end

        end, ended = read_end(self._log)
        lines = [
            f"{self._line(event)}; "
            + ("its process ended" if event.event_id in ended else "may still go on")
            for event in end.still_open[-EVENTS_MAX:]
        ]
        return "\n".join(lines) or "nothing is unfinished"

    def _line(self, event: Event) -> str:
        sentence = self._log.vocabulary.sentence(event)
        return f"{event.timestamp}  {event.event_type}  {sentence}  {short_id(event.event_id)}"


def _reporting(tool: Callable[_P, str], folder: Path) -> Callable[_P, str]:
    """Returns a tool whose errors say to the agent what was wrong and what to do next.

    What hooks have left meanwhile is in the log when it answers.
    """
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> str:
        take_in_hooks(folder)
        try:
            return tool(*args, **kwargs)
        except ThenceError as error:
            # what the agent asked for may be long, and is part of the words
            words = clipped(str(error), _ERROR_CHARACTERS_MAX)
            raise ToolError(
                f"{words}; next: {clipped(error.hint, _ERROR_CHARACTERS_MAX)}"
            ) from None

    return called
