"""The orchestrator: agents begin, finish and review a feature's packages, until all are done.

The only state is the log, git, and locks: another orchestrator continues the work of a killed one,
and two at once share the work. A package's claim is held as long as its agent runs. One thread;
agents are processes that are polled several times a second.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.clock import microseconds
from thence.errors import GitFailed, HeadsMoved, PlanningError, Refused, ThenceError
from thence.log.open import now
from thence.work.board.attempts import attempt_histories
from thence.work.board.state import DONE, FOR_REVIEW, PLANNED, REJECTED, FeatureState
from thence.work.journal.claims import drop, give, holder, take
from thence.work.journal.claims import sentence as sentence_on
from thence.work.journal.store import WorkEvent
from thence.work.orchestrate.agent_process import AgentRunResult, AgentSpec, start
from thence.work.orchestrate.package_task import ACTOR, GATE, PackageTask, RunState
from thence.work.orchestrate.scheduling import REVERTED, Running, Task, choose
from thence.work.plan.tasks import PlannedPackage
from thence.work.project.configuration import OrchestratorConfig
from thence.work.session.lane_changes import mirror, planned
from thence.work.session.package_code import reverted_in
from thence.work.session.session import Session
from thence.work.session.sharing import send_new

POLL_S = 0.2
NOTES_MAX = 100
REST_MIN_S, REST_MAX_S = 0.25, 10.0
TIMES_MAX = 10
REFUSED_MAX = 4  # a guard seldom changes its answer while the board is unchanged
TROUBLES_MAX = 60
UNSEEN = (-1, 0)
GRACE_S, STOP_S_MAX = 3.0, 20.0
# time beyond the longest try for whoever holds a claim to record how the try ended
HELD_GRACE_S = 5.0


class ProgressNote(NamedTuple):
    """A report of an orchestrator's step or observation.

    `kind` is begun, failed, reviewed, sent_back, moved, merged, waiting, note, trouble,
    completed or stopped.
    """

    kind: str
    text: str
    wp_id: str | None = None
    agent: str | None = None
    phase: str | None = None
    seconds: float | None = None


class OrchestrationSummary(NamedTuple):
    """The end of an orchestration: the packages done, and the reasons of the others."""

    status: str  # completed, stranded
    done: tuple[str, ...]
    stranded: Mapping[str, str]


class Active:
    """A package at work: its step, the process, the claim that is held until it is judged."""

    def __init__(self, package_task: PackageTask, order: AgentSpec) -> None:
        self.package_task = package_task
        self.task = package_task.task
        self.run = start(order)
        self._lease = order.lease
        give(self._lease, self.run.pid)
        self.begun_s = time.monotonic()
        self.ended: AgentRunResult | None = None

    def poll(self) -> AgentRunResult | None:
        """Returns the end of the process, None while it runs."""
        self.ended = self.ended or self.run.poll(_size(self.package_task.watch))
        return self.ended

    def close(self) -> None:
        """Releases the claim, and removes the checkout of a gate."""
        self.package_task.close()
        drop(self._lease)


class Interruption:
    """The handler of the signals that end a run: the first one raises KeyboardInterrupt.

    Later ones change nothing: agents are being ended by then.
    """

    def __init__(self) -> None:
        self.has_come = self._is_held = self._waits = False

    def __call__(self, *_: object) -> None:
        if not self.has_come:
            self.has_come = True
            if not self._is_held:
                raise KeyboardInterrupt
            self._waits = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delays the KeyboardInterrupt until the block has ended."""
        was_held, self._is_held = self._is_held, True
        try:
            yield
        finally:
            self._is_held = was_held
        if self._waits and not was_held:
            self._waits = False
            raise KeyboardInterrupt


class Orchestrator:
    """Works one feature off, with the agents of the project's configuration."""

    def __init__(
        self,
        folder: Path,
        slug: str,
        setup: OrchestratorConfig,
        report: Callable[[ProgressNote], None],
        turn: Callable[["Orchestrator"], None],
        interruption: Interruption,
    ) -> None:
        self._interruption = interruption
        self.slug = slug
        self.setup = setup
        self.progress = Progress(report)
        self._turn_ends = turn
        self.active: dict[str, Active] = {}
        self._folder = folder
        self.shared = RunState(Session(folder), slug, setup, self.progress.report)
        self._troubles = 0
        self._trouble = ""
        self._rests_until_s = 0.0
        self._journal_size = UNSEEN
        self._held: set[str] = set()
        self._has_tried = False
        # somebody else's claim on which nothing is recorded for so long is not waited for
        timeouts = [agent.timeout_s for agent in setup.agents.values()]
        timeouts += [gate.timeout_s for gate in setup.gates]
        self._held_s_max = max(timeouts) + HELD_GRACE_S
        self._events_count, self._changed_s = 0, time.monotonic()
        self._backoff = Backoff(
            lambda wp_id, why: self.progress.report("waiting", why, wp_id),
            lambda: len(self.shared.session.appended),
        )
        self._plan: dict[str, PlannedPackage] = {}

    def run(self) -> OrchestrationSummary:
        """Works until all packages are done, or none is left that can be.

        KeyboardInterrupt stops the agents, is reported, and propagates.
        """
        try:
            while not self._interruption.has_come:
                summary = self._turn()
                self.progress.collect(self.shared.session)
                if summary is not None:
                    return summary
                self._turn_ends(self)
                time.sleep(POLL_S)
            raise KeyboardInterrupt  # which a destructor may have swallowed
        finally:
            with self._interruption.held():
                self._stop()
                self.shared.session.close()

    def _turn(self) -> OrchestrationSummary | None:
        """Does one round of work; pauses after an error of the log, git or the disk."""
        if time.monotonic() < self._rests_until_s:
            return None
        self._held.clear()
        self._has_tried = False
        try:
            self._look()
            self._judge_ended()
            self._finish()
            self._start()
            summary = self._ended()
            error, self.shared.session.journal_error = self.shared.session.journal_error, None
            if error is not None:
                raise error
        except (ThenceError, OSError) as error:
            self._pause(error)
            return None
        self._troubles, self._trouble = 0, ""
        return summary

    def _look(self) -> None:
        """Reads the journal again if it has changed since, or after an error."""
        seen = _size(self.shared.session.project.home / "events.jsonl")
        if seen == self._journal_size:
            return
        self.shared.session.refresh()
        send_new(self.shared.session)
        count = sum(event.header.feature_slug == self.slug for event in self.shared.session.events)
        if count != self._events_count:
            self._events_count, self._changed_s = count, time.monotonic()
        lanes = {wp_id: package.lane for wp_id, package in self.shared.feature.packages.items()}
        self._backoff.look_again(lanes, len(self.shared.session.events))
        self._plan = planned(self.shared.session, self.shared.feature)
        self.shared.reverted = reverted_in(self.shared.session, self.shared.feature)
        self.shared.histories = attempt_histories(self.shared.session.events, self.slug)
        self._journal_size = seen

    def _judge_ended(self) -> None:
        """Judges the tries that have ended; a result that can't be recorded is judged again."""
        for wp_id, active in list(self.active.items()):
            ended = active.poll()
            if ended is None:
                continue
            self._journal_size = UNSEEN
            with self._backoff.isolating(wp_id):
                active.package_task.judge(ended)
            del self.active[wp_id]
            active.close()
        self._look()

    def _finish(self) -> None:
        """Lets packages that need no agent any more pass their gates, and merges them."""
        for wp_id, package in self.shared.feature.packages.items():
            history = self.shared.histories.get(wp_id)
            if package.lane != FOR_REVIEW or history is None or wp_id in self.active:
                continue
            if wp_id in self._backoff.waiting(time.monotonic()) or (
                self.setup.review and not package.is_approved
            ):
                continue
            self._try(Task(wp_id, GATE, "", 0), PackageTask.finish)
            self._look()

    def _start(self) -> None:
        """Starts as many tries as the slots allow."""
        if len(self.active) >= self.setup.slots:
            return
        running = [
            Running(one.task.wp_id, one.task.phase, one.task.agent) for one in self.active.values()
        ]
        feature = self.shared.pending
        tasks = choose(
            feature,
            self._plan,
            self.setup,
            running,
            list(self.shared.failures.values()),
            self._not_ours(feature),
            time.monotonic(),
        )
        for task in tasks:
            self._try(task, PackageTask.begin)
        if tasks:
            self._look()

    def _try(self, task: Task, step: Callable[[PackageTask, int], AgentSpec | None]) -> None:
        """Takes a package's claim and does a step with it; an agent inherits the claim."""
        package = self.shared.feature.packages[task.wp_id]
        lease = take(self.shared.session.project.home, package.subject)
        if lease is None:
            self._held.add(task.wp_id)
            return
        self._has_tried = True
        self._journal_size = UNSEEN
        package_task = PackageTask(self.shared, task)
        try:
            with self._backoff.isolating(task.wp_id):
                order = step(package_task, lease)
                if order is not None:
                    with self._interruption.held():  # an agent that is not known is not ended
                        self.active[task.wp_id] = Active(package_task, order)
        finally:
            if task.wp_id not in self.active:
                package_task.close()
                drop(lease)

    def _not_ours(self, feature: FeatureState) -> set[str]:
        """Returns the packages that no agent may get: people's, others', those given up."""
        kept = {*self._held, *self.active, *self._backoff.waiting(time.monotonic())}
        for wp_id, package in feature.packages.items():
            history = self.shared.histories.get(wp_id)
            # with a full disk the claim may be recorded, and not the assignment
            is_half_told = package.agent in self.setup.agents and package.workspace is None
            is_peoples = history is None and package.lane != PLANNED and not is_half_told
            if is_peoples or self._times_sent_back(wp_id) > self.setup.send_backs:
                kept.add(wp_id)
        return kept

    def _times_sent_back(self, wp_id: str) -> int:
        """Returns how often a package was sent back by reviews or by merges, the larger number."""
        return max(self.shared.changes_requested[wp_id], self.shared.conflicted[wp_id])

    def _ended(self) -> OrchestrationSummary | None:
        """Returns the summary, None while something runs or may still run."""
        feature, now_s = self.shared.pending, time.monotonic()
        done = tuple(p.wp_id for p in feature.packages.values() if p.lane == DONE)
        remaining = [p for p in feature.packages.values() if p.lane not in (DONE, REJECTED)]
        if not remaining:
            if complete(self.shared.session, feature, ACTOR):
                self.progress.report("completed", f"all {len(feature.packages)} packages are done")
            return OrchestrationSummary("completed", done, {})
        times = [one.not_before_s for one in self.shared.failures.values()]
        times += self._backoff.ends_s()
        if self.active or self._has_tried or any(time_s > now_s for time_s in times):
            return None
        if self._held and now_s - self._changed_s < self._held_s_max:
            waiting = (f"{wp_id}: {self._held_by(wp_id)}" for wp_id in sorted(self._held))
            self.shared.session.warnings += waiting
            return None
        stranded = {p.wp_id: self._why(p.wp_id) for p in remaining}
        return OrchestrationSummary("stranded", done, stranded)

    def _why(self, wp_id: str) -> str:
        """Returns the reason that no more work is done on a package."""
        if (why := self._backoff.why(wp_id)) is not None:
            return why
        if wp_id in self._held:
            longer = f"{self._held_s_max:.0f} s, longer than any try may last"
            return f"{self._held_by(wp_id)}, and nothing was recorded for {longer}"
        feature = self.shared.pending
        package, history = feature.packages[wp_id], self.shared.histories.get(wp_id)
        if package.lane == REVERTED:
            back = f"thence work move-task {wp_id} --feature {self.slug} --to doing --reason TEXT"
            return f"is {self.shared.reverted[wp_id]}: {back}"
        open_ones = [
            needed
            for needed in package.dependencies
            if needed not in feature.packages or feature.packages[needed].lane != DONE
        ]
        if open_ones:
            return f"waits for {', '.join(open_ones)}"
        if history is None:
            who = package.agent or "somebody"
            return f"is in {package.lane}, with {who}"
        if (times := self._times_sent_back(wp_id)) > self.setup.send_backs:
            return f"was sent back {times} times: {history.feedback}"
        return f"all its agents have failed: {history.feedback or 'see its errors'}"

    def _held_by(self, wp_id: str) -> str:
        """Returns a sentence on who holds the claim on a package that is not ours."""
        subject = self.shared.feature.packages[wp_id].subject
        return sentence_on(holder(self.shared.session.project.home, subject))

    def _pause(self, error: ThenceError | OSError) -> None:
        """Sets a pause after an error, and opens a new session."""
        self._troubles += 1
        if self._troubles > TROUBLES_MAX:
            raise error
        rest_s = min(REST_MIN_S * 2**self._troubles, REST_MAX_S)
        self._rests_until_s = time.monotonic() + rest_s
        hint = f"; {error.hint}" if isinstance(error, ThenceError) and error.hint else ""
        message = (
            f"{error}{hint}; it is tried again until it goes well, {TROUBLES_MAX} times at most"
        )
        if message != self._trouble:
            self._trouble = message
            self.progress.report("trouble", message)
        self.progress.collect(self.shared.session)
        self._journal_size = UNSEEN
        with suppress(ThenceError, OSError):
            fresh = Session(self._folder)
            fresh.board = self.shared.session.board  # what is shown until the next look
            old, self.shared.session = self.shared.session, fresh
            old.close()

    def _stop(self) -> None:
        """Ends all agents at once, reports it, and releases their claims."""
        for active in self.active.values():
            active.run.stop(GRACE_S)
        until_s = time.monotonic() + STOP_S_MAX
        while any(one.run.poll() is None for one in self.active.values()):
            if time.monotonic() > until_s:
                break
            time.sleep(POLL_S / 4)
        for active in self.active.values():
            if active.ended is None:
                with suppress(ThenceError, OSError):
                    active.package_task.interrupted()
            active.close()
        self.active.clear()


class Progress:
    """Passes reports to the user, and collects the ids of the appended events: `appended`."""

    def __init__(self, report: Callable[[ProgressNote], None]) -> None:
        self._report = report
        self._reported: list[str] = []
        self.appended: list[str] = []

    def report(self, kind: str, text: str, *members: Any) -> None:
        """Passes a report to the user; `members` are the other members of a ProgressNote.

        A full disk behind stderr stops no work.
        """
        try:
            self._report(ProgressNote(kind, text, *members))
        except BrokenPipeError:
            raise
        except OSError:
            return

    def collect(self, session: Session) -> None:
        """Collects a session's events, and reports its warnings, none of the last 100 twice."""
        self.appended += [event.event_id for event in session.appended]
        session.appended.clear()
        for note in session.warnings:
            if note not in self._reported:
                self._reported = [*self._reported, note][-NOTES_MAX:]
                self.report("note", note)
        session.warnings.clear()


class BlockedPackage(NamedTuple):
    """The reason that blocks a package, the number of refusals, and the time of the next try."""

    why: str
    times: int
    until_s: float


class Backoff:
    """The packages for which git or a guard has refused a step.

    `report` is called with a package and a reason: once, until the reason changes or the package
    has left its lane. `count_appended` counts the appended events. Events of a refused step are no
    change of the board: otherwise the step would be tried again for ever.
    """

    def __init__(
        self, report: Callable[[str, str], None], count_appended: Callable[[], int]
    ) -> None:
        self._report = report
        self._count_appended = count_appended
        self._ineffective = 0
        self._events_seen = -1
        self._blocked: dict[str, BlockedPackage] = {}
        self._reported: dict[str, tuple[str, str | None]] = {}

    @contextmanager
    def isolating(self, wp_id: str) -> Iterator[None]:
        """Confines a refusal to one package, which is tried again after a pause.

        After TIMES_MAX refusals, after REFUSED_MAX by a guard, the package waits for the board to
        change.
        """
        before = self._count_appended()
        try:
            yield
        except (GitFailed, Refused, PlanningError) as error:
            count = self._blocked[wp_id].times + 1 if wp_id in self._blocked else 1
            what = error if isinstance(error, PlanningError) else error.cause or error.message
            why = f"{what}; {error.hint}"
            rest_s = min(REST_MIN_S * 2**count, REST_MAX_S)
            times_max = REFUSED_MAX if isinstance(error, Refused) else TIMES_MAX
            until_s = math.inf if count > times_max else time.monotonic() + rest_s
            self._ineffective += self._count_appended() - before
            self._blocked[wp_id] = BlockedPackage(why, count, until_s)
            is_new = self._reported.get(wp_id, ("", None))[0] != why
            self._reported[wp_id] = (why, None)  # the step may have moved it before it was refused
            if is_new:
                self._report(wp_id, why)

    def look_again(self, lanes: Mapping[str, str], events: int) -> None:
        """Unblocks the packages that wait for the board to change, if it has changed.

        `lanes` are those of the packages, `events` is the number of the board's events.
        """
        if events - self._ineffective == self._events_seen:
            return
        self._events_seen = events - self._ineffective
        self._blocked = {w: b for w, b in self._blocked.items() if b.until_s < math.inf}
        self._reported = {
            wp_id: (why, lanes.get(wp_id))
            for wp_id, (why, lane) in self._reported.items()
            if lane in (None, lanes.get(wp_id))
        }

    def why(self, wp_id: str) -> str | None:
        """Returns the last reason that blocked a package, None if there is none."""
        return self._blocked[wp_id].why if wp_id in self._blocked else None

    def waiting(self, now_s: float) -> set[str]:
        """Returns the packages that are not to be tried now."""
        return {wp_id for wp_id, block in self._blocked.items() if now_s < block.until_s}

    def ends_s(self) -> list[float]:
        """Returns the times of the next tries, without packages that wait for the board."""
        return [block.until_s for block in self._blocked.values() if block.until_s < math.inf]


def complete(session: Session, feature: FeatureState, actor: str) -> bool:
    """Records that all packages of a feature are done; returns False if that is recorded already.

    The duration is from the feature's FeatureCreated until now. Raises the journal's error if it
    can't be written.
    """
    if feature.is_completed:
        return False
    created = next((one for one in session.events if one.event_id == feature.created_event), None)
    payload = {
        "feature_slug": feature.slug,
        "total_wps": len(feature.packages),
        "total_duration": _seconds_since(created.header.timestamp) if created else None,
    }
    ends = [package.lane_event for package in feature.packages.values() if package.lane_event]
    completed = WorkEvent("FeatureCompleted", payload, feature.slug, tuple(ends), actor)
    guard = session.guard((feature.slug, feature.slug), types=("FeatureCompleted",))
    try:
        session.append(completed, guard=guard)
    except HeadsMoved:
        return False
    mirror(session, feature)
    return True


def _seconds_since(timestamp: str) -> float | None:
    """Returns the seconds since a timestamp by the system clock; None if it is later or invalid."""
    then_us, now_us = microseconds(timestamp), microseconds(now())
    if then_us is None or now_us is None or now_us < then_us:
        return None
    return (now_us - then_us) / 1e6


def _size(path: Path) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError:
        return (0, 0)
    return stat.st_size, stat.st_mtime_ns
