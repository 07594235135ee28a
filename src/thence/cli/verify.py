"""The command `verify`: every line of a log checked."""

from typing import TYPE_CHECKING

import click

from thence.cli.groups import HELP_NAMES, json_option, log_option, talks
from thence.cli.voice import Voice, current

if TYPE_CHECKING:
    from thence.log.findings import Finding, Verification

FINDINGS_SHOWN_MAX = 20
PAGE = "docs/reference/findings.md"
_EXAMPLE = """\b
Example:
  thence verify --log output/my-run"""


@click.command("verify", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@log_option
@json_option
@talks
def verify_command(log: str | None, is_json: bool) -> int:
    """Check every line of a log; nothing is changed.

    Exit code 0: whole; 3: bytes are damaged or events of this log are lost. What is worth
    knowing and no damage (an unfinished last line, lines of other tools, gaps in the
    numbers of other nodes) is noted.
    """
    from thence.cli.failure import DAMAGED
    from thence.cli.locate import find_log
    from thence.replica import open_replica

    voice = current()
    folder = find_log(voice, log)
    with open_replica(folder, create=False) as replica:
        found = replica.verify()
    if is_json:
        voice.json(
            {
                "ok": found.ok,
                "events": found.events,
                "unverified": found.unverified,
                "damage": [as_json(finding) for finding in found.damage],
                "notes": [as_json(finding) for finding in found.notes],
            }
        )
    else:
        _say(voice, found, str(folder))
    return 0 if found.ok else DAMAGED


def as_json(finding: "Finding") -> dict[str, object]:
    """Returns a finding as JSON values."""
    told: dict[str, object] = {
        "code": finding.code,
        "file": finding.file,
        "offset": finding.offset,
        "length": finding.length,
        "reason": finding.reason,
    }
    if finding.count > 1:
        told |= {"count": finding.count}
    if finding.node_id is not None:
        told |= {"node_id": finding.node_id, "seq": finding.seq}
    return told


def _say(voice: Voice, found: "Verification", folder: str) -> None:
    from thence.cli.render import counted, plain

    _say_findings(voice, found.damage, "damage")
    _say_findings(voice, found.notes, "noted")
    foreign = f", {found.unverified:,} of them unverified" if found.unverified else ""
    events = counted(found.events, "event")
    if found.ok:
        voice.say(plain(f"ok: {events}{foreign}, no damage in {folder}"))
        return
    damage = counted(sum(finding.count for finding in found.damage), "finding")
    voice.say(plain(f"not ok: {events}{foreign}, {damage} of damage in {folder}"))
    voice.note(f"what each code means and what to do: {PAGE}")


def _say_findings(voice: Voice, findings: "tuple[Finding, ...]", word: str) -> None:
    from thence.cli.render import counted, wrapped

    shown = findings if voice.is_verbose else findings[:FINDINGS_SHOWN_MAX]
    for finding in shown:
        place = f"{finding.file} at byte {finding.offset:,}: " if finding.file else ""
        many = f" ({finding.count:,} times)" if finding.file and finding.count > 1 else ""
        text = f"{word}: {place}{finding.reason}{many} ({finding.code})"
        voice.say(wrapped(text, voice.width, "", "    "))
    if len(shown) < len(findings):
        voice.say(f"{word}: {counted(len(findings) - len(shown), 'more finding')}; -v shows all")
