"""The authorship of lines: who wrote one, and who may take back what it says.

A push is signed over lines of the log's present node, all of which it wrote: what bears an earlier
node may have come from elsewhere. A redaction is by the key that owns the line's node, or by an
admin's. The order is that of what must survive a kill: a `log.redacted`, then the body goes.
Whatever is missing after a kill, the same call again completes.
"""

from collections.abc import Callable, Collection, Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thence.core.bodies import BodySource
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.redaction import BODY_DIGEST, Redaction, same_line_key
from thence.core.redaction import digests as digests_of
from thence.errors import SuppressCodes, ThenceError
from thence.log.files.disk import reading
from thence.log.files.identity import known_node_id, known_node_ids
from thence.log.open import OS_DISK, Disk, Log, now
from thence.sync.outbox import CLAIMED, Outbox
from thence.sync.wire.messages import PAGE_EVENTS_MAX
from thence.sync.wire.signatures import REDACTED, Signer, TeamKeys, signed_redaction

if TYPE_CHECKING:
    from thence.sync.client import SyncClient

_REASON_CHARACTERS_MAX = 500
# whether a line is of a class, by its node and D
Chosen = Callable[[str, bytes], bool]


class Authorship:
    """The authorship of the lines of one log and one server; without a signer none is signed."""

    def __init__(
        self, log: Log, outbox: Outbox, transport: "SyncClient", signer: Signer | None, disk: Disk
    ) -> None:
        self._log = log
        self._outbox = outbox
        self._transport = transport
        self._signer = signer
        self._disk = disk

    def claim(self) -> None:
        """Registers the signer's key, and claims the log's own nodes for it, once a day.

        An admin who has written nothing may redact by it. A server that was restored from a backup
        may have lost a claim.
        """
        if self._signer is None:
            return
        nodes = own_nodes(self._log.folder, self._disk)
        claim = " ".join((now()[:10], self._signer.public_key, *nodes))
        if self._outbox.note(CLAIMED) != claim:
            # refused to a reader, and by a server without keys
            with SuppressCodes("sync_refused", "bad_answer"):
                self._transport.claim(self._signer.public_key, nodes)
                self._outbox.set_note(CLAIMED, claim)

    def own_line(self) -> Chosen:
        """Returns what tells the lines that the log wrote under its present node."""
        present = self._present_node()
        return lambda node, _: node == present != ""

    def send_again(self, relayed: Set[bytes]) -> None:
        """Lets own lines be brought again, and signed, that the server has by others alone."""
        self._outbox.send_again(self._present_node(), relayed)

    def _present_node(self) -> str:
        with reading(self._log.folder):
            return known_node_id(self._disk, self._log.folder)

    def settle_bodies(self, bodies: BodySource) -> int:
        """Makes lines redacted that count as such, others whole; returns how many changed.

        An own redaction counts at once, one by anybody else if the server has redacted the line. A
        line without its body that the server has whole gets it back, with its large values, which
        `bodies` has.
        """
        redactions = self._log.redactions.digests()
        waiting = [one for one in self._outbox.redactions() if one[1].digest not in redactions]
        is_own = self.own_line()
        own = [
            redaction
            for key, redaction in waiting
            if is_own(key.node, key.digest) and self._can_be_redacted(redaction)
        ]
        changed = apply_redactions(self._log, self._outbox, own)
        lacking = self._outbox.redacted_lines() - redactions
        unsettled = lacking.union(redaction.digest for _, redaction in waiting)
        unsettled -= {redaction.digest for redaction in own}
        return changed + self._settle(sorted(unsettled), lacking, bodies)

    def _can_be_redacted(self, redaction: Redaction) -> bool:
        """Reports whether the log has the line, with numbers, and it is no notice."""
        return any(
            same_line_key(event) == redaction.digest
            and not event.is_foreign
            and not self._log.vocabulary.is_notice(event)
            for event in self._log.lines_of(redaction.event_id)
        )

    def _settle(self, digests: list[bytes], lacking: Collection[bytes], bodies: BodySource) -> int:
        redacted: list[Redaction] = []
        whole: list[bytes] = []
        for at in range(0, len(digests), PAGE_EVENTS_MAX):
            named = digests[at : at + PAGE_EVENTS_MAX]
            for line in self._transport.lines(named):
                event = parse(line, self._log.vocabulary)
                if not isinstance(event, Event) or event.is_foreign:
                    continue
                digest = same_line_key(event)
                if BODY_DIGEST in event.members and digest in named:
                    redacted.append(Redaction(event.event_id, digest.hex()))
                elif digest in lacking:
                    whole.append(line)
        changed = apply_redactions(self._log, self._outbox, redacted)
        if whole:
            changed += self._log.redactions.complete(whole, bodies)
            self._outbox.update()
        return changed


class Redacted(NamedTuple):
    """The result of the redaction of an event, in lines that changed; 0 where nothing was left."""

    redaction: Redaction
    lines: int


def check_right(
    log: Log, event: Event, key: str, keys: TeamKeys | None, *, is_synced: bool
) -> None:
    """Raises `redaction_refused` for an event that can't be taken back, or not with this key.

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
    is_own = node in own_nodes(log.folder)
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
    raises, `read_failed`.
    """
    digest = digests_of(event.line).line
    with closing(Outbox(disk, log.folder, log.vocabulary, target)) as outbox:
        outbox.update()
        new = signed_redaction(signer, event.event_id, digest, reason[:_REASON_CHARACTERS_MAX])
        earlier = (one for _, one in outbox.redactions() if one.digest == digest)
        # one by another key may not count
        own = next((one for one in earlier if one.public_key == new.public_key), None)
        if own is None:
            log.redactions.record(REDACTED, new.facts(), (event.event_id,))
            outbox.update()
        return Redacted(own or new, apply_redactions(log, outbox, [new]))


def apply_redactions(log: Log, outbox: Outbox, redactions: Sequence[Redaction]) -> int:
    """Removes bodies wherever the log holds them; returns how many lines changed."""
    if not redactions:
        return 0
    changed = log.redactions.take_back(redactions)
    outbox.redact_pulled(redaction.digest for redaction in redactions)
    outbox.update()
    return changed


def own_nodes(folder: Path, disk: Disk = OS_DISK) -> list[str]:
    """Returns all nodes under which a log was written, sorted; raises `read_failed`."""
    with reading(folder):
        return sorted(known_node_ids(disk, folder))


def is_redacted(log: Log, event: Event) -> bool:
    """Reports whether what an event said was redacted for good."""
    return BODY_DIGEST in event.members and digests_of(event.line).line in log.redactions.digests()


def _refused(event: Event, cause: str, hint: str = "") -> ThenceError:
    return ThenceError(
        "could not redact",
        place=event.event_id,
        cause=cause,
        hint=hint or "see: thence show",
        code="redaction_refused",
    )
