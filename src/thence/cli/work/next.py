"""The command `work next`."""

from thence.cli.work.command_runner import command, feature_option, run


@command("next", "thence work next --actor ada --json")
@feature_option
def next_command(
    feature: str | None,
) -> int:
    """Take the next package that is ready, so that nobody else does.

    It goes from planned to doing. With nothing ready the exit code is 4.
    """
    from thence.work.commands.next_package import next_package

    return run(lambda session: next_package(session, feature))
