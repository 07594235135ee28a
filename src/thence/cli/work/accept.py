"""The command `work accept`."""

import click

from thence.cli.work.command_runner import (
    command,
    feature_option,
    force_option,
    local_option,
    reason_option,
    run,
)


@command("accept", "thence work accept --feature 001")
@click.argument("packages", metavar="[WP]...", nargs=-1)
@click.option(
    "--landed", metavar="COMMIT", help="The commit of the target that brought the package."
)
@click.option("--no-code", metavar="REASON", help="The package has no code, for this reason.")
@local_option
@feature_option
@force_option
@reason_option
def accept_command(
    packages: tuple[str, ...],
    landed: str | None,
    no_code: str | None,
    is_local: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Move what is reviewed and merged to done.

    Without packages it looks at all that are in review. Each needs its gates passed, what it
    depends on done, and its code in the target branch: merged, squashed or rebased, and pushed
    where that branch has an upstream.
    """
    from thence.work.commands.accept import accept

    return run(
        lambda session: accept(
            session,
            packages,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            is_local=is_local,
            landed=landed,
            no_code=no_code,
        )
    )
