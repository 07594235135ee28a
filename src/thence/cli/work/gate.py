"""The command `work gate`."""

import click

from thence.cli.work.command_runner import command, feature_option, reason_option, run

_TYPES = ("CI_CHECK", "SECURITY_SCAN", "MANUAL_REVIEW", "ARCHITECTURE_REVIEW")


class _AnyCase(click.Choice[str]):
    """A choice of words in capitals that may be written in small letters."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Returns a word as it is compared and shown."""
        return str(choice).upper()


@command("gate", "thence work gate WP01 CI_CHECK passed")
@click.argument("package", metavar="WP")
@click.argument("gate_type", metavar="GATE", type=_AnyCase(_TYPES, case_sensitive=False))
@click.argument("result", required=False, type=click.Choice(("pending", "passed", "failed")))
@feature_option
@reason_option
def gate_command(
    package: str,
    gate_type: str,
    result: str | None,
    feature: str | None,
    reason: str | None,
) -> int:
    """Set a gate before a package, or record its result.

    GATE is CI_CHECK, SECURITY_SCAN, MANUAL_REVIEW or ARCHITECTURE_REVIEW. A package is done only
    when each of its gates is passed.
    """
    from thence.work.commands.gate import gate

    return run(
        lambda session: gate(
            session, package, gate_type, result, feature=feature, reason=reason or ""
        ),
        entity=package,
    )
