"""What the commands of `thence work` share: their options, and how one is run and told."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from thence.cli.groups import json_option, talks
from thence.cli.voice import current

if TYPE_CHECKING:
    from thence.work.desk import Desk
    from thence.work.result import Result

_F = TypeVar("_F", bound=Callable[..., object])

feature_option = click.option(
    "--feature",
    metavar="FEATURE",
    help="The feature: its slug, number or name. Else that of this worktree, or the only one.",
)
actor_option = click.option(
    "--actor", metavar="NAME", help="Who does it; else THENCE_ACTOR, else `user`."
)
force_option = click.option(
    "--force", "is_forced", is_flag=True, help="Pass over the guards that allow it; needs --reason."
)
reason_option = click.option("--reason", metavar="TEXT", help="Why; it is kept in the log.")


def common(command: _F) -> _F:
    """Gives a command --actor, --json, and the options of talk."""
    return actor_option(json_option(talks(command)))


def run(
    operation: str,
    entity: str,
    actor: str | None,
    work: "Callable[[Desk], Result]",
    *,
    create: bool = True,
) -> int:
    """Opens the project of this folder, does a command's work, and tells what came of it.

    `operation` and `entity` say what was tried, and on what, should it fail.
    """
    from thence.work.desk import Desk

    voice = current()
    who = actor or voice.settings.actor
    with Desk(actor=who, create=create) as desk:
        try:
            result = desk.attempt(operation, entity, lambda: work(desk))
        except BaseException:
            for note in desk.notes:
                voice.note(f"note: {note}")
            raise
    for note in result.notes:
        voice.note(f"note: {note}")
    if result.events is None:
        voice.note("note: the event is made good by the next command that can write the log")
    if voice.is_json:
        voice.json(result.as_json())
    else:
        for line in result.lines:
            voice.say(line)
    return result.exit_code
