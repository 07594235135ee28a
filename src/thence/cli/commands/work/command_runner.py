"""The options that the commands of `thence work` share, and the way each one is run."""

import gc
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from thence.cli.frame import Command, help_settings, output_options
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


def session_command(
    function: "Callable[..., CommandResult]",
    name: str,
    *examples: str,
    create: bool = True,
) -> click.Command:
    """Makes a function of a Session a command of `thence work`; its docstring is the help.

    The function gets the Session of this folder's project first, then the command's parameters by
    their names. It stands with its options over it and stays callable as it is. Its result is
    written. Without `create` the command only reads, and no project is made.
    """

    @wraps(function)
    def call(actor: str | None, **arguments: Any) -> int:
        from thence.work.session.session import Session

        out = current()
        named = actor or out.settings.actor
        if named and (not named.strip() or len(named.splitlines()) > 1 or not is_utf8(named)):
            source = "--actor" if actor else "THENCE_ACTOR"
            raise click.UsageError(f"the name in {source} is {named!r:.80}, not a line of text")
        names = (arguments.get("package"), *arguments.get("packages", ()))
        entity, unshared = next(filter(None, names), ""), None
        with Session(actor=named, create=create) as session:
            if create:  # commands that write also record what has landed since
                session.after_first_look = _record_landings
            else:  # what is read of the log lives until the process ends
                gc.disable()
            try:
                result = attempt(session, name, entity, lambda one: function(one, **arguments))
            finally:
                if session.appended:
                    from thence.work.session.sharing import after_command

                    unshared = after_command(session)
                for note in session.warnings:
                    out.notice(f"note: {note}")
        if result.events is None:
            again = "type the same command again once the log can be written: it records this"
            out.notice(f"note: {again}")
        out.result(result.as_json(), result.lines)
        if unshared is not None:
            out.notice(unshared)
        return result.exit_code

    command = click.command(name, cls=Command, **help_settings(*examples))(call)
    command.params += _common.params
    return command


def _record_landings(session: "Session") -> None:
    """Records what has landed by pull requests; what prevents that is a note."""
    if session.planning.is_by_pull_request:
        from thence.work.session.pull_requests import record_landings

        try:
            record_landings(session)
        except ThenceError as error:
            session.warnings.append(f"what has landed was not recorded: {error}")


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
