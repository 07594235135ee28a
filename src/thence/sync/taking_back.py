"""The taking back of what one event says: by the key of the node that wrote it, or by an admin's.

The order is that of what must survive a kill: a `log.redacted`, a seal over it, then the body goes.
Whatever is missing after a kill, the same call again completes.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.digests import BODY_DIGEST, digests
from thence.core.wire.seals import REDACTED, Redaction, Signer, TeamKeys
from thence.errors import RedactionRefused
from thence.log.storage.digest_files import Disowned
from thence.log.storage.disk_errors import reading
from thence.replica import OS_DISK, Disk, Log
from thence.sync.held_lines import HeldLines
from thence.sync.held_notices import HeldRedaction
from thence.sync.sealing import own_nodes, seal_own_lines

_REASON_CHARACTERS_MAX = 500


class TakenBack(NamedTuple):
    """The result of taking an event back, in lines that changed; 0 where nothing was left."""

    redaction: Redaction
    lines: int


def check_right(
    log: Log, event: Event, key: str, keys: TeamKeys | None, *, is_synced: bool
) -> None:
    """Raises RedactionRefused for an event that can't be taken back, or not with this key.

    `key` is the user's public key, "" without one; `keys` are those of the team, None where its
    server was not asked. In a log that is not synced every line is its owner's.
    """
    if event.is_foreign:
        raise _refused(event, "another tool wrote it, without numbers and digests")
    if log.vocabulary.is_notice(event):
        raise _refused(event, "it is a notice of the log about itself, and holds no text of yours")
    if not is_synced:
        return
    node = event.node_id
    claimed = keys.claims.get(node) if keys else None
    with reading(log.folder):
        is_disowned = Disowned(OS_DISK, log.folder).holds(event)
    is_own = node in own_nodes(log.folder) and not is_disowned
    if is_own and claimed in (None, key):
        return
    if keys is not None and keys.may_redact(key, node):
        return
    whose = "this log" if is_own else f"node {node}"
    raise _refused(
        event,
        f"{whose} wrote it, and your key is neither that node's nor an admin's",
        "ask who wrote it, or an admin of the team, to redact it"
        if keys
        else "try again when the server can be reached: an admin may do it",
    )


def take_back(
    log: Log, event: Event, reason: str, signer: Signer, *, target: str = "", disk: Disk = OS_DISK
) -> TakenBack:
    """Takes back what an event says in this log, and leaves the proof by which others do.

    `target` is the key of the log's sync target. Check the right before. Raises what an append
    raises, ReadFailed.
    """
    digest = digests(event.line).line
    with closing(HeldLines(disk, log.folder, log.vocabulary, target)) as held:
        held.update()
        known = _own(held.notices.redactions(), digest, own_nodes(log.folder, disk))
        wanted = Redaction(event.event_id, digest.hex(), reason[:_REASON_CHARACTERS_MAX])
        if known is None:
            facts = {"event_id": wanted.event_id, "line_sha256": wanted.line_sha256}
            facts |= {"reason": wanted.reason} if reason else {}
            log.redactions.record(REDACTED, facts, (event.event_id,))
            held.update()
        seal_own_lines(log, held, signer, disk)
        return TakenBack(known or wanted, carry_out(log, held, [wanted]))


def carry_out(log: Log, held: HeldLines, redactions: Sequence[Redaction]) -> int:
    """Takes bodies back wherever the log holds them; returns how many lines changed."""
    changed = log.redactions.take_back(redactions)
    held.parked.unpark("pull", [each.digest for each in redactions])
    held.update()
    return changed


def is_taken_back(log: Log, event: Event) -> bool:
    """Reports whether what an event said was taken back for good."""
    return BODY_DIGEST in event.members and digests(event.line).line in log.redactions.digests()


def _own(held: Sequence[HeldRedaction], digest: bytes, nodes: Sequence[str]) -> Redaction | None:
    """Returns the redaction of a line that this log itself recorded."""
    found = (each.redaction for each in held if each.node in nodes)
    return next((redaction for redaction in found if redaction.digest == digest), None)


def _refused(event: Event, cause: str, hint: str = "") -> RedactionRefused:
    return RedactionRefused(
        "could not redact", place=event.event_id, cause=cause, hint=hint or "see: thence show"
    )
