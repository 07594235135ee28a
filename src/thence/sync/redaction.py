"""The redaction of what one event says: by the key that owns its node, or by an admin's.

The order is that of what must survive a kill: a `log.redacted`, then the body goes. Whatever is
missing after a kill, the same call again completes.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.digests import BODY_DIGEST, digests
from thence.core.wire.authorship import (
    REDACTED,
    Redaction,
    Signer,
    TeamKeys,
    signed_redaction,
)
from thence.errors import RedactionRefused
from thence.log.storage.digest_files import Disowned
from thence.log.storage.disk_errors import reading
from thence.log.storage.identity import known_node_ids
from thence.replica import OS_DISK, Disk, Log
from thence.sync.outbox import Outbox

_REASON_CHARACTERS_MAX = 500


class Redacted(NamedTuple):
    """The result of the redaction of an event, in lines that changed; 0 where nothing was left."""

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


def redact(
    log: Log, event: Event, reason: str, signer: Signer, *, target: str = "", disk: Disk = OS_DISK
) -> Redacted:
    """Redacts an event in this log, and leaves the signed notice that makes others follow.

    `target` is the key of the log's sync target. Check the right before. Raises what an append
    raises, ReadFailed.
    """
    digest = digests(event.line).line
    with closing(Outbox(disk, log.folder, log.vocabulary, target)) as outbox:
        outbox.update()
        new = signed_redaction(signer, event.event_id, digest, reason[:_REASON_CHARACTERS_MAX])
        earlier = (one.redaction for one in outbox.redactions() if one.digest == digest)
        # one by another key may not count
        own = next((one for one in earlier if one.public_key == new.public_key), None)
        if own is None:
            log.redactions.record(REDACTED, new.facts(), (event.event_id,))
            outbox.update()
        return Redacted(own or new, apply_redactions(log, outbox, [new]))


def apply_redactions(log: Log, outbox: Outbox, redactions: Sequence[Redaction]) -> int:
    """Removes bodies wherever the log holds them; returns how many lines changed."""
    changed = log.redactions.take_back(redactions)
    outbox.forget_pulled(redaction.digest for redaction in redactions)
    outbox.update()
    return changed


def own_nodes(folder: Path, disk: Disk = OS_DISK) -> list[str]:
    """Returns all nodes under which a log was written, sorted; raises ReadFailed."""
    with reading(folder):
        return sorted(known_node_ids(disk, folder))


def is_redacted(log: Log, event: Event) -> bool:
    """Reports whether what an event said was redacted for good."""
    return BODY_DIGEST in event.members and digests(event.line).line in log.redactions.digests()


def _refused(event: Event, cause: str, hint: str = "") -> RedactionRefused:
    return RedactionRefused(
        "could not redact", place=event.event_id, cause=cause, hint=hint or "see: thence show"
    )
