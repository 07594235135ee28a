"""The redactions of a log's lines: who may take one back, and which count here.

A redaction counts if the login that pushes it owns the line's node, or is an admin's: the server
judges it. The order is that of what must survive a kill: a `log.redacted`, then the body goes.
Whatever is missing after a kill, the same call again completes.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from thence.core.bodies import BodySource
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.redaction import BODY_DIGEST, REDACTED, Redaction, same_line_key
from thence.core.redaction import digests as digests_of
from thence.errors import ThenceError
from thence.log.files.disk import reading
from thence.log.files.identity import known_node_ids
from thence.log.open import OS_DISK, Log
from thence.sync.outbox import Outbox
from thence.sync.target import read_target
from thence.sync.wire.messages import PAGE_EVENTS_MAX, NodeOwner

if TYPE_CHECKING:
    from thence.sync.client import SyncClient

_REASON_CHARACTERS_MAX = 500


def settle_bodies(log: Log, outbox: Outbox, transport: "SyncClient", bodies: BodySource) -> int:
    """Makes lines redacted that count as such, others whole; returns how many changed.

    An own redaction counts at once, one by anybody else if the server has redacted the line. A
    line without its body that the server has whole gets it back, with its large values, which
    `bodies` has.
    """
    redactions = log.redactions.digests()
    own = [
        redaction
        for redaction in outbox.redactions(are_own=True)
        if redaction.digest not in redactions
        and any(  # the log has the line, with numbers, and it is no notice
            same_line_key(event) == redaction.digest
            and not event.is_foreign
            and not log.vocabulary.is_notice(event)
            for event in log.lines_of(redaction.event_id)
        )
    ]
    changed = apply_redactions(log, outbox, own)
    lacking = outbox.redacted_lines() - redactions
    unsettled = {
        *lacking,
        *(redaction.digest for redaction in outbox.redactions(are_own=False)),
    }
    unsettled -= {*redactions, *(redaction.digest for redaction in own)}
    redacted: list[Redaction] = []
    whole: list[bytes] = []
    digests = sorted(unsettled)
    for at in range(0, len(digests), PAGE_EVENTS_MAX):
        named = digests[at : at + PAGE_EVENTS_MAX]
        for line in transport.lines(named):
            event = parse(line, log.vocabulary)
            if not isinstance(event, Event) or event.is_foreign:
                continue
            digest = same_line_key(event)
            if BODY_DIGEST in event.members and digest in named:
                redacted.append(Redaction(event.event_id, digest.hex()))
            elif digest in lacking:
                whole.append(line)
    changed += apply_redactions(log, outbox, redacted)
    if whole:
        changed += log.redactions.complete(whole, bodies)
        outbox.update()
    return changed


def left_to_others(log: Log, outbox: Outbox) -> list[str]:
    """Returns the ids of events whose redactions wait for who wrote the event, or an admin.

    They were redacted by others, which does not count here yet, or the server lacks them, and takes
    them without their bodies from these logins alone.
    """
    counting = log.redactions.digests()
    foreign = outbox.redactions(are_own=False)
    named = {one.event_id for one in foreign if one.digest not in counting}
    for one in outbox.left():
        event = parse(one.line, log.vocabulary)
        if isinstance(event, Event) and BODY_DIGEST in event.members:
            named.add(event.event_id)
    return sorted(named)


def check_right(log: Log, event: Event, right: NodeOwner | None, *, is_synced: bool) -> None:
    """Raises `redaction_refused` for an event that can't be taken back, or not by this login.

    `right` is what the server says of the event's node, None where it was not asked. In a log that
    is not synced every line is its owner's.
    """
    if event.is_foreign:
        raise _refused(event, "another tool wrote it, without numbers and digests")
    if log.vocabulary.is_notice(event):
        raise _refused(event, "it is the log's notice about itself, and holds no text of yours")
    if not is_synced:
        return
    if (right is None or right.owner is None) and event.node_id in own_nodes(log.folder):
        return  # the next batch names the node
    if right is None:
        cause = f"node {event.node_id} wrote it, and the server was not asked whose that is"
        raise _refused(event, cause, "try again when the server can be reached")
    if not right.may_redact:
        whose = f"{right.owner}'s" if right.owner else "no one's yet"
        raise _refused(
            event,
            f"node {event.node_id} wrote it, which is {whose}, and you are not an admin",
            "ask who wrote it, or an admin of the team, to redact it",
        )


def redact(log: Log, event: Event, reason: str) -> int:
    """Redacts an event in this log, and leaves the notice that makes others follow.

    Returns how many lines changed, 0 where nothing was left. Check the right before. Raises what an
    append raises, `read_failed`, SyncRefused.
    """
    log.refuse_mirror()
    digest, target = digests_of(event.line).line, read_target(log.folder)
    with closing(Outbox(log.folder, log.vocabulary, target.key if target else "")) as outbox:
        outbox.update()
        # one by another log may not count
        own = next((one for one in outbox.redactions(are_own=True) if one.digest == digest), None)
        if own is None:
            own = Redaction(event.event_id, digest.hex(), reason[:_REASON_CHARACTERS_MAX])
            log.redactions.record(REDACTED, own.facts(), (event.event_id,))
            outbox.update()
        return apply_redactions(log, outbox, [own])


def apply_redactions(log: Log, outbox: Outbox, redactions: Sequence[Redaction]) -> int:
    """Removes bodies wherever the log holds them; returns how many lines changed."""
    if not redactions:
        return 0
    changed = log.redactions.take_back(redactions)
    outbox.redact_pulled(redaction.digest for redaction in redactions)
    outbox.update()
    return changed


def own_nodes(folder: Path) -> list[str]:
    """Returns all nodes under which a log was written, sorted; raises `read_failed`."""
    with reading(folder):
        return sorted(known_node_ids(OS_DISK, folder))


def _refused(event: Event, cause: str, hint: str = "") -> ThenceError:
    return ThenceError(
        "could not redact",
        place=event.event_id,
        cause=cause,
        hint=hint or "see: thence show",
        code="redaction_refused",
    )
