"""The part of a round that is about who wrote a line: seals, redactions, and missing bodies."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from thence.core.values.digests import BODY_DIGEST
from thence.core.wire.messages import PAGE_EVENTS_MAX
from thence.core.wire.seals import Signer, outranked, places_of
from thence.errors import AppendFailed, BadAnswer, LogBusy, LogReadOnly, SyncRefused
from thence.replica import Disk, Log, now
from thence.sync.client import SyncClient
from thence.sync.held_lines import HeldLine, HeldLines
from thence.sync.restored_logs import leave_reused_node
from thence.sync.sealing import authored, own_nodes, proven, seal_own_lines
from thence.sync.taking_back import carry_out

_BODY_DIGEST = f'"{BODY_DIGEST}":'.encode()


class AuthoredLines:
    """The authored lines of one log and one server; without a signer nothing is sealed."""

    def __init__(
        self, log: Log, held: HeldLines, transport: SyncClient, signer: Signer | None, disk: Disk
    ) -> None:
        self._log = log
        self._held = held
        self._transport = transport
        self._signer = signer
        self._disk = disk

    def seal(self) -> int:
        """Claims the log's own nodes and seals their lines; returns how many seals were made."""
        if self._signer is None:
            return 0
        nodes = own_nodes(self._log.folder, self._disk)
        # once a day: a server that was restored from a backup may have lost a claim
        claim = " ".join((now()[:10], self._signer.public_key, *nodes))
        if nodes and not self._held.has_claimed(claim):
            # refused to a reader, and by a server without keys
            with suppress(SyncRefused, BadAnswer):
                self._transport.claim(self._signer.public_key, nodes)
                self._held.set_claimed(claim)
        # unsealed lines are brought all the same, also from a disk that is full
        with suppress(AppendFailed, LogReadOnly, LogBusy):
            return seal_own_lines(self._log, self._held, self._signer, self._disk)
        return 0

    def leave_reused_node(self) -> bool:
        """Gives the log another node if its own seals show that it was restored; reports it."""
        if self._signer is None:
            return False
        return leave_reused_node(self._log, self._held, self._signer.public_key, self._disk)

    def take_back(self) -> int:
        """Carries out the proven redactions that the log holds; returns how many lines changed."""
        known = self._log.redactions.digests()
        held = self._held.notices.redactions()
        waiting = [each for each in held if each.redaction.digest not in known]
        found = proven(self._held, self._transport.keys(), waiting) if waiting else []
        return carry_out(self._log, self._held, found) if found else 0

    def outrank(self) -> None:
        """Has the lines of contested ids served that seals prove to be their nodes'."""
        contested = self._held.notices.contested()
        if not contested:
            return
        groups = places_of(self._log.answers.held(contested, ()).lines)
        places = [place for group in groups.values() for place in group]
        found = outranked(groups, authored(self._held, self._transport.keys(), places))
        if found:
            self._log.redactions.outrank(digest for each in found.values() for digest in each)
            self._held.notices.settle(found)

    def complete(self, withheld: Collection[bytes]) -> int:
        """Gives withheld lines their bodies, where the server has them; returns how many.

        The server is not asked for those that it named as withheld itself.
        """
        lacking = self._held.notices.redacted_lines() - self._log.redactions.digests()
        lacking = lacking.difference(withheld)
        wanted = sorted(lacking)[:PAGE_EVENTS_MAX]
        found = self._transport.lines(wanted) if wanted else ()
        whole = [line for line in found if _BODY_DIGEST not in line]
        changed = self._log.redactions.complete(whole) if whole else 0
        if changed:
            self._held.update()
        return changed

    def whole(self, withheld: Iterable[bytes]) -> Iterator[HeldLine]:
        """Yields those lines whose bodies the server lacks and the log holds."""
        wanted = sorted(set(withheld) - self._log.redactions.digests())
        for one in self._held.named(wanted):
            if _BODY_DIGEST not in one.line:
                yield one
