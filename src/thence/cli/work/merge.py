"""The command `work merge`."""

import click

from thence.cli.work.command_runner import command, feature_option, force_option, reason_option, run


def _leaves_nothing_open(_: click.Context, option: click.Parameter, is_given: bool) -> bool:
    """Refuses an option of the version before this one."""
    if is_given:
        raise click.UsageError(
            f"--{option.name} is gone, for a conflict leaves nothing open: merge the target into"
            " the package's branch in its worktree, resolve it there, then merge again"
        )
    return is_given


@command("merge", "thence work merge --feature 001 --dry-run")
@click.argument("packages", metavar="[WP]...", nargs=-1)
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be merged.")
@click.option("--resume", is_flag=True, hidden=True, callback=_leaves_nothing_open)
@click.option("--abort", is_flag=True, hidden=True, callback=_leaves_nothing_open)
@feature_option
@force_option
@reason_option
def merge_command(
    packages: tuple[str, ...],
    is_dry: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
    resume: bool,
    abort: bool,
) -> int:
    """Merge the branches of packages into their feature's target branch.

    Without packages it takes all that are in doing or for_review. All are looked at before the
    first is merged, in the order in which they depend on each other.
    """
    from thence.work.commands.merge import merge

    return run(
        lambda session: merge(
            session,
            packages,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            is_dry=is_dry,
        ),
        entity=packages[0] if packages else "",
    )
