"""The sync engine: one round between a log and a server, without threads and without sleeping.

A round takes what lies behind a cursor, and brings what waits in the outbox. A server that does not
know a cursor any more is another one, or was restored: then all is taken anew. A line that got an
answer is sent no more in the same round, one that was refused in a batch of several in smaller
ones, so that a round ends whatever the server answers.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from thence.core.bodies import BODIES_SIGN, BodyMissing
from thence.core.clock import CLOCK_AHEAD_MAX
from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.secrets import FoundSecret
from thence.errors import InvalidEvent, SyncRefused, ThenceError
from thence.log.blobs.blob_files import Bodies
from thence.log.files.findings import Relayed
from thence.log.open import OS_DISK, Disk, Log
from thence.sync.client import SyncClient, client_to
from thence.sync.credentials import CredentialStore
from thence.sync.large_values import LargeValues
from thence.sync.outbox import LineKey, Outbox, OutboxLine, ParkedLine, key_of
from thence.sync.redactions import left_to_others, own_nodes, settle_bodies
from thence.sync.target import SyncReport, enabled_target
from thence.sync.wire.messages import (
    BODIES_MISSING,
    BODY_MISSING,
    OWN_NODES_MAX,
    BatchFailed,
    BatchRefused,
    Cursors,
    EventVerdict,
    batches,
)

# a server that refuses more lines than these in one round is taken for broken, not they for bad
PARKED_IN_ROUND_MAX = 100
# a server that fails at so many single lines, and takes nothing between, is down for this round
FAILED_IN_A_ROW_MAX = 3
# pages in one round; more come from a server that never ends
PAGES_MAX = 100_000
# what a background service waits between two batches
BATCH_PAUSE_S = 5.0
_NO_ROOM = "too many lines came from elsewhere under this log's node; tomorrow it is taken"
_VALUE_MISSING = "body_missing"
_HINT = "see that the address is that of a server of thence: thence sync status --check"


Progress = Callable[[int, int, int], None]


class SyncEngine:
    """The engine of one log and one server. Close it.

    Without a `transport` it is that of the log's enabled target and this user's login. The caller
    makes sure that one round runs at a time over all processes. `target` names server, team and
    log, so that another target gets the whole history. `progress` is called often with the lines
    taken so far, brought so far, and to be brought in all. `pause` is called before a request with
    the seconds to wait, 5 between two batches, and ends the round by an error; a round of a command
    waits for nothing. A line in which `find_secret`, by default the built-in rules and the log's
    settings, finds one is parked, never sent. With `pulls_only` nothing is pushed. Raises
    `read_failed`, SyncRefused, NotLoggedIn.
    """

    def __init__(
        self,
        log: Log,
        transport: SyncClient | None = None,
        *,
        target: str = "",
        progress: Progress | None = None,
        pause: Callable[[float], None] | None = None,
        find_secret: Callable[[bytes], FoundSecret | None] | None = None,
        pulls_only: bool = False,
        disk: Disk = OS_DISK,
    ) -> None:
        self._log = log
        if transport is None:
            own = enabled_target(log.folder)
            transport, target = client_to(own, CredentialStore()), own.key
        self._transport = transport
        self._progress = progress or _ignore
        self._pause = pause or _ignore
        self._find_secret = find_secret or self._secret_in
        self._outbox = Outbox(disk, log.folder, log.vocabulary, target)
        self._pulls_only = pulls_only
        self._disk = disk
        self._bodies = Bodies(disk, log.folder)
        self._reset()

    def round(self) -> SyncReport:
        """Runs one round and returns its report; an error that ends it early is part of that."""
        self._reset()
        error: ThenceError | None = None
        try:
            self._outbox.update()
            self._try_parked()
            try:
                self._exchange()
            except SyncRefused as refused:
                if refused.code != "cursor_unknown":
                    raise
                self._outbox.begin_anew()
                self._exchange()
        except ThenceError as failure:
            error = failure
            if failure.code == "cursor_unknown":
                error = _bad("it does not know a cursor that it has just given")
        return SyncReport(
            taken=self._taken,
            delivered=self._delivered,
            duplicate=self._duplicate,
            rejected=self._rejected,
            left=self._outbox.pending(),
            parked=self._outbox.parked_count(),
            error=error,
            taken_back=self._taken_back,
            is_restored=self._is_restored,
        )

    def pending(self) -> int:
        """Returns how many lines the server is not known to hold, without asking it."""
        self._outbox.update()
        return self._outbox.pending()

    def parked(self) -> list[ParkedLine]:
        """Returns the lines that are kept back, with the reasons."""
        return self._outbox.parked()

    def left(self) -> frozenset[bytes]:
        """Returns D of the lines that other logins are to bring."""
        self._outbox.update()
        return frozenset(one.key.digest for one in self._outbox.left())

    def left_to_others(self) -> list[str]:
        """Returns the ids of events whose redactions wait for their authors, or for an admin."""
        self._outbox.update()
        return left_to_others(self._log, self._outbox)

    def retry_parked(self) -> int:
        """Lets the next round send parked lines again, but no secrets; returns how many."""
        return self._outbox.retry()

    def send_parked(self, event_id: str) -> int:
        """Lets the next rounds send an event that seems to hold a secret; returns its lines."""
        return self._outbox.let_out(event_id)

    def close(self) -> None:
        """Closes the engine; log and transport stay open."""
        self._outbox.close()

    def _reset(self) -> None:
        self._taken = self._delivered = self._duplicate = self._rejected = 0
        self._to_bring = self._taken_back = 0
        self._nodes: Sequence[str] = ()
        self._has_pushed = self._is_restored = False
        self._failed_in_a_row = 0
        self._failure: BatchFailed | None = None
        self._values = LargeValues(self._bodies, self._transport, self._pause)

    def _exchange(self) -> None:
        try:
            self._take()
            self._taken_back = settle_bodies(self._log, self._outbox, self._transport, self._values)
        except SyncRefused as refused:
            if refused.code == "bad_answer":  # what the server withholds keeps nothing here
                self._bring()
            raise
        self._bring()

    def _take(self) -> None:
        """Takes pages until the server has no more behind the cursor."""
        passed: set[int] = set()
        is_again = False
        for _ in range(PAGES_MAX):
            before = self._outbox.cursors
            self._pause(0.0)
            page = self._transport.page(*before)
            passed.add(hash(before.after))
            if page.more and (hash(page.next) in passed or not page.lines):
                raise _bad("a page of lines neither moves on nor ends")
            if not self._relay(page.lines, page.next, before, is_again=is_again):
                # damaged on its way, or by the server, which has the same page again then
                if is_again:
                    raise _bad("a line in its page is not an event")
                is_again = True
                continue
            is_again = False
            if not page.more:
                return
        raise _bad("its pages have no end")

    def _relay(
        self, lines: Sequence[bytes], following: str, before: Cursors, *, is_again: bool
    ) -> bool:
        """Appends lines durably, parks those that the log can't take, then moves the cursor.

        Returns False if a line is no event, and then leaves the cursor where it is; so it does the
        first time if a large value of a line can't be had, which may have been spoilt on its way.
        """
        moved = before._replace(after=following)
        if not lines:
            if moved != before:
                self._outbox.deliver((), moved, before)
            return True
        relayed = self._relayed_to_log(lines)
        lost = [  # events of which a large value can't be had, with which and why
            (Event(line, None, self._log.vocabulary), bad.reason)
            for line, bad in relayed.bad
            if is_again and bad.code == _VALUE_MISSING
        ]
        lacking = {line for line, _ in relayed.bad}
        lacking.difference_update(event.line for event, _ in lost)
        new = {event.line for event in (*relayed.taken, *relayed.beside)}
        self._taken += len(new)
        apart = new.union(event.line for event in relayed.parked)
        apart.update(event.line for event, _ in lost)
        keys = [
            None if line in lacking else self._key_of(line) for line in lines if line not in apart
        ]
        held = [key for key in keys if key is not None]
        is_whole = len(held) == len(keys)
        with self._outbox.at_once():
            self._outbox.park_pulled((event, _reason(event)) for event in relayed.parked)
            self._outbox.park_pulled(lost)
            self._outbox.update(new)
            self._outbox.deliver(held, moved if is_whole else before, before, are_pulled=True)
        self._report()
        return is_whole

    def _relayed_to_log(self, lines: Sequence[bytes]) -> Relayed:
        """Relays lines with their large values, which are asked of the server where they lack."""
        events = [Event(line, None, self._log.vocabulary) for line in lines if BODIES_SIGN in line]
        self._values.expect(entry for event in events for entry in event.body_entries)
        relayed = self._log.relay(lines, self._values)
        self._is_restored = self._is_restored or relayed.renewed
        return relayed

    def _key_of(self, line: bytes) -> LineKey | None:
        """Returns the key of a line, None for one that is no event."""
        event = parse(line, self._log.vocabulary)
        try:
            return None if isinstance(event, BadLine) else key_of(event)
        except InvalidEvent:
            return None

    def _try_parked(self) -> None:
        """Relays the lines that the log could not take before."""
        lines = self._outbox.pulled()
        if lines:
            relayed = self._relayed_to_log(lines)
            parked = {event.line for event in relayed.parked} | {line for line, _ in relayed.bad}
            freed = [line for line in lines if line not in parked]
            self._taken += len(relayed.taken) + len(relayed.beside)
            self._outbox.update(frozenset(freed))
            keys = map(self._key_of, freed)
            self._outbox.forget_pulled(key.digest for key in keys if key is not None)

    def _bring(self) -> None:
        """Brings all lines that the server lacks, a batch after another; parks secrets.

        Own redactions go last: the lines that they name are there then, and those that the log has
        redacted go without their bodies. Those by others wait for them.
        """
        if self._pulls_only:
            return
        self._nodes = own_nodes(self._log.folder, self._disk)[:OWN_NODES_MAX]
        self._to_bring = self._outbox.pending()
        for are_redactions in (False, True):
            if not self._bring_all(self._outbox.waiting(are_redactions=are_redactions)):
                break
        if self._failure is not None:
            raise self._failure

    def _bring_all(self, lines: Iterator[OutboxLine]) -> bool:
        """Brings lines; returns False if the server had no verdict for any of a batch."""
        group: dict[bytes, OutboxLine] = {}

        def texts() -> Iterator[bytes]:
            for one in lines:
                if not self._is_kept_back(one):
                    group[one.line] = one
                    yield one.line

        for batch in batches(texts()):
            ready = self._with_values([group.pop(line) for line in batch])
            if ready and not self._bring_batch(ready):
                return False
        return True

    def _with_values(self, group: Sequence[OutboxLine]) -> list[OutboxLine]:
        """Brings the large values of lines; returns those lines of which the server has all.

        One whose value the log has not whole any more is parked, unless it was redacted meanwhile.
        """
        return [one for one in group if BODIES_SIGN not in one.line or self._has_brought(one)]

    def _has_brought(self, one: OutboxLine) -> bool:
        """Brings the large values of a line; parks it where it is refused them twice.

        Where the server fails at them twice the line waits for the next round.
        """
        entries = Event(one.line, None, self._log.vocabulary).body_entries
        try:
            try:
                self._values.bring(entries)
            except (BatchRefused, BatchFailed):  # its bytes may have been spoilt on their way
                self._values.bring(entries)
        except BatchFailed as failed:
            self._fail(one, failed)
            return False
        except BodyMissing as error:
            self._keep_damaged(one, error)
            return False
        except BatchRefused as refused:
            self._park(one, refused.cause, refused)
            return False
        return True

    def _keep_damaged(self, one: OutboxLine, error: BodyMissing) -> None:
        """Parks a line of which a large value can't be read, if the log has the line still."""
        lines = self._log.lines_of(one.event_id)
        if any(event.line == one.line for event in lines):
            self._outbox.park(one.key, str(error))
            self._to_bring -= 1

    def _is_kept_back(self, one: OutboxLine) -> bool:
        """Parks a line that seems to hold a secret, unless the user let it be sent."""
        try:
            line = Event(one.line, None, self._log.vocabulary).whole_line
        except BodyMissing as error:
            self._keep_damaged(one, error)
            return True
        secret = None if one.is_let_out else self._find_secret(line)
        if secret is None:
            return False
        reason = f"it seems to hold a secret: {secret.rule} in {secret.path}"
        self._outbox.park(one.key, reason, is_secret=True)
        self._to_bring -= 1
        return True

    def _secret_in(self, line: bytes) -> FoundSecret | None:
        return self._log.redact_settings.parking.found_in(line)

    def _bring_batch(self, group: Sequence[OutboxLine], is_again: bool = False) -> bool:
        """Brings one batch; one that is refused is halved until the bad line stands alone.

        No line is parked for one refusal: a proxy may have altered what the server judged. A batch
        at which the server fails twice is halved too, and its line then waits for the next round.
        Returns False if the server had a verdict for none of them.
        """
        self._pause(BATCH_PAUSE_S if self._has_pushed else 0.0)
        self._has_pushed = True
        cursors = self._outbox.cursors
        try:
            results = self._transport.batch([one.line for one in group], self._nodes, cursors)
        except (BatchRefused, BatchFailed) as error:
            if not is_again and (len(group) == 1 or isinstance(error, BatchFailed)):
                return self._bring_batch(group, is_again=True)
            if len(group) == 1:
                if isinstance(error, BatchFailed):
                    self._fail(group[0], error)
                else:
                    self._park(group[0], error.bad.get(group[0].event_id) or error.cause, error)
                return True
            half = len(group) // 2
            has_verdict = self._bring_batch(group[:half], is_again=True)
            return self._bring_batch(group[half:], is_again=True) or has_verdict
        self._failed_in_a_row = 0
        statuses = _matched(group, results.results)
        done = [one for one, verdict in statuses if verdict.status in ("success", "duplicate")]
        moved = Cursors(results.after or cursors.after, results.seen or cursors.seen)
        self._outbox.deliver((one.key for one in done), moved, cursors)
        duplicates = sum(verdict.status == "duplicate" for _, verdict in statuses)
        self._duplicate += duplicates
        self._delivered += len(done) - duplicates
        has_verdict = bool(done)
        for one, verdict in statuses:
            if verdict.error == BODY_MISSING and one.key.node not in self._nodes:
                self._outbox.leave(one.key)  # its author or an admin brings it
                self._to_bring -= 1
                has_verdict = True
            elif verdict.status == "rejected":
                has_verdict = True
                self._park(one, verdict.error_message or verdict.error or "no reason given", None)
        self._report()
        lacking = [one for one, verdict in statuses if verdict.error == BODIES_MISSING]
        if lacking and not is_again:  # a redaction has swept, or the server was put back
            self._values.forget()
            ready = self._with_values(lacking)
            return (bool(ready) and self._bring_batch(ready, is_again=True)) or has_verdict
        return has_verdict

    def _park(self, one: OutboxLine, reason: str, error: BatchRefused | None) -> None:
        if self._rejected == PARKED_IN_ROUND_MAX:
            raise _bad(f"it refuses line after line: {reason}") from error
        self._rejected += 1
        self._outbox.park(one.key, reason)

    def _fail(self, one: OutboxLine, error: BatchFailed) -> None:
        """Leaves a line at which the server fails to the next round; raises where it is down."""
        self._failed_in_a_row += 1
        self._failure = BatchFailed(
            "could not push an event to",
            place=error.place,
            cause=f"{error.cause}, twice, at {one.event_id}, a line of {len(one.line):,} bytes",
            hint="let its proxy pass bodies of 4 MiB; all else is pushed: thence sync status",
        )
        if self._failed_in_a_row >= FAILED_IN_A_ROW_MAX:
            raise error

    def _report(self) -> None:
        brought = self._delivered + self._duplicate + self._rejected
        self._progress(self._taken, brought, max(self._to_bring, brought))


def _matched(
    group: Sequence[OutboxLine], verdicts: Sequence[EventVerdict]
) -> list[tuple[OutboxLine, EventVerdict]]:
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


def _reason(event: Event) -> str:
    is_far = event.lamport_clock > CLOCK_AHEAD_MAX
    return f"its clock, {event.lamport_clock}, is too far ahead" if is_far else _NO_ROOM


def _bad(cause: str) -> SyncRefused:
    operation = "could not sync with the server"
    return SyncRefused(operation, cause=cause, hint=_HINT, code="bad_answer")


def _ignore(*_: object) -> None:
    """Leaves out a progress or a pause."""
