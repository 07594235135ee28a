"""The sync engine: one round between a log and a server, without threads and without sleeping.

A round compares blocks, takes what the log lacks, and brings what the server lacks. The log is the
outbox: nothing is deleted when it is delivered. A line that got an answer is sent no more in the
same round, one that was refused in a batch of several in smaller ones, so that a round ends
whatever the server answers.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import chain

import msgspec

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.secrets import FoundSecret
from thence.core.wire.authorship import Signer
from thence.core.wire.blocks import Place, by_node, split_digests
from thence.core.wire.messages import (
    PAGE_EVENTS_MAX,
    BlockPlace,
    BlocksRequest,
    EventVerdict,
    batches,
)
from thence.errors import (
    BadAnswer,
    BatchRefused,
    CursorUnknown,
    InvalidEvent,
    ThenceError,
)
from thence.log.storage.numbering import CLOCK_AHEAD_MAX
from thence.replica import OS_DISK, Disk, Log
from thence.signing import known_key
from thence.sync.authorship import Authorship, Chosen
from thence.sync.client import SyncClient, client_to
from thence.sync.credentials import CredentialStore
from thence.sync.held_lines import HeldLine, HeldLines, digest_of, place_in
from thence.sync.parked_lines import ParkedLine
from thence.sync.target import enabled_target

# a server that refuses more lines than these in one round is taken for broken, not they for bad
PARKED_IN_ROUND_MAX = 100
# pages and answers about blocks in one round; more come from a server that never ends
PAGES_MAX = 100_000
# lines to take one by one; more of them come in pages
FETCHED_MAX = 10_000
# what a background service waits between two batches
BATCH_PAUSE_S = 5.0
_NO_ROOM = "too many lines came from elsewhere under this log's node; tomorrow it is taken"
_HINT = "see that the address is that of a server of thence: thence sync status --check"


class RoundProgress(msgspec.Struct, frozen=True):
    """The state of a round: lines taken so far, brought so far, and to be brought in all."""

    taken: int
    brought: int
    to_bring: int


class RoundResult(msgspec.Struct, frozen=True):
    """The result of a round, counted in lines.

    `left` are lines without a verdict, `parked` those kept back in all, `taken_back` the lines that
    are redacted from now on, or whole again; `error` is what ended the round early. `is_restored`
    is whether the log was found put back from an old copy.
    """

    taken: int
    delivered: int
    duplicate: int
    rejected: int
    left: int
    parked: int
    error: ThenceError | None = None
    taken_back: int = 0
    is_restored: bool = False

    @property
    def is_complete(self) -> bool:
        """True if nothing stayed behind on either side."""
        return self.error is None and not self.left and not self.parked


class SyncEngine:
    """The engine of one log and one server. Close it.

    Without a `transport` it is that of the log's enabled target and this user's login. The caller
    makes sure that one round runs at a time over all processes. `target` names server, team and
    log, so that another target gets the whole history. `progress` is called often. `pause` is
    called before a request with the seconds to wait, 5 between two batches, and ends the round by
    an error; a round of a command waits for nothing. Up to `fetched_max` lines are taken one by
    one, more of them in pages. A line in which `find_secret`, by default the built-in rules and the
    log's settings, finds one is parked, never sent. With a `signer` own lines are signed as they
    are brought. Raises ReadFailed, SyncRefused, NotLoggedIn.
    """

    def __init__(
        self,
        log: Log,
        transport: SyncClient | None = None,
        *,
        target: str = "",
        progress: Callable[[RoundProgress], None] | None = None,
        pause: Callable[[float], None] | None = None,
        fetched_max: int = FETCHED_MAX,
        find_secret: Callable[[bytes], FoundSecret | None] | None = None,
        signer: Signer | None = None,
        disk: Disk = OS_DISK,
    ) -> None:
        self._log = log
        if transport is None:
            own = enabled_target(log.folder)
            store = CredentialStore()
            transport, target = client_to(own, store), own.key
            signer = signer or known_key(store.folder)
        self._transport = transport
        self._progress = progress or _ignore
        self._pause = pause or _ignore
        self._fetched_max = fetched_max
        self._find_secret = find_secret or self._secret_in
        self._held = HeldLines(disk, log.folder, log.vocabulary, target)
        self._signer = signer
        self._authorship = Authorship(log, self._held, transport, signer, disk)
        self._reset()

    def round(self) -> RoundResult:
        """Runs one round and returns its result; an error that ends it early is part of that."""
        self._reset()
        error: ThenceError | None = None
        try:
            self._held.update()  # first: what is not known to be here can't be counted as left
            if self._relay(self._held.parked.pulled(), is_parked=True):
                self._held.update()
            self._authorship.claim()
            cursor = self._compare(self._fetched_max)
            if cursor is None:
                self._take()
                self._held.update()
                cursor = self._compare(None)
            try:
                self._fetch(self._held.differences.missing_here())
                self._held.move_cursor(cursor or "")
                self._is_restored = self._authorship.leave_reused_node()
                self._taken_back = self._authorship.settle_bodies()
                self._authorship.supersede()
            except BadAnswer:  # what the server withholds keeps nothing here
                self._bring()
                raise
            self._bring()
            self._held.differences.settle()
        except ThenceError as failure:
            error = failure
        left, parked = self._held.pending(), len(self._held.parked.all())
        return RoundResult(
            self._taken,
            self._delivered,
            self._duplicate,
            self._rejected,
            left,
            parked,
            error,
            self._taken_back,
            self._is_restored,
        )

    def pending(self) -> int:
        """Returns how many lines the server is not known to hold, without asking it."""
        self._held.update()
        return self._held.pending()

    def parked(self) -> list[ParkedLine]:
        """Returns the lines that are kept back, with the reasons."""
        return self._held.parked.all()

    def retry_parked(self) -> int:
        """Lets the next round send parked lines again, but no secrets; returns how many."""
        return self._held.parked.unpark("push")

    def send_parked(self, event_id: str) -> int:
        """Lets the next rounds send an event that seems to hold a secret; returns its lines."""
        return self._held.parked.confirm(event_id)

    def close(self) -> None:
        """Closes the engine; log and transport stay open."""
        self._held.close()

    def _reset(self) -> None:
        self._taken = self._delivered = self._duplicate = self._rejected = 0
        self._to_bring = self._parked_now = self._taken_back = 0
        self._relayed: set[bytes] = set()
        self._has_pushed = self._is_restored = False

    def _take(self) -> None:
        """Takes pages until the server has no more behind the cursor."""
        cursor = self._held.cursor
        self._pause(0.0)
        try:
            page = self._transport.page(cursor)
        except CursorUnknown:
            cursor = ""  # another server, or one restored from a backup: known lines cost little
            page = self._transport.page(cursor)
        passed = {hash(cursor)}
        for _ in range(PAGES_MAX):
            if page.more and (hash(page.next) in passed or not page.lines):
                raise _bad("a page of lines neither moves on nor ends")
            passed.add(hash(page.next))
            self._relay(page.lines)
            cursor = page.next
            self._held.move_cursor(cursor)
            if not page.more:
                return
            self._pause(0.0)
            page = self._transport.page(cursor)
        raise _bad("its pages have no end")

    def _relay(self, lines: Sequence[bytes], is_parked: bool = False) -> Sequence[Event]:
        """Appends lines durably, parks those that the log can't take, and returns the events.

        A line that is no event was damaged on its way: it is left out, and the comparison of blocks
        finds it missing.
        """
        if not lines:
            return ()
        found = self._log.relay(lines)
        taken = (*found.taken, *found.beside)
        self._taken += len(taken)
        kept_back = {event.line for event in found.parked}
        if is_parked:
            freed = [line for line in lines if line not in kept_back]
            self._held.parked.unpark("pull", map(self._digest, freed))
        for event in found.parked:
            is_far = event.lamport_clock > CLOCK_AHEAD_MAX
            reason = f"its clock, {event.lamport_clock}, is too far ahead" if is_far else _NO_ROOM
            parked = ParkedLine("pull", event.event_id, reason)
            digest = self._digest(event.line)
            self._held.parked.park(parked, place_in(event, digest), digest, event.line)
        self._report()
        return taken

    def _digest(self, line: bytes) -> bytes:
        """Returns the digest of a line, of one that is no event that of its bytes."""
        event = parse(line, self._log.vocabulary)
        if not isinstance(event, BadLine):
            try:
                return digest_of(event)
            except InvalidEvent:
                pass
        return sha256(line).digest()

    def _compare(self, limit: int | None) -> str | None:
        """Finds the lines that one side lacks; returns the cursor behind those that were compared.

        None means that the log lacks more than `limit` lines: then pages cost less.
        """
        nodes = by_node(self._held.differences.to_compare())
        theirs: dict[Place, frozenset[bytes]] = {}
        after: BlockPlace | None = None
        cursor: str | None = None
        key = self._signer.public_key if self._signer else ""
        missing = 0
        for _ in range(PAGES_MAX):
            self._pause(0.0)
            answer = self._transport.blocks(BlocksRequest(nodes, after, key))
            cursor = answer.cursor if cursor is None else cursor
            self._relayed.update(split_digests(answer.relayed))
            for block in answer.differing:
                place = Place(block.node, block.block)
                theirs[place] = frozenset(split_digests(block.digests))
                missing += self._held.differences.count_missing(place, theirs[place])
            if limit is not None and missing > limit:
                return None
            if answer.next is None:
                self._to_bring = self._held.differences.compare(theirs)
                return cursor
            if after is not None and _key(answer.next) <= _key(after):
                raise _bad("the pages of differing blocks go in a circle")
            after = answer.next
        raise _bad("its differing blocks have no end")

    def _bring(self) -> None:
        """Brings all lines that the server lacks, a batch after another; parks secrets.

        Redactions go first, so that no line that they name is taken with its body. Own lines are
        signed, also those that others have brought before, which go again.
        """
        is_own = self._authorship.own_line()
        redactions = {one.notice for one in self._held.notices.redactions()}
        relayed = self._authorship.relayed(self._relayed, is_own)
        for is_redaction in (True, False) if redactions else (False,):
            for is_signed in (True, False):

                def is_chosen(
                    node: str, digest: bytes, wanted: tuple[bool, bool] = (is_redaction, is_signed)
                ) -> bool:
                    return (digest in redactions, is_own(node, digest)) == wanted

                lines = self._lacking(is_chosen)
                if is_signed and not is_redaction:
                    lines = chain(relayed, lines)
                if not self._bring_all(lines, self._signer if is_signed else None):
                    return

    def _lacking(self, is_chosen: Chosen) -> Iterator[HeldLine]:
        return (one for one in self._held.lacking(is_chosen) if not self._is_kept_back(one))

    def _bring_all(self, lines: Iterator[HeldLine], signer: Signer | None) -> bool:
        """Brings lines; returns False if the server had no verdict for any of a batch."""
        held: dict[bytes, HeldLine] = {}

        def texts() -> Iterator[bytes]:
            for one in lines:
                if one.line not in held:  # a server may name as relayed what it lacks
                    held[one.line] = one
                    yield one.line

        for batch in batches(texts()):
            if not self._bring_batch([held.pop(line) for line in batch], signer):
                return False
        return True

    def _is_kept_back(self, one: HeldLine) -> bool:
        """Parks a line that seems to hold a secret, unless the user let it be sent."""
        found = self._find_secret(one.line)
        if found is None or self._held.parked.is_confirmed(one.digest):
            return False
        reason = f"it seems to hold a secret: {found.rule} in {found.path}"
        parked = ParkedLine("push", one.event_id, reason, is_secret=True)
        self._held.parked.park(parked, one.place, one.digest)
        self._to_bring -= 1
        return True

    def _secret_in(self, line: bytes) -> FoundSecret | None:
        return self._log.redact_settings.parking.found_in(line)

    def _bring_batch(
        self, group: Sequence[HeldLine], signer: Signer | None, is_again: bool = False
    ) -> bool:
        """Brings one batch; one that is refused is halved until the bad line stands alone.

        No line is parked for one refusal, which may be of bytes that were spoilt on their way.
        Returns False if the server had a verdict for none of them.
        """
        self._pause(BATCH_PAUSE_S if self._has_pushed else 0.0)
        self._has_pushed = True
        try:
            digests = [one.digest for one in group] if signer else ()
            verdicts = self._transport.batch([one.line for one in group], digests, signer)
        except BatchRefused as refused:
            if len(group) == 1 and not is_again:
                return self._bring_batch(group, signer, is_again=True)
            if len(group) == 1:
                self._park(group[0], refused.bad.get(group[0].event_id) or refused.cause, refused)
                return True
            half = len(group) // 2
            has_verdict = self._bring_batch(group[:half], signer, is_again=True)
            return self._bring_batch(group[half:], signer, is_again=True) or has_verdict
        statuses = _matched(group, verdicts)
        done = [one for one, verdict in statuses if verdict.status in ("success", "duplicate")]
        self._held.differences.deliver((one.place, one.digest) for one in done)
        duplicates = sum(verdict.status == "duplicate" for _, verdict in statuses)
        self._duplicate += duplicates
        self._delivered += len(done) - duplicates
        has_verdict = bool(done)
        for one, verdict in statuses:
            if verdict.status == "rejected":
                has_verdict = True
                self._park(one, verdict.error_message or verdict.error or "no reason given", None)
        self._report()
        return has_verdict

    def _park(self, one: HeldLine, reason: str, error: BatchRefused | None) -> None:
        self._parked_now += 1
        if self._parked_now > PARKED_IN_ROUND_MAX:
            raise _bad(f"it refuses line after line: {reason}") from error
        self._rejected += 1
        self._held.parked.park(ParkedLine("push", one.event_id, reason), one.place, one.digest)

    def _fetch(self, missing: Sequence[bytes]) -> None:
        """Fetches lines that the server listed and the log lacks."""
        for at in range(0, len(missing), PAGE_EVENTS_MAX):
            wanted = list(missing[at : at + PAGE_EVENTS_MAX])
            while wanted:
                self._pause(0.0)
                found = {self._digest(line): line for line in self._transport.lines(wanted)}
                lines = [found[digest] for digest in wanted if digest in found]
                if not lines:
                    raise _bad("it lists lines that it does not give")
                taken = self._relay(lines)
                self._held.update()
                digests = [(event, self._digest(event.line)) for event in taken]
                self._held.differences.deliver((place_in(*each), each[1]) for each in digests)
                wanted = [digest for digest in wanted if digest not in found]

    def _report(self) -> None:
        brought = self._delivered + self._duplicate + self._rejected
        self._progress(RoundProgress(self._taken, brought, max(self._to_bring, brought)))


def _matched(
    group: Sequence[HeldLine], verdicts: Sequence[EventVerdict]
) -> list[tuple[HeldLine, EventVerdict]]:
    """Returns the verdict of each line that has one; an answer in order is matched by order."""
    ids = [one.event_id for one in group]
    if [verdict.event_id for verdict in verdicts] == ids:
        return list(zip(group, verdicts, strict=True))
    by_id = {verdict.event_id: verdict for verdict in verdicts}
    count = Counter(ids)
    # of two lines with one id nobody knows which one is meant
    return [
        (one, by_id[one.event_id])
        for one in group
        if count[one.event_id] == 1 and one.event_id in by_id
    ]


def _key(place: BlockPlace) -> Place:
    return Place(place.node, place.block)


def _bad(cause: str) -> BadAnswer:
    return BadAnswer("could not sync with the server", cause=cause, hint=_HINT)


def _ignore(_: object) -> None:
    """Leaves out a progress or a pause."""
