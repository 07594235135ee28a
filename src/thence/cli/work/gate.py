"""The command `work gate`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, reason_option, run

_EXAMPLE = """\b
Example:
  thence work gate WP01 CI_CHECK passed"""
_TYPES = ("CI_CHECK", "SECURITY_SCAN", "MANUAL_REVIEW", "ARCHITECTURE_REVIEW")


class _AnyCase(click.Choice[str]):
    """A choice of words in capitals that may be written in small letters."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Returns a word as it is compared and shown."""
        return str(choice).upper()


@click.command("gate", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("package", metavar="WP")
@click.argument("gate_type", metavar="GATE", type=_AnyCase(_TYPES, case_sensitive=False))
@click.argument("result", required=False, type=click.Choice(("pending", "passed", "failed")))
@feature_option
@reason_option
@common
def gate_command(
    package: str,
    gate_type: str,
    result: str | None,
    feature: str | None,
    reason: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Set a gate before a package, or tell what it has come to.

    GATE is CI_CHECK, SECURITY_SCAN, MANUAL_REVIEW or ARCHITECTURE_REVIEW. A package is done only
    when each of its gates is passed.
    """
    from thence.work.commands.gate import gate

    return run(
        "gate",
        package,
        actor,
        lambda session: gate(
            session, package, gate_type, result, feature=feature, reason=reason or ""
        ),
    )
