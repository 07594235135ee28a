"""The options that the commands of `thence work` share, and the way each one is run."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from thence.cli.frame import checked_name, help_with, output_options
from thence.cli.output import current
from thence.core.json_values import is_utf8
from thence.errors import Refused, ThenceError

if TYPE_CHECKING:
    from thence.work.session.session import CommandResult, Session

Result = TypeVar("Result")

feature_option = click.option(
    "--feature",
    metavar="FEATURE",
    help="The feature: its slug, number or name; default: this worktree's, or the only one.",
)
actor_option = click.option(
    "--actor",
    metavar="NAME",
    callback=checked_name,
    help="The actor; default: THENCE_ACTOR or git's user.name.",
)
force_option = click.option(
    "--force", "is_forced", is_flag=True, help="Override the guards that allow it; needs --reason."
)
local_option = click.option(
    "--local", "is_local", is_flag=True, help="Accept code that is merged here but not pushed."
)
reason_option = click.option(
    "--reason", metavar="TEXT", default="", help="The reason; the log keeps it."
)


@click.command
@actor_option
@output_options
def _common(actor: str | None) -> None:
    """Has the options of all commands."""


def command(name: str, *examples: str) -> Callable[[Callable[..., int]], click.Command]:
    """Makes a function a command of `thence work`, with examples in its help.

    The command has --actor, --json, -q, -v and --debug too. The function does not get them: `run`
    reads the actor, the Output knows the others.
    """

    def decorated(function: Callable[..., int]) -> click.Command:
        @wraps(function)
        def call(actor: str | None, **options: Any) -> int:
            return function(**options)

        command = click.command(name, cls=click.Command, **help_with(*examples))(call)
        command.params += _common.params
        return command

    return decorated


def session_command(
    function: "Callable[..., CommandResult]",
    name: str,
    *examples: str,
    create: bool = True,
) -> click.Command:
    """Makes a function of a Session a command of `thence work`; its docstring is the help.

    The function gets the Session first, then the command's parameters by their names. It stands
    with its options over it and stays callable as it is. `create` is that of `run`.
    """

    @wraps(function)
    def call(**arguments: Any) -> int:
        names = (arguments.get("package"), *arguments.get("packages", ()))
        return run(
            lambda session: function(session, **arguments),
            entity=next(filter(None, names), ""),
            create=create,
        )

    return command(name, *examples)(call)


def run(
    work: "Callable[[Session], CommandResult]",
    *,
    entity: str = "",
    operation: str | None = None,
    create: bool = True,
) -> int:
    """Opens the project of this folder, does a command's work, and writes the result.

    `operation`, by default the command's name, and `entity` name the work and its object, for an
    error.
    """
    from thence.work.session.session import Session

    out, context = current(), click.get_current_context()
    actor = context.params["actor"]
    name = actor or out.settings.actor
    if name and (not name.strip() or len(name.splitlines()) > 1 or not is_utf8(name)):
        source = "--actor" if actor else "THENCE_ACTOR"
        raise click.UsageError(f"the name in {source} is {name!r:.80}, no line of text")
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        for text in value if isinstance(value, tuple) else (value,):
            # bytes that are no UTF-8, which no event can hold: Python keeps them as lone surrogates
            if isinstance(text, str) and not is_utf8(text):
                raise click.BadParameter(f"{text!r:.80} is not UTF-8 text", context, parameter)
    operation = operation or context.command.name or ""
    with Session(actor=name, create=create) as session:
        if create:  # commands that write also record what has landed since
            session.after_first_look = _record_landings
        try:
            result = attempt(session, operation, entity, work)
        except BaseException:
            _share(session)
            for note in session.warnings:
                out.notice(f"note: {note}")
            raise
        unshared = _share(session)
    for note in result.warnings:
        out.notice(f"note: {note}")
    if result.events is None:
        out.notice("note: type the same command again once the log can be written: it records this")
    if out.is_json:
        out.json(result.as_json())
    else:
        for line in result.lines:
            out.write(line)
    if unshared is not None:
        out.notice(unshared)
    return result.exit_code


def _record_landings(session: "Session") -> None:
    """Records what has landed by pull requests; what prevents that is a note."""
    if session.planning.is_by_pull_request:
        from thence.work.session.pull_requests import record_landings

        try:
            record_landings(session)
        except ThenceError as error:
            session.warnings.append(f"what has landed was not recorded: {error}")


def _share(session: "Session") -> str | None:
    """Sends a command's events in the background; returns what is to be said of it."""
    if not session.appended:
        return None
    from thence.work.session.sharing import after_command

    return after_command(session)


def attempt(
    session: "Session", operation: str, entity: str, work: "Callable[[Session], Result]"
) -> "Result":
    """Does a command's work; a failure is appended to the log, a refusal to errors/ too.

    A repository that is no project yet gets no journal for a refusal.
    """
    try:
        return work(session)
    except ThenceError as error:
        if not session.project.is_begun:
            raise
        from thence.work.journal.refusals import ErrorStore, failure_event  # seldom needed

        try:
            slug = session.feature_slug
            event = failure_event(operation, entity, error, slug, session.actor)
            session.append(event)
            if isinstance(error, Refused):
                entity = event.payload["wp_id"] or entity
                ErrorStore(session.project).add(
                    error.guard,
                    entity_id=f"{slug}/{entity}" if slug else entity,
                    attempted_operation=operation,
                    reason=str(error),
                    context={"remedy": error.hint, "actor": session.actor},
                    error_id=event.event_id,
                )
        except (OSError, ThenceError) as failure:
            session.warnings.append(f"the failure could not be recorded in the log: {failure}")
        raise
