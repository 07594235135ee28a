"""The command `work accept`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import (
    common,
    feature_option,
    force_option,
    local_option,
    reason_option,
    run,
)

_EXAMPLE = """\b
Example:
  thence work accept --feature 001"""


@click.command("accept", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("packages", metavar="[WP]...", nargs=-1)
@click.option(
    "--landed", metavar="COMMIT", help="The commit of the target that brought the package."
)
@click.option("--no-code", metavar="REASON", help="The package has no code, for this reason.")
@local_option
@feature_option
@force_option
@reason_option
@common
def accept_command(
    packages: tuple[str, ...],
    landed: str | None,
    no_code: str | None,
    is_local: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Move what is reviewed and merged to done.

    Without packages it looks at all that are in review. Each needs its gates passed, what it
    depends on done, and its code in the target branch: merged, squashed or rebased, and pushed
    where that branch has an upstream.
    """
    from thence.work.commands.accept import accept

    return run(
        "accept",
        "",
        actor,
        lambda session: accept(
            session,
            packages,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            is_local=is_local,
            landed=landed,
            no_code=no_code,
        ),
    )
