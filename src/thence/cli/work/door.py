"""What the commands of `thence work` share: their options, and how one is run and told."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from thence.cli.groups import json_option, named, talks
from thence.cli.voice import Voice, current

if TYPE_CHECKING:
    from thence.work.result import CommandResult
    from thence.work.session.session import Session

_F = TypeVar("_F", bound=Callable[..., object])

feature_option = click.option(
    "--feature",
    metavar="FEATURE",
    help="The feature: its slug, number or name. Else that of this worktree, or the only one.",
)
actor_option = click.option(
    "--actor",
    metavar="NAME",
    callback=named,
    help="Who does it; else THENCE_ACTOR, else git's user.name.",
)
force_option = click.option(
    "--force", "is_forced", is_flag=True, help="Pass over the guards that allow it; needs --reason."
)
local_option = click.option(
    "--local", "is_local", is_flag=True, help="Take code that is merged here and not pushed yet."
)
reason_option = click.option("--reason", metavar="TEXT", help="Why; it is kept in the log.")


def common(command: _F) -> _F:
    """Gives a command --actor, --json, and the options of talk."""
    return actor_option(json_option(talks(command)))


def run(
    operation: str,
    entity: str,
    actor: str | None,
    work: "Callable[[Session], CommandResult]",
    *,
    create: bool = True,
) -> int:
    """Opens the project of this folder, does a command's work, and tells what came of it.

    `operation` and `entity` say what was tried, and on what, should it fail.
    """
    from thence.work.session.session import Session

    voice = current()
    who = _who(actor, voice)
    _refuse_what_is_no_text(click.get_current_context())
    with Session(actor=who, create=create) as session:
        try:
            result = session.attempt(operation, entity, lambda: work(session))
        except BaseException:
            for note in session.warnings:
                voice.note(f"note: {note}")
            raise
    for note in result.warnings:
        voice.note(f"note: {note}")
    if result.events is None:
        voice.note("note: the event is made good by the next command that can write the log")
    if voice.is_json:
        voice.json(result.as_json())
    else:
        for line in result.lines:
            voice.say(line)
    return result.exit_code


def _who(actor: str | None, voice: "Voice") -> str | None:
    """Returns who acts, as the option or the environment says; raises UsageError for no name."""
    found = actor or voice.settings.actor
    if found and (not found.strip() or len(found.splitlines()) > 1 or not _is_text(found)):
        source = "--actor" if actor else "THENCE_ACTOR"
        raise click.UsageError(f"the name in {source} is {found!r:.80}, no line of text")
    return found


def _refuse_what_is_no_text(context: click.Context) -> None:
    """Raises BadParameter for bytes that no event and no planning file can hold."""
    for parameter in context.command.params:
        given = context.params.get(parameter.name or "")
        for each in given if isinstance(given, tuple) else (given,):
            if isinstance(each, str) and not _is_text(each):
                raise click.BadParameter(f"{each!r:.80} is no UTF-8 text", context, parameter)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # Python keeps bytes that are no UTF-8 as lone surrogates
        return False
    return True
