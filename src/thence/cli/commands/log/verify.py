"""The command `verify`: checks every line of a log."""

import sys

import click
from msgspec.structs import replace

from thence.cli import DAMAGED
from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current, wrapped
from thence.cli.shared.locate import find_log
from thence.cli.shared.render import counted, write_some
from thence.log.files.findings import Finding

FINDINGS_SHOWN_MAX = 20
PAGE = "docs/reference/findings.md"


@click.command("verify", **help_with("thence verify --log output/my-run"))
@click.option(
    "--repair",
    "is_repair",
    is_flag=True,
    help="Show what a repair would do, and do it if you agree on the terminal.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="With --repair: only show it.")
@click.option("--yes", "is_yes", is_flag=True, help="With --repair: do it without asking.")
@log_options
def verify_command(is_repair: bool, is_dry: bool, is_yes: bool, log_name: str | None) -> int:
    """Check every line of a log; without --repair nothing is changed.

    Exit code 0: whole; 3: bytes are damaged or events of this log are lost. Findings
    that are no damage (an unfinished last line, lines of other tools, gaps in the
    numbers of other nodes) are noted. A repair changes no event: it moves bad lines, and
    bytes around events, to .thence/quarantine/.
    """
    from thence.cli.shared.progress import bar  # not for the help, and for completions in a shell
    from thence.log.open import open_log

    if (is_dry or is_yes) and not is_repair:
        raise click.UsageError("--dry-run and --yes go with --repair")
    if is_dry and is_yes:
        raise click.UsageError("--dry-run and --yes exclude each other")
    out = current()
    folder = find_log(out, log_name)
    with open_log(folder, create=False) as log:
        with bar(out, "checking every line"):
            verified = log.verify()
        repairs = tuple(x for x in verified.damage if is_repair and x.is_repairable)
        is_done = bool(repairs) and is_yes
        # off a terminal nothing is asked, and nothing done
        may_ask = not (is_dry or is_yes or out.is_json)
        if repairs and may_ask and sys.stdin.isatty() and sys.stdout.isatty():
            _write_repairs(out, repairs, is_done=False)
            is_done = click.confirm("Do it?")
        after = log.repair() if is_done else verified
    if (folder / "passed_over.json").exists():  # lines of a project's shared files
        from thence.work.day_lines import skipped_findings

        after = replace(after, findings=(*after.findings, *skipped_findings(folder)))
    if out.is_json:
        value: dict[str, object] = {
            "ok": after.ok,
            "events": after.events,
            "unverified": after.unverified,
            "damage": [finding_json(finding) for finding in after.damage],
            "notes": [finding_json(finding) for finding in after.notes],
        }
        places = [{"file": x.file, "offset": x.offset, "length": x.length} for x in repairs]
        out.json(value | ({"repairs": places, "repaired": is_done} if is_repair else {}))
    else:
        if is_repair:
            _write_repairs(out, repairs, is_done)
        _write_findings(out, after.damage, "damage")
        _write_findings(out, after.notes, "noted")
        events = counted(after.events, "event")
        events += f", {after.unverified:,} of them unverified" if after.unverified else ""
        if after.ok:
            out.write(f"ok: {events}, no damage in {folder}")
        else:
            damage = counted(sum(finding.count for finding in after.damage), "finding")
            out.write(f"not ok: {events}, {damage} of damage in {folder}")
            out.notice(f"what each code means and what to do: {PAGE}")
        if repairs and not is_done:
            out.notice("nothing was changed; --repair --yes does it")
    return 0 if after.ok else DAMAGED


def _write_repairs(out: Output, repairs: tuple[Finding, ...], is_done: bool) -> None:
    word = "moved to quarantine" if is_done else "to quarantine"

    def lines(finding: Finding) -> list[str]:
        size = counted(finding.length, "byte")
        text = f"{word}: {finding.file} at byte {finding.offset:,}, {size} ({finding.code})"
        return wrapped(text, out.width, "", "    ")

    write_some(out, repairs, FINDINGS_SHOWN_MAX, "repair", lines)
    if not repairs:
        out.write("nothing to repair")


def finding_json(finding: Finding) -> dict[str, object]:
    """Returns a finding as JSON values."""
    names = ["code", "file", "offset", "length", "reason"]
    names += ["count"] if finding.count > 1 else []
    names += ["node_id", "seq"] if finding.node_id is not None else []
    return {name: getattr(finding, name) for name in names}


def _write_findings(out: Output, findings: tuple[Finding, ...], word: str) -> None:
    def lines(finding: Finding) -> list[str]:
        place = f"{finding.file} at byte {finding.offset:,}: " if finding.file else ""
        times = f" ({finding.count:,} times)" if finding.file and finding.count > 1 else ""
        text = f"{word}: {place}{finding.reason}{times} ({finding.code})"
        return wrapped(text, out.width, "", "    ")

    write_some(out, findings, FINDINGS_SHOWN_MAX, "finding", lines, f"{word}: ")
