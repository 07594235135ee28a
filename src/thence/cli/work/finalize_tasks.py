"""The command `work finalize-tasks`."""

from thence.cli.work.command_runner import command, feature_option, run


@command("finalize-tasks", "thence work finalize-tasks --feature 001")
@feature_option
def finalize_tasks_command(feature: str | None) -> int:
    """Make work packages from the plan in tasks.md.

    Each package gets a file in tasks/, and stands on the board as planned. All planning files
    of the feature are committed on the branch that is checked out. Run again, it adds new packages.
    """
    from thence.work.commands.finalize_tasks import finalize_tasks

    return run(lambda session: finalize_tasks(session, feature))
