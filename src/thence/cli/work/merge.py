"""The command `work merge`."""

import click

from thence.cli.work.command_runner import command, feature_option, force_option, reason_option, run


@command("merge", "thence work merge --feature 001 --dry-run")
@click.argument("packages", metavar="[WP]...", nargs=-1)
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be merged.")
@click.option("--resume", "is_resumed", is_flag=True, help="Go on after a conflict was resolved.")
@click.option("--abort", "is_aborted", is_flag=True, help="Give up a merge that met a conflict.")
@feature_option
@force_option
@reason_option
def merge_command(
    packages: tuple[str, ...],
    is_dry: bool,
    is_resumed: bool,
    is_aborted: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Merge the branches of packages into their feature's target branch.

    Without packages it takes all that are in doing or for_review. All are looked at before the
    first is merged, in the order in which they depend on each other.
    """
    from thence.work.commands.merge import abort_merge, merge, resume_merge

    if is_resumed and is_aborted:
        raise click.UsageError("--resume and --abort can't both be done")
    if (is_resumed or is_aborted) and (packages or is_dry):
        word = "resume" if is_resumed else "abort"
        raise click.UsageError(f"--{word} takes neither packages nor --dry-run")
    if is_resumed:
        return run(
            lambda session: resume_merge(session, feature=feature), operation="merge --resume"
        )
    if is_aborted:
        return run(lambda session: abort_merge(session, feature=feature), operation="merge --abort")
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
