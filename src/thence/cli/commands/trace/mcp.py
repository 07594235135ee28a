"""The command `mcp`: answers the questions of an agent about a log, by MCP."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import accumulate
from typing import ParamSpec

import click

from thence import __version__
from thence.cli import INTERRUPTED
from thence.cli.commands.log.causes import answer_lines, explained, open_to_explain
from thence.cli.frame import help_with, log_options, require_packages
from thence.cli.output import Output, current
from thence.cli.shared.locate import find_log
from thence.cli.shared.logs import names_event, names_events, open_for_reading
from thence.core.event import Event
from thence.core.sentences.events import clipped, short_id
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidFilter, ThenceError

EVENTS_MAX = 200
ANSWER_CHARACTERS_MAX = 20_000
_LINE_CHARACTERS_MAX = 2_000
_WIDTH = 100
_ERROR_CHARACTERS_MAX = 1_000
_ABOUT = """\
An event log of what agents, people and programs did, in which each event names its causes. Name
an event by its id, by 6 or more characters of it, by @last or @last-error, by a subject such as
order/881, or by a type such as order.failed; why also takes a line of a file, src/pay.py:42, a
commit, or text that was written. Nothing here can be changed."""
_P = ParamSpec("_P")


@click.command("mcp", **help_with("thence mcp --log output/my-run", extra="mcp"))
@log_options
def mcp_command(log_name: str | None) -> None:
    """Answer an agent's questions about a log over MCP, on stdin and stdout.

    The tools are why, effects, query, show and unfinished; none of them changes anything. It
    ends when stdin does. Files are those of the folder that it is started in. Needs the extra
    thence[mcp].
    """
    require_packages("could not answer over MCP", "mcp", "mcp")
    if sys.stdin.isatty():
        cause = "an agent starts this command and asks on stdin, which is a terminal here"
        raise click.UsageError(cause, click.get_current_context())
    out = current()
    find_log(out, log_name)  # raises where there is none
    # nothing is written, and the thread that waits for stdin would hold the process
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from mcp.server import MCPServer
    from mcp.types import ToolAnnotations

    server = MCPServer("thence", instructions=_ABOUT, version=__version__)
    tools = _Tools(out, log_name)
    for tool in (tools.why, tools.effects, tools.query, tools.show, tools.unfinished):
        server.tool(annotations=ToolAnnotations(read_only_hint=True))(_reporting(tool))
    server.run("stdio")


class _Tools:
    """The tools; a docstring is what the agent reads of one.

    Each call opens the log that has what it names, with what hooks have left meanwhile.
    """

    def __init__(self, out: Output, log_name: str | None) -> None:
        self._out, self._log = out, log_name

    def why(self, event: str) -> str:
        """Why an event happened: the line of its causes, from the first one to the event.

        `event` may also be a line of a file such as src/pay.py:42, a commit, or a text with a space
        or in quotes: the answer leads to the edit, its task, and what the user asked.
        """
        with open_to_explain(self._out, self._log, event) as log:
            named = explained(self._out, log, event)
            if isinstance(named, Event):
                lines, _ = answer_lines(log.why(named), log.vocabulary, _WIDTH)
                return bounded([*lines, f"the event: {named.event_id}"])
            lines = named.sentences(log, is_whole=False)
            prompt = named.prompt
        prompt_lines = ["what the user asked:", *prompt.splitlines()] if prompt else []
        return bounded([*lines, *prompt_lines])

    def effects(self, event: str) -> str:
        """What followed from an event, nearest first, at most 200 events."""
        with open_for_reading(self._out, self._log, has=names_event(event)) as log:
            answer = log.effects(event)
        lines = answer.sentences[:EVENTS_MAX]
        return bounded(lines, len(answer.cone)) or "nothing followed from it"

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

        `type` may hold *, as in order.*; `where` is comparisons with the payload such as
        amount > 10 and reason ~ stock; `since` a time or a length such as 2h.
        """
        filters = {"type": type, "subject": subject, "actor": actor, "where": where, "since": since}
        chosen = {key: value for key, value in filters.items() if value}
        if limit < 1:
            hint = f"give a number from 1 to {EVENTS_MAX}"
            raise InvalidFilter("could not read the limit", cause=f"it is {limit}", hint=hint)
        with open_for_reading(self._out, self._log, has=names_events(chosen)) as log:
            page = log.query(last=min(limit, EVENTS_MAX), **chosen)  # type: ignore[arg-type]
            lines = [_line(event, log.vocabulary) for event in page.events]
        # the last ones count, so that they are bounded from the end
        last = bounded(lines[::-1], len(lines)).splitlines()[::-1]
        return "\n".join([f"{page.total:,} fit; the last {len(page.events):,}:", *last])

    def show(self, event: str) -> str:
        """An event as it is stored, as JSON, with its causes and its whole payload."""
        with open_for_reading(self._out, self._log, has=names_event(event)) as log:
            stored = log.resolve(event, prefers_failure=True).readable_line.decode()
        hidden = len(stored) - ANSWER_CHARACTERS_MAX
        return stored if hidden <= 0 else f"{stored[:ANSWER_CHARACTERS_MAX]} … and {hidden:,} more"

    def unfinished(self) -> str:
        """What began and never ended, whether its process may still be running; last first."""
        from thence.cli.commands.log.listing import read_end

        with open_for_reading(self._out, self._log) as log:
            _, steps = read_end(log)
            latest = steps[: -EVENTS_MAX - 1 : -1]
            lines = [f"{_line(step.event, log.vocabulary)}; {step.state}" for step in latest]
        return bounded(lines, len(steps)) or "nothing is unfinished"


def bounded(lines: Iterable[str], total: int = 0) -> str:
    """Returns the first lines of an answer, each clipped, and how many more of `total` there are.

    Without a total it is the number of lines.
    """
    texts = [clipped(line, _LINE_CHARACTERS_MAX) for line in lines]
    sizes = accumulate(len(text) + 1 for text in texts)
    count = sum(size <= ANSWER_CHARACTERS_MAX for size in sizes)
    hidden = (total or len(texts)) - count
    return "\n".join([*texts[:count], *([f"and {hidden:,} more"] if hidden > 0 else [])])


def _line(event: Event, vocabulary: Vocabulary) -> str:
    sentence = vocabulary.sentence(event)
    return f"{event.timestamp}  {event.event_type}  {sentence}  {short_id(event.event_id)}"


def _reporting(tool: Callable[_P, str]) -> Callable[_P, str]:
    """Returns a tool whose errors say to the agent what was wrong and what to do next."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> str:
        try:
            return tool(*args, **kwargs)
        except ThenceError as error:
            # what the agent asked for may be long, and is part of the words
            words = clipped(str(error), _ERROR_CHARACTERS_MAX)
            raise ToolError(
                f"{words}; next: {clipped(error.hint, _ERROR_CHARACTERS_MAX)}"
            ) from None

    return called
