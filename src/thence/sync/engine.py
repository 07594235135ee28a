"""The sync engine: one round between a log and a server, without threads and without sleeping.

A round is pull, settle, push: lines behind a cursor come into the log, redactions are carried out,
and what waits in the outbox goes to the server. A server that does not know a cursor any more is
another one, or was restored: then all is pulled anew. A line that got an answer is sent no more in
the same round, one that was refused in a batch of several in smaller ones, so that a round ends
whatever the server answers.

`run_round` runs one by whichever process has the turn, with what was last enabled and last logged
in, and keeps its report beside the log.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from random import uniform

from msgspec.structs import replace

from thence.core.bodies import BODIES_SIGN, BodyMissing
from thence.core.clock import CLOCK_AHEAD_MAX
from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.secrets import FoundSecret
from thence.errors import InvalidEvent, SyncRefused, ThenceError
from thence.files import FileBusy, file_lock, is_locked
from thence.log.blobs.blob_files import Bodies
from thence.log.open import OS_DISK, Log
from thence.sync.client import SyncClient, client_to
from thence.sync.credentials import CredentialStore
from thence.sync.large_values import LargeValues
from thence.sync.outbox import Outbox, OutboxLine, key_of
from thence.sync.redactions import own_nodes, settle_bodies
from thence.sync.target import LOCK, QUEUE, SyncReport, enabled_target, recorded, sync_folder
from thence.sync.wire.messages import (
    BODY_MISSING,
    OWN_NODES_MAX,
    BatchFailed,
    BatchRefused,
    Cursors,
    EventVerdict,
    Results,
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
# how long a command's claim on the next turn is waited for
_QUEUE_S = 0.5
_TOO_NEW = "its clock is too far ahead of the log's"
_NO_ROOM = "too many lines came from elsewhere under this log's node; it is accepted tomorrow"
_HINT = "see that the address is a thence server's: thence sync status --check"

BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 30.0
_DOUBLINGS_MAX = 10
# how often a round of a background service looks again for a server that went away amid it
AWAY_MAX = 4

Progress = Callable[[int, int, int], None]
Random = Callable[[float, float], float]


def backoff_s(failures: int, uniform: Random) -> float:
    """Returns the seconds to wait after some failures in a row: chance, up to a doubling limit.

    The limit is 500 ms after the first failure and 30 s at most ("full jitter": AWS Architecture
    Blog, Exponential Backoff And Jitter, 2015).
    """
    doublings = min(max(failures - 1, 0), _DOUBLINGS_MAX)
    return uniform(0.0, min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**doublings))


class SyncEngine:
    """The engine of one log and one server. Close it.

    Without a `transport` it is that of the log's enabled target and this user's login. The caller
    makes sure that one round runs at a time over all processes. `target` names server, team and
    log, so that another target gets the whole history. `progress` is called often with the lines
    pulled so far, pushed or kept back so far, and to be pushed in all. `pause` is called before a
    request with the seconds to wait, 5 between two batches, and ends the round by an error; with it
    a server that goes away is waited for a few times. A round of a command waits for nothing. A
    line in which `find_secret`, by default the built-in rules and the log's settings, finds one is
    parked, never sent. With `pulls_only` nothing is pushed. `outbox` is what is known of the log's
    lines between rounds. Raises `read_failed`, SyncRefused, NotLoggedIn.
    """

    def __init__(
        self,
        log: Log,
        transport: SyncClient | None = None,
        *,
        target: str = "",
        progress: Progress = lambda *_: None,
        pause: Callable[[float], None] | None = None,
        find_secret: Callable[[bytes], FoundSecret | None] | None = None,
        pulls_only: bool = False,
    ) -> None:
        self._log = log
        if transport is None:
            own = enabled_target(log.folder)
            transport, target = client_to(own, CredentialStore()), own.key
        self._transport = transport
        self._progress = progress
        self._pause = pause or (lambda _: None)
        self._away_max = AWAY_MAX if pause else 0
        self._find_secret = find_secret or (lambda line: log.redact_settings.parking.found_in(line))
        self.outbox = Outbox(log.folder, log.vocabulary, target)
        self._pulls_only = pulls_only

    def round(self) -> SyncReport:
        """Runs one round and returns its report; an error that ends it early is part of that."""
        self._begin()
        error: ThenceError | None = None
        is_anew, failures = False, 0
        try:
            self.outbox.update()
            self._relay(self.outbox.pulled(), self.outbox.cursors.after, is_retry=True)
            while True:
                try:
                    self._pull_settle_push()
                    break
                except SyncRefused as refused:
                    if refused.code == "cursor_unknown" and not is_anew:
                        is_anew = True
                        self.outbox.begin_anew()
                    elif refused.code == "server_unreachable" and failures < self._away_max:
                        failures += 1
                        self._pause(backoff_s(failures, uniform))
                    else:
                        raise
        except ThenceError as failure:
            error = failure
            if failure.code == "cursor_unknown":
                error = _bad("it does not know a cursor that it has just given")
        return replace(
            SyncReport(),
            **self._counts,
            left=self.outbox.pending(),
            parked=self.outbox.parked_count(),
            is_restored=self._is_restored,
            error=error,
        )

    def close(self) -> None:
        """Closes the engine; log and transport stay open."""
        self.outbox.close()

    def _begin(self) -> None:
        """Begins a round of which nothing is known yet."""
        self._counts: Counter[str] = Counter()
        self._to_push = 0
        self._nodes: Sequence[str] = ()
        self._is_restored = self._has_pushed = False
        bodies = Bodies(OS_DISK, self._log.folder)
        self._values = LargeValues(bodies, self._transport, self._pause)

    def _count(self, **counts: int) -> None:
        """Adds to the counts of the round's report, and shows how far it is."""
        self._counts.update(counts)
        handled = sum(self._counts[name] for name in ("pushed", "duplicate", "rejected"))
        self._progress(self._counts["pulled"], handled, max(self._to_push, handled))

    def _pull_settle_push(self) -> None:
        withheld: SyncRefused | None = None
        try:
            self._pull()
            changed = settle_bodies(self._log, self.outbox, self._transport, self._values)
            self._count(redacted=changed)
        except SyncRefused as refused:
            if refused.code != "bad_answer":
                raise
            withheld = refused  # what the server withholds keeps nothing here
        if not self._pulls_only:
            self._push()
        if withheld is not None:
            raise withheld

    def _pull(self) -> None:
        """Pulls pages until the server has no more behind the cursor.

        A page with a line that is no event, or without a large value that a line needs, was
        damaged on its way, or by the server, which has the same page again then.
        """
        passed: set[int] = set()
        is_again = False
        for _ in range(PAGES_MAX):
            before = self.outbox.cursors
            self._pause(0.0)
            page = self._transport.page(*before)
            passed.add(hash(before.after))
            if page.more and (hash(page.next) in passed or not page.lines):
                raise _bad("a page of lines neither moves on nor ends")
            is_whole = self._relay(page.lines, page.next, before, is_again=is_again)
            if is_again and not is_whole:
                raise _bad("a line in its page is not an event")
            if is_whole and not page.more:
                return
            is_again = not is_whole
        raise _bad("its pages have no end")

    def _relay(
        self,
        lines: Sequence[bytes],
        following: str,
        before: Cursors | None = None,
        *,
        is_again: bool = False,
        is_retry: bool = False,
    ) -> bool:
        """Appends lines durably, parks those that the log can't take, then moves the cursor.

        Returns False if a line is no event, and then leaves the cursor where it is; so it does the
        first time if a large value of a line can't be had, which may have been spoilt on its way. A
        retry is of all lines that the log could not take before.
        """
        before = before or self.outbox.cursors
        moved = before._replace(after=following)
        if not lines and moved == before:
            return True
        vocabulary = self._log.vocabulary
        valued = [Event(line, None, vocabulary) for line in lines if BODIES_SIGN in line]
        self._values.expect(entry for event in valued for entry in event.body_entries)
        relayed = self._log.relay(lines, self._values)
        self._is_restored |= bool(relayed.renewed)
        parked = [
            (event, _TOO_NEW if event.lamport_clock > CLOCK_AHEAD_MAX else _NO_ROOM)
            for event in relayed.parked
        ]
        parked += [
            (Event(line, None, vocabulary), bad.reason)
            for line, bad in relayed.bad
            if is_retry or (is_again and bad.code == "body_missing")
        ]
        new = {event.line for event in (*relayed.taken, *relayed.beside)}
        others = {*lines}.difference(new, (event.line for event, _ in parked))
        keys = []
        for line in others.difference(line for line, _ in relayed.bad):
            event = parse(line, vocabulary)
            with suppress(InvalidEvent):
                keys += [] if isinstance(event, BadLine) else [key_of(event)]
        is_whole = len(keys) == len(others)
        with self.outbox.at_once():
            self.outbox.park_pulled(parked, are_all=is_retry)
            self.outbox.update(new)
            self.outbox.record_synced(keys, moved if is_whole else before, before, are_pulled=True)
        self._count(pulled=len(new))
        return is_whole

    def _push(self) -> None:
        """Pushes all lines that the server lacks, a batch after another; parks secrets.

        Own redactions go last: the lines that they name are there then, and those that the log has
        redacted go without their bodies. Those by others wait for them. A server that has no
        verdict for any line of a batch gets no other one.
        """
        self._nodes = own_nodes(self._log.folder)[:OWN_NODES_MAX]
        self._to_push = self.outbox.pending()
        self._failed_in_a_row = 0
        self._failure: BatchFailed | None = None
        for are_redactions in (False, True):
            waiting = self.outbox.waiting(are_redactions=are_redactions)
            lines = (one for one in waiting if not self._is_kept_back(one))
            if not all(map(self._push_batch, batches(lines, lambda one: one.line))):
                break
        if self._failure is not None:
            raise self._failure

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
        self.outbox.park(one.key, reason, is_secret=True)
        return True

    def _keep_damaged(self, one: OutboxLine, error: BodyMissing) -> None:
        """Parks a line of which a large value can't be read, if the log has the line still."""
        if any(event.line == one.line for event in self._log.lines_of(one.event_id)):
            self.outbox.park(one.key, str(error))

    def _push_batch(self, group: Sequence[OutboxLine], *, is_again: bool = False) -> bool:
        """Pushes a batch after its large values; halves a refused one until a bad line is alone.

        No line is parked for one refusal: a proxy may have altered what the server judged. A batch
        at which the server fails twice is halved too, and its line then waits for the next round.
        Returns False if the server had a verdict for none of them.
        """
        self._pause(BATCH_PAUSE_S if self._has_pushed else 0.0)
        self._has_pushed = True
        cursors = self.outbox.cursors
        valued = [one.line for one in group if BODIES_SIGN in one.line]
        events = [Event(line, None, self._log.vocabulary) for line in valued]
        try:
            self._values.push(entry for event in events for entry in event.body_entries)
            results = self._transport.batch([one.line for one in group], self._nodes, cursors)
        except (BatchRefused, BatchFailed, BodyMissing) as error:
            if not is_again:
                return self._push_batch(group, is_again=True)
            one, half = group[0], len(group) // 2
            if half:
                has_verdict = self._push_batch(group[:half], is_again=True)
                return self._push_batch(group[half:], is_again=True) or has_verdict
            if isinstance(error, BodyMissing):
                self._keep_damaged(one, error)  # or it was redacted meanwhile
                return True
            if isinstance(error, BatchFailed):  # the line waits for the next round
                self._failed_in_a_row += 1
                self._failure = BatchFailed(
                    "could not push an event to",
                    place=error.place,
                    cause=f"{error.cause}, twice, at {one.event_id} of {len(one.line):,} bytes",
                    hint="let its proxy pass bodies of 4 MiB; everything else is pushed",
                )
                if self._failed_in_a_row >= FAILED_IN_A_ROW_MAX:
                    raise error
                return True
            results = Results((EventVerdict(one.event_id, "rejected", error.cause),))
        self._failed_in_a_row = 0
        ids, count = [one.event_id for one in group], Counter(one.event_id for one in group)
        by_id = {verdict.event_id: verdict for verdict in results.results}
        verdicts = [  # of two lines with one id nobody knows which one is meant
            (one, by_id[one.event_id])
            for one in group
            if count[one.event_id] == 1 and one.event_id in by_id
        ]
        if [verdict.event_id for verdict in results.results] == ids:  # by their order they are
            verdicts = list(zip(group, results.results, strict=True))
        held = [one.key for one, verdict in verdicts if verdict.status in ("success", "duplicate")]
        moved = Cursors(results.after or cursors.after, results.seen or cursors.seen)
        self.outbox.record_synced(held, moved, cursors)
        statuses = Counter(verdict.status for _, verdict in verdicts)
        self._count(pushed=statuses["success"], duplicate=statuses["duplicate"])
        for one, verdict in verdicts:
            if verdict.error == BODY_MISSING and one.key.node not in self._nodes:
                self.outbox.leave(one.key)  # its author or an admin pushes it
            elif verdict.status == "rejected":
                reason = verdict.error_message or verdict.error or "no reason given"
                if self._counts["rejected"] == PARKED_IN_ROUND_MAX:
                    raise _bad(f"it refuses line after line: {reason}")
                self.outbox.park(one.key, reason)
                self._count(rejected=1)
        return bool(held) or statuses["rejected"] > 0


def _bad(cause: str) -> SyncRefused:
    operation = "could not sync with the server"
    return SyncRefused(operation, cause=cause, hint=_HINT, code="bad_answer")


def run_round(
    log: Log,
    store: CredentialStore,
    *,
    engine: Callable[..., SyncEngine] = SyncEngine,
    wait_s: float = 0.0,
    progress: Progress = lambda *_: None,
    wait: Callable[[float], bool] | None = None,
) -> SyncReport | None:
    """Runs one round once it is this process's turn, and keeps its report; None if not in time.

    `wait` is that of a background service, whose rounds pause between batches and give way: None
    too for a round that did. Every error of the house is part of the report.
    """
    own_folder = sync_folder(log.folder)

    def pause(pause_s: float) -> None:
        if wait is not None and (wait(pause_s) or is_locked(own_folder / QUEUE)):
            raise _GaveWay(
                "could not continue with the round",
                cause="the service was stopped, or another process waits for its turn",
                hint="the next round continues",
            )

    report = SyncReport()
    try:
        target = enabled_target(log.folder)
        with ExitStack() as queue:
            if wait_s:  # a background service gives way to who waits
                with suppress(FileBusy):  # a look at the lock takes it for a moment
                    queue.enter_context(file_lock(own_folder / QUEUE, min(wait_s, _QUEUE_S)))
            try:
                turn = file_lock(own_folder / LOCK, wait_s)
            except FileBusy:
                return None
        with (
            turn,
            closing(client_to(target, store)) as client,
            closing(
                engine(log, client, target=target.key, progress=progress, pause=wait and pause)
            ) as own,
        ):
            report = own.round()
        if isinstance(report.error, _GaveWay):
            return None
    except ThenceError as failure:
        report = replace(report, error=failure)
    return recorded(log.folder, report, is_background=wait is not None)


class _GaveWay(ThenceError):
    """Error: the round of a background service ended for the sake of somebody else."""
