"""The command `redact`: removes what one event says."""

from contextlib import closing

import click

from thence.cli.commands.sync.syncing import check_packages, project_of
from thence.cli.frame import check_agreed, help_with, log_options
from thence.cli.output import current
from thence.cli.shared.logs import command, find_event, names_event, open_for_reading
from thence.core.redaction import BODY_DIGEST, same_line_key
from thence.errors import ThenceError

_REMAINS = (
    "git commits, other people's copies, archives, backups and exports, which keep it",
    "people who have read it",
)


@click.command(
    "redact",
    **help_with("thence redact 01JQXW5D8GSCGYB15ZC3R10NTF --reason 'a password' --yes"),
)
@click.argument("event")
@click.option("--reason", metavar="TEXT", default="", help="The reason; anyone can read it.")
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what would be redacted.")
@log_options
def redact_command(
    event: str, reason: str, is_sure: bool, is_dry: bool, log_name: str | None
) -> None:
    """Remove an event's payload for good; the rest of the event stays.

    The event keeps its place, its type, its causes and its digests. With sync, the server and every
    clone follow, if your login wrote the event or you are an admin of the team.
    """
    check_packages()
    from thence.cli.shared.progress import bar
    from thence.sync.client import client_to
    from thence.sync.credentials import CredentialStore
    from thence.sync.redactions import check_right, redact
    from thence.sync.target import read_target
    from thence.work.journal.redacted_views import redact_files

    out = current()
    with open_for_reading(out, log_name, has=names_event(event)) as log:
        stored = find_event(out, log, event)
        target = read_target(log.folder)
        enabled = target if target is not None and target.is_enabled else None
        right = None
        if enabled is not None and stored.node_id:
            try:
                with closing(client_to(enabled, CredentialStore())) as client:
                    right = client.node_owner(stored.node_id)
            except ThenceError as error:
                cause = error.cause or error
                out.notice(f"note: the server was not asked whose event it is: {cause}")
        check_right(log, stored, right, is_synced=enabled is not None)
        is_done = BODY_DIGEST in stored.members
        is_done = is_done and same_line_key(stored) in log.redactions.digests()
        if not is_done:
            out.notice(f"to be redacted: {log.vocabulary.sentence(stored)}")
            if not (is_sure or is_dry):
                question, code = "It can't be undone. Redact it?", "redaction_refused"
                check_agreed(question, "did not redact", code, stored.event_id)
        lines, remains = 0, list(_REMAINS)
        if not is_dry:
            out.resumption = command(f"redact {stored.event_id} --yes", str(log.folder))
            with bar(out, "redacting every line of the event"):
                lines = redact(log, stored, reason)
                project = project_of(log.folder)
                if project is not None:  # its files hold copies
                    shared = redact_files(project, log)
                    lines += shared.redacted_count
                    remains = [*shared.unwritten, *remains]
    verb = "would be" if is_dry else "was already" if is_done else "was"
    notes = [f"not reached: {remaining}" for remaining in remains]
    if enabled is not None and not is_dry:
        notes.insert(0, f"carry it to team {enabled.team}: thence sync now")
    if not stored.members.get("nonce") and not is_done:
        notes.append("its digest stays, and it has no nonce: short text can be guessed from it")
    out.result(
        {"event_id": stored.event_id, "lines": lines, "remains": remains},
        [f"the payload of {stored.event_id} {verb} redacted"],
        notes,
    )
