"""The command `verify`: checks every line of a log."""

import click

from thence.cli import DAMAGED
from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current, wrapped
from thence.cli.shared.locate import find_log
from thence.cli.shared.render import counted, write_some
from thence.log.files.findings import Finding

FINDINGS_SHOWN_MAX = 20


@click.command("verify", **help_with("thence verify --log output/my-run"))
@log_options
def verify_command(log_name: str | None) -> int:
    """Check every line of a log; nothing is changed.

    Exit code 0: intact; 3: bytes are damaged or events of this log are lost. Findings
    that are not damage (an unfinished last line, lines of other tools, gaps in the
    numbers of other nodes) are noted.
    """
    from thence.cli.shared.progress import bar  # not for the help, and for completions in a shell
    from thence.log.open import open_log

    out = current()
    folder = find_log(out, log_name)
    with open_log(folder, create=False) as log, bar(out, "checking every line"):
        verified = log.verify()
    if out.is_json:
        out.json(
            {
                "ok": verified.ok,
                "events": verified.events,
                "unverified": verified.unverified,
                "damage": [finding_json(finding) for finding in verified.damage],
                "notes": [finding_json(finding) for finding in verified.notes],
            }
        )
    else:
        _write_findings(out, verified.damage, "damage")
        _write_findings(out, verified.notes, "noted")
        events = counted(verified.events, "event")
        events += f", {verified.unverified:,} of them unverified" if verified.unverified else ""
        if verified.ok:
            out.write(f"ok: {events}, no damage in {folder}")
        else:
            damage = counted(sum(finding.count for finding in verified.damage), "finding")
            out.write(f"not ok: {events}, {damage} of damage in {folder}")
            out.notice("what each code means and what to do: `thence docs findings`")
    return 0 if verified.ok else DAMAGED


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
