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
from thence.work.board.state import (
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)
from thence.work.journal.claims import drop, give, holder, take
from thence.work.journal.claims import sentence as sentence_on
from thence.work.journal.store import WorkEvent
from thence.work.orchestrate.agent_process import AgentRun, AgentRunResult, AgentSpec
from thence.work.orchestrate.package_task import ACTOR, GATE, PackageTask, RunState
from thence.work.orchestrate.scheduling import Task, choose, open_dependencies
from thence.work.plan.tasks import PlannedPackage
from thence.work.project.configuration import OrchestratorConfig
from thence.work.session.lane_changes import planned
from thence.work.session.session import Session
from thence.work.session.sharing import send_new

POLL_S = 0.2
REST_MIN_S, REST_MAX_S = 0.25, 10.0
TIMES_MAX = 10
REFUSED_MAX = 4  # a guard seldom changes its answer
TROUBLES_MAX = 60
UNSEEN = (-1, 0)
GRACE_S, STOP_S_MAX = 3.0, 20.0
# time beyond the longest try for whoever holds a claim to record how the try ended
HELD_GRACE_S = 5.0
_ALL = ""  # in the place of a package: what holds up everything


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


class HoldUp(NamedTuple):
    """What git, a guard or the disk refused: the reason, how often, when it is tried again.

    After too many refusals that is when the package is no longer as it was `seen`.
    """

    why: str
    times: int
    until_s: float
    seen: PackageState | None


class Active:
    """A package at work: its step, the process, the claim that is held until it is judged."""

    def __init__(self, package_task: PackageTask, order: AgentSpec) -> None:
        self.package_task = package_task
        self.task = package_task.task
        self.run = AgentRun(order)
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
    """The handler of the signals that end a run, after its present step; later ones change nothing.

    No step is left half done, so each agent that was started is known, and ended first.
    """

    def __init__(self) -> None:
        self.has_come = False

    def __call__(self, *_: object) -> None:
        self.has_come = True


class Orchestrator:
    """Works one feature off, with the agents of the project's configuration.

    `active` are the packages at work, `appended` the ids of the appended events.
    """

    def __init__(
        self,
        folder: Path,
        slug: str,
        setup: OrchestratorConfig,
        report: Callable[[ProgressNote], None],
        turn: Callable[["Orchestrator"], None],
        interruption: Interruption,
    ) -> None:
        self.slug = slug
        self.setup = setup
        self.active: dict[str, Active] = {}
        self.appended: list[str] = []
        self.shared = RunState(Session(folder), slug, setup, self._report)
        self._folder = folder
        self._tell = report
        self._turn_ends = turn
        self._interruption = interruption
        self._noted: set[str] = set()
        self._held_up: dict[str, HoldUp] = {}
        # packages whose claims others hold, with the time at which that was seen first
        self._claimed: dict[str, float] = {}
        timeouts = [agent.timeout_s for agent in setup.agents.values()]
        timeouts += [gate.timeout_s for gate in setup.gates]
        self._claimed_s_max = max(timeouts) + HELD_GRACE_S
        self._journal_size = UNSEEN
        self._has_tried = False
        self._plan: dict[str, PlannedPackage] = {}

    def run(self) -> OrchestrationSummary:
        """Works until all packages are done, or none is left that can be.

        A signal stops the agents, is reported, and raises KeyboardInterrupt.
        """
        try:
            while not self._interruption.has_come:
                summary = self._turn()
                self._collect()
                if summary is not None:
                    return summary
                self._turn_ends(self)
                time.sleep(POLL_S)
            raise KeyboardInterrupt
        finally:
            self._stop()
            self.shared.session.close()

    def _turn(self) -> OrchestrationSummary | None:
        """Does one round of work; pauses after an error of the log, git or the disk."""
        if _ALL in self._waiting():
            return None
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
        self._held_up.pop(_ALL, None)
        return summary

    def _look(self) -> None:
        """Reads the journal again if it has changed since, or after an error."""
        seen = _size(self.shared.session.project.home / "events.jsonl")
        if seen == self._journal_size:
            return
        self.shared.session.refresh()
        send_new(self.shared.session)
        packages = self.shared.feature.packages
        self._held_up = {
            wp_id: one
            for wp_id, one in self._held_up.items()
            if one.until_s < math.inf or one.seen == packages[wp_id]
        }
        self._plan = planned(self.shared.session, self.shared.feature)
        self.shared.histories = attempt_histories(self.shared.session.events, self.slug)
        self._journal_size = seen

    def _judge_ended(self) -> None:
        """Judges the tries that have ended; a result that can't be recorded is judged again."""
        for wp_id, active in list(self.active.items()):
            ended = active.poll()
            if ended is None:
                continue
            self._journal_size = UNSEEN
            with self._isolating(wp_id):
                active.package_task.judge(ended)
                self._held_up.pop(wp_id, None)
            del self.active[wp_id]
            active.close()
        self._look()

    def _finish(self) -> None:
        """Lets packages that need no agent any more pass their gates, and merges them."""
        for wp_id, package in self.shared.feature.packages.items():
            if package.lane != FOR_REVIEW or wp_id not in self.shared.histories:
                continue
            if wp_id in {*self.active, *self._waiting(), *self._claimed}:
                continue
            if package.is_approved or not self.setup.review:
                self._try(Task(wp_id, GATE, "", 0), PackageTask.finish)
                self._look()

    def _start(self) -> None:
        """Starts as many tries as the slots allow."""
        self._claimed = {
            wp_id: since_s for wp_id, since_s in self._claimed.items() if self._is_held(wp_id)
        }
        if len(self.active) >= self.setup.slots:
            return
        tasks = choose(
            self.shared.feature,
            self._plan,
            self.setup,
            [active.task for active in self.active.values()],
            self.shared.failures,
            self._not_ours(),
            time.monotonic(),
        )
        for task in tasks:
            self._try(task, PackageTask.begin)
        if tasks:
            self._look()

    def _is_held(self, wp_id: str) -> bool:
        """Reports whether somebody else holds the claim on a package."""
        lease = take(self.shared.session.project.home, self._subject(wp_id))
        if lease is not None:
            drop(lease)
        return lease is None

    def _try(self, task: Task, step: Callable[[PackageTask, int], AgentSpec | None]) -> None:
        """Takes a package's claim and does a step with it; an agent inherits the claim."""
        self._has_tried = True
        lease = take(self.shared.session.project.home, self._subject(task.wp_id))
        if lease is None:
            self._claimed[task.wp_id] = time.monotonic()
            return
        self._journal_size = UNSEEN
        package_task = PackageTask(self.shared, task)
        try:
            with self._isolating(task.wp_id):
                order = step(package_task, lease)
                if order is None:
                    self._held_up.pop(task.wp_id, None)
                else:
                    self.active[task.wp_id] = Active(package_task, order)
        finally:
            if task.wp_id not in self.active:
                package_task.close()
                drop(lease)

    def _not_ours(self) -> set[str]:
        """Returns the packages that no agent may get: people's, others', those given up."""
        kept = {*self._claimed, *self.active, *self._waiting()}
        for wp_id, package in self.shared.feature.packages.items():
            # with a full disk the claim may be recorded, and not the assignment
            is_half_told = package.agent in self.setup.agents and package.workspace is None
            is_peoples = wp_id not in self.shared.histories and package.lane != PLANNED
            if (is_peoples and not is_half_told) or self._is_given_up(wp_id):
                kept.add(wp_id)
        return kept

    def _is_given_up(self, wp_id: str) -> bool:
        """Reports whether a package was sent back too often, by reviews or by merges."""
        return self._times_sent_back(wp_id) > self.setup.send_backs

    def _times_sent_back(self, wp_id: str) -> int:
        return max(self.shared.changes_requested[wp_id], self.shared.conflicted[wp_id])

    def _ended(self) -> OrchestrationSummary | None:
        """Returns the summary, None while something runs or may still run."""
        feature, now_s = self.shared.feature, time.monotonic()
        done = tuple(p.wp_id for p in feature.packages.values() if p.lane == DONE)
        remaining = [p for p in feature.packages.values() if p.lane not in (DONE, REJECTED)]
        if not remaining:
            if complete(self.shared.session, feature, ACTOR):
                self._report("completed", f"all {len(feature.packages)} packages are done")
            return OrchestrationSummary("completed", done, {})
        times = [one.not_before_s for one in self.shared.failures.values()]
        times += [one.until_s for one in self._held_up.values()]
        if self.active or self._has_tried or any(now_s < time_s < math.inf for time_s in times):
            return None
        if any(now_s - since_s < self._claimed_s_max for since_s in self._claimed.values()):
            waiting = (f"{wp_id}: {self._holder_of(wp_id)}" for wp_id in sorted(self._claimed))
            self.shared.session.warnings += waiting
            return None
        stranded = {package.wp_id: self._why(package.wp_id) for package in remaining}
        return OrchestrationSummary("stranded", done, stranded)

    def _why(self, wp_id: str) -> str:
        """Returns the reason that no more work is done on a package."""
        if wp_id in self._held_up:
            return self._held_up[wp_id].why
        if wp_id in self._claimed:
            longer = f"{self._claimed_s_max:.0f} s, longer than any try may last"
            return f"{self._holder_of(wp_id)}, and has been for {longer}"
        feature = self.shared.feature
        package, history = feature.packages[wp_id], self.shared.histories.get(wp_id)
        if waits_for := open_dependencies(feature, package):
            return f"waits for {', '.join(waits_for)}"
        if history is None:
            return f"is in {package.lane}, with {package.agent or 'somebody'}"
        if self._is_given_up(wp_id):
            return f"was sent back {self._times_sent_back(wp_id)} times: {history.feedback}"
        return f"all its agents have failed: {history.feedback or 'see its errors'}"

    def _holder_of(self, wp_id: str) -> str:
        """Returns a sentence on who holds the claim on a package that is not ours."""
        return sentence_on(holder(self.shared.session.project.home, self._subject(wp_id)))

    def _subject(self, wp_id: str) -> str:
        return self.shared.feature.packages[wp_id].subject

    @contextmanager
    def _isolating(self, wp_id: str) -> Iterator[None]:
        """Confines a refusal to one package, which is tried again after a rest."""
        try:
            yield
        except (GitFailed, Refused, PlanningError) as error:
            what = error if isinstance(error, PlanningError) else error.cause or error.message
            times_max = REFUSED_MAX if isinstance(error, Refused) else TIMES_MAX
            self._hold_up(wp_id, f"{what}; {error.hint}", times_max)

    def _hold_up(self, wp_id: str, why: str, times_max: int) -> None:
        """Has a package, or all, wait; reports a reason once."""
        last = self._held_up.get(wp_id)
        times = last.times + 1 if last else 1
        until_s, seen = time.monotonic() + min(REST_MIN_S * 2**times, REST_MAX_S), None
        if times > times_max:
            self.shared.session.refresh()  # the step may have changed it before it was refused
            until_s, seen = math.inf, self.shared.feature.packages[wp_id]
        self._held_up[wp_id] = HoldUp(why, times, until_s, seen)
        if last is None or last.why != why:
            self._report("waiting" if wp_id else "trouble", why, wp_id or None)

    def _waiting(self) -> set[str]:
        """Returns the packages that are not to be tried now."""
        now_s = time.monotonic()
        return {wp_id for wp_id, hold_up in self._held_up.items() if now_s < hold_up.until_s}

    def _pause(self, error: ThenceError | OSError) -> None:
        """Sets a pause after an error, and opens a new session."""
        hint = f"; {error.hint}" if isinstance(error, ThenceError) and error.hint else ""
        often = f"it is tried again until it goes well, {TROUBLES_MAX} times at most"
        if _ALL in self._held_up and self._held_up[_ALL].times == TROUBLES_MAX:
            raise error
        self._hold_up(_ALL, f"{error}{hint}; {often}", TROUBLES_MAX)
        self._collect()
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
                active.package_task.stopped()
            active.close()
        self.active.clear()

    def _report(self, kind: str, text: str, *members: Any) -> None:
        """Passes a report to the user; `members` are the other members of a ProgressNote.

        A full disk behind stderr stops no work.
        """
        try:
            self._tell(ProgressNote(kind, text, *members))
        except BrokenPipeError:
            raise
        except OSError:
            return

    def _collect(self) -> None:
        """Collects the session's events, and reports its warnings, each once."""
        session = self.shared.session
        self.appended += [event.event_id for event in session.appended]
        session.appended.clear()
        for note in session.warnings:
            if note not in self._noted:
                self._noted.add(note)
                self._report("note", note)
        session.warnings.clear()


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
