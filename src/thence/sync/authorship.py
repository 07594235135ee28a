"""The part of a round that is about who wrote a line: claims, redactions, contested ids.

A push is signed over lines that the log wrote under its present node. What bears the node and came
from elsewhere is disowned, and what bears an earlier node may have: neither is signed.
"""

from collections.abc import Callable, Collection
from contextlib import suppress

from thence.core.event import Event
from thence.core.values.codec import parse
from thence.core.values.digests import BODY_DIGEST, same_line_key
from thence.core.wire.authorship import Redaction, Signer, digests_by_id, superseded
from thence.core.wire.messages import PAGE_EVENTS_MAX
from thence.errors import BadAnswer, SyncRefused
from thence.index import lookup
from thence.log.storage.digest_files import read_disowned, read_outranked
from thence.log.storage.disk import wall_ns
from thence.log.storage.disk_errors import DiskError, append_error, reading
from thence.log.storage.identity import known_node_id, renew
from thence.replica import Disk, Log, now
from thence.sync.client import SyncClient
from thence.sync.outbox import CLAIMED, CONTESTED, Outbox
from thence.sync.redaction import apply_redactions, own_nodes

_CONTESTED_MAX = 1_000
# of so many ids with several lines; of others the log does not look
_CONTESTED_SEEN_MAX = 10_000
# whether a line is of a class, by its node and D
Chosen = Callable[[str, bytes], bool]


class Authorship:
    """The authorship of the lines of one log and one server; without a signer none is signed."""

    def __init__(
        self, log: Log, outbox: Outbox, transport: SyncClient, signer: Signer | None, disk: Disk
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
            with suppress(SyncRefused, BadAnswer):
                self._transport.claim(self._signer.public_key, nodes)
                self._outbox.set_note(CLAIMED, claim)

    def own_line(self) -> Chosen:
        """Returns what tells the lines that the log wrote under its present node."""
        with reading(self._log.folder):
            present = known_node_id(self._disk, self._log.folder)
            disowned = read_disowned(self._disk, self._log.folder).get(present, frozenset())
        return lambda node, digest: node == present != "" and digest not in disowned

    def send_again(self, relayed: Collection[bytes]) -> None:
        """Lets own lines be brought again, and signed, that the server has by others alone."""
        is_own = self.own_line()
        with reading(self._log.folder):
            node = known_node_id(self._disk, self._log.folder)
        self._outbox.send_again(node, lambda digest: digest in relayed and is_own(node, digest))

    def leave_reused_node(self) -> bool:
        """Gives a log that was restored from an old copy another node; reports whether it did.

        It was restored if the server has a line under its node, signed by its own key, that came
        from elsewhere, and the log itself gave the number to another line, or never got so far. A
        line that damage took from it leaves a hole, and is no sign. Raises LogBusy, LogReadOnly,
        AppendFailed.
        """
        if self._signer is None:
            return False
        try:
            node = known_node_id(self._disk, self._log.folder)
            disowned = read_disowned(self._disk, self._log.folder).get(node, frozenset())
            again = self._outbox.given_again(node, disowned)
            if not again or not self._transport.signed(again):
                return False
            if self._transport.keys().claims.get(node) != self._signer.public_key:
                return False
            return renew(self._disk, self._log.folder, node, wall_ns() / 1e9, is_forced=True)
        except DiskError as error:
            raise append_error(self._log.folder, error) from error

    def settle_bodies(self) -> int:
        """Makes lines redacted that count as such, others whole; returns how many changed.

        An own redaction counts at once, one by anybody else if the server has redacted the line. A
        line without its body that the server has whole gets it back.
        """
        redactions = self._log.redactions.digests()
        waiting = [one for one in self._outbox.redactions() if one.digest not in redactions]
        is_own = self.own_line() if waiting else None
        own = [
            one.redaction
            for one in waiting
            if is_own
            and is_own(one.notice.node, one.notice.digest)
            and self._can_be_redacted(one.redaction)
        ]
        changed = apply_redactions(self._log, self._outbox, own) if own else 0
        lacking = self._outbox.redacted_lines() - redactions
        unsettled = lacking.union(one.digest for one in waiting)
        unsettled -= {redaction.digest for redaction in own}
        return changed + self._settle(sorted(unsettled), lacking)

    def _can_be_redacted(self, redaction: Redaction) -> bool:
        """Reports whether the log has the line, with numbers, and it is no notice."""
        lines = self._log.answers.held([redaction.event_id], ()).lines
        return any(
            same_line_key(event) == redaction.digest
            and not event.is_foreign
            and not self._log.vocabulary.is_notice(event)
            for event in lines.get(redaction.event_id, ())
        )

    def _settle(self, digests: list[bytes], lacking: Collection[bytes]) -> int:
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
        changed = apply_redactions(self._log, self._outbox, redacted) if redacted else 0
        if whole:
            changed += self._log.redactions.complete(whole)
            self._outbox.update()
        return changed

    def supersede(self) -> None:
        """Has of several lines of an id the one served that the owner of its node pushed.

        At most 1,000 ids are asked about; where there are more, the next call asks about others.
        """
        before = self._outbox.note(CONTESTED)
        if not before or self._log.answers.lacks_index():
            return
        contested = self._contested()
        rest = [event_id for event_id in contested if event_id > before[1:]] or list(contested)
        names = rest[:_CONTESTED_MAX]
        lines = {event_id: contested[event_id] for event_id in names}
        digests = sorted(set().union(*lines.values()))
        signed: set[bytes] = set()
        for at in range(0, len(digests), PAGE_EVENTS_MAX):
            signed.update(self._transport.signed(digests[at : at + PAGE_EVENTS_MAX]))
        others = superseded(lines, signed)
        if others:
            self._log.redactions.outrank(digest for group in others.values() for digest in group)
        unsettled = len(contested) - len(others)
        note = "" if not unsettled else f"+{names[-1]}" if unsettled > len(names) else "+"
        if note != before:
            self._outbox.set_note(CONTESTED, note)

    def _contested(self) -> dict[str, frozenset[bytes]]:
        """Returns D of the lines of each id of which several may be served, in order."""
        answers = self._log.answers
        named = lookup.contested(answers.index(), _CONTESTED_SEEN_MAX)
        if not named:
            return {}
        with reading(self._log.folder):
            outranked = read_outranked(self._disk, self._log.folder)
        lines = digests_by_id(answers.held(named, ()).lines)
        rest = {event_id: lines[event_id] - outranked for event_id in named if event_id in lines}
        return {event_id: digests for event_id, digests in rest.items() if len(digests) > 1}
