"""The orchestrator: agents begin, finish and review a feature's packages, until all are done.

A package's next step follows from the board alone:

    planned, or in doing with an agent     an agent implements it, and hands it in
    in review, and reviewers are set up    another agent approves it, or sends it back
    approved, with a gate to pass          the gate's command passes it, or sends it back
    approved, with all gates passed        it is merged, or pushed for a pull request: done

The only state is the log, git, and locks: another orchestrator continues the work of a killed one,
and two at once share the work. A package's claim is held as long as its agent runs. One thread;
agents are processes that are polled several times a second.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.clock import microseconds
from thence.errors import GitFailed, HeadsMoved, PlanningError, Refused, ThenceError
from thence.log.open import now
from thence.work.board.move_request import is_closed
from thence.work.board.remarks import attempt_histories, waiting_for
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)
from thence.work.journal.claims import drop, holder, sentence, take
from thence.work.journal.store import WorkEvent
from thence.work.orchestrate.package_task import (
    ACTOR,
    GATE,
    Failures,
    PackageTask,
    Phase,
    RunState,
    Task,
    file_state,
)
from thence.work.project.configuration import OrchestratorConfig
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

    done: tuple[str, ...]
    stranded: Mapping[str, str]


class HoldUp(NamedTuple):
    """What git, a guard or the disk refused: the reason, how often, when it is tried again.

    After too many refusals that is once the package is no longer as it was `seen`.
    """

    why: str
    times: int
    until_s: float
    seen: PackageState | None


class Orchestrator:
    """Works one feature off, with the agents of the project's configuration.

    `active` are the packages at work, `appended` the ids of the appended events. `turn` is called
    several times a second. Once `is_interrupted` the run ends after its present step, so that each
    agent that was started is known, and ended first.
    """

    def __init__(
        self,
        folder: Path,
        slug: str,
        setup: OrchestratorConfig,
        report: Callable[[ProgressNote], None],
        turn: Callable[["Orchestrator"], None],
        is_interrupted: Callable[[], bool],
    ) -> None:
        self.slug = slug
        self.setup = setup
        self.active: dict[str, PackageTask] = {}
        self.appended: list[str] = []
        self.shared = RunState(Session(folder), slug, setup, self._report)
        self._folder = folder
        self._tell = report
        self._turn_ends = turn
        self._is_interrupted = is_interrupted
        self._noted: set[str] = set()
        self._held_up: dict[str, HoldUp] = {}
        # packages whose claims others hold, with the time at which that was seen first
        self._claimed: dict[str, float] = {}
        timeouts = [agent.timeout_s for agent in setup.agents.values()]
        timeouts += [gate.timeout_s for gate in setup.gates]
        self._claimed_s_max = max(timeouts) + HELD_GRACE_S
        self._journal_size = UNSEEN
        self._has_tried = False

    def run(self) -> OrchestrationSummary:
        """Works until all packages are done, or none is left that can be.

        An interruption stops the agents, is reported, and raises KeyboardInterrupt.
        """
        try:
            while not self._is_interrupted():
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
            self._judge()
            self._begin()
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
        shared = self.shared
        seen = file_state(shared.session.project.home / "events.jsonl")
        if seen == self._journal_size:
            return
        shared.session.refresh()
        send_new(shared.session)
        for wp_id, package in shared.feature.packages.items():
            hold_up = self._held_up.get(wp_id)
            if hold_up and hold_up.until_s == math.inf and hold_up.seen != package:
                del self._held_up[wp_id]
        shared.session.snapshot.planned(shared.feature)  # a file that can't be read holds up all
        shared.histories = attempt_histories(shared.session.snapshot.events, self.slug)
        self._journal_size = seen

    def _judge(self) -> None:
        """Judges the tries that have ended; a result that can't be recorded is judged again."""
        for wp_id, task in list(self.active.items()):
            if not task.has_ended():
                continue
            self._journal_size = UNSEEN
            with self._isolating(wp_id):
                task.judge()
                self._held_up.pop(wp_id, None)
            del self.active[wp_id]
            task.close()
        self._look()

    def _begin(self) -> None:
        """Finishes what needs no agent any more, then starts as many tries as the slots allow."""
        for wp_id, package in self.shared.feature.packages.items():
            is_free = wp_id not in {*self.active, *self._waiting(), *self._claimed}
            is_approved = package.is_approved or not self.setup.review
            is_ours = wp_id in self.shared.histories
            if is_ours and is_free and package.lane == FOR_REVIEW and is_approved:
                self._try(package, Task(wp_id, GATE, "", 0), PackageTask.finish)
        for wp_id in list(self._claimed):
            if (lease := self._lease(wp_id)) is not None:
                drop(lease)
                del self._claimed[wp_id]
                self._has_tried = True  # what its holder did may be unseen yet
        if len(self.active) >= self.setup.slots:
            return
        kept = {*self._claimed, *self.active, *self._waiting()}  # no agent gets these
        feature = self.shared.feature
        for wp_id, package in feature.packages.items():
            # with a full disk the claim may be recorded, and not the assignment
            is_half_told = package.agent in self.setup.agents and package.workspace is None
            is_peoples = wp_id not in self.shared.histories and package.lane != PLANNED
            if (is_peoples and not is_half_told) or self._is_given_up(wp_id):
                kept.add(wp_id)
        for task in choose(
            feature,
            self.setup,
            [active.task for active in self.active.values()],
            self.shared.failures,
            kept,
            time.monotonic(),
        ):
            self._try(feature.packages[task.wp_id], task, PackageTask.begin)

    def _try(self, seen: PackageState, task: Task, step: Callable[[PackageTask], None]) -> None:
        """Takes a package's claim and does a step with it, which may start a process."""
        self._has_tried = True
        if (lease := self._lease(task.wp_id)) is None:
            self._claimed[task.wp_id] = time.monotonic()
            return
        self._journal_size = UNSEEN
        package_task = PackageTask(self.shared, task, lease, seen)
        try:
            with self._isolating(task.wp_id):
                step(package_task)
                if package_task.run is None:
                    self._held_up.pop(task.wp_id, None)
                else:
                    self.active[task.wp_id] = package_task
        finally:
            if task.wp_id not in self.active:
                package_task.close()
        self._look()

    def _lease(self, wp_id: str) -> int | None:
        """Takes the claim on a package, None if somebody has it."""
        return take(self.shared.session.project.home, self.shared.feature.packages[wp_id].subject)

    def _is_given_up(self, wp_id: str) -> bool:
        """Reports whether a package was sent back too often, by reviews or by merges."""
        return self.shared.times_sent_back(wp_id) > self.setup.send_backs

    def _ended(self) -> OrchestrationSummary | None:
        """Returns the summary, None while something runs or may still run."""
        feature, now_s = self.shared.feature, time.monotonic()
        done = tuple(p.wp_id for p in feature.packages.values() if p.lane == DONE)
        remaining = [p for p in feature.packages.values() if p.lane not in (DONE, REJECTED)]
        if not remaining:
            if self._complete():
                self._report("completed", f"all {len(feature.packages)} packages are done")
            return OrchestrationSummary(done, {})
        times = [one.not_before_s for one in self.shared.failures.values()]
        times += [one.until_s for one in self._held_up.values()]
        if self.active or self._has_tried or any(now_s < time_s < math.inf for time_s in times):
            return None
        if any(now_s - since_s < self._claimed_s_max for since_s in self._claimed.values()):
            waiting = (f"{wp_id}: {self._holder_of(wp_id)}" for wp_id in sorted(self._claimed))
            self.shared.session.warnings += waiting
            return None
        stranded = {package.wp_id: self._why(package) for package in remaining}
        return OrchestrationSummary(done, stranded)

    def _complete(self) -> bool:
        """Records that all packages are done; returns False if that is recorded already.

        The duration is from the feature's FeatureCreated until now by the system clock, None if
        that is unknown or negative.
        """
        session, feature = self.shared.session, self.shared.feature
        if feature.is_completed:
            return False
        created = next(
            (e for e in session.snapshot.events if e.event_id == feature.created_event), None
        )
        then_us = microseconds(created.header.timestamp) if created else None
        now_us = microseconds(now())
        is_known = then_us is not None and now_us is not None and then_us <= now_us
        payload = {
            "feature_slug": feature.slug,
            "total_wps": len(feature.packages),
            "total_duration": ((now_us or 0) - (then_us or 0)) / 1e6 if is_known else None,
        }
        ends = [package.lane_event for package in feature.packages.values() if package.lane_event]
        completed = WorkEvent("FeatureCompleted", payload, feature.slug, tuple(ends), ACTOR)
        subject = session.store.subject(feature.slug, feature.slug)
        guard = session.snapshot.guard({subject}, {"FeatureCompleted"})
        try:
            session.append(completed, guard=guard)
        except HeadsMoved:
            return False
        return True

    def _why(self, package: PackageState) -> str:
        """Returns the reason that no more work is done on a package."""
        wp_id = package.wp_id
        if wp_id in self._held_up:
            return self._held_up[wp_id].why
        if wp_id in self._claimed:
            longer = f"{self._claimed_s_max:.0f} s, longer than any try may last"
            return f"{self._holder_of(wp_id)}, and has been for {longer}"
        history = self.shared.histories.get(wp_id)
        if waits_for := open_dependencies(self.shared.feature, package):
            return f"waits for {', '.join(waits_for)}"
        if history is None:
            return f"is in {package.lane}, with {package.agent or 'someone'}"
        if self._is_given_up(wp_id):
            return f"was sent back {self.shared.times_sent_back(wp_id)} times: {history.feedback}"
        return f"all its agents have failed: {history.feedback or 'see its errors'}"

    def _holder_of(self, wp_id: str) -> str:
        """Returns a sentence on who holds the claim on a package that is not ours."""
        subject = self.shared.feature.packages[wp_id].subject
        return sentence(holder(self.shared.session.project.home, subject))

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
        rest_s, seen = min(REST_MIN_S * 2**times, REST_MAX_S), None
        if times > times_max:
            self.shared.session.refresh()  # the step may have changed it before it was refused
            rest_s, seen = math.inf, self.shared.feature.packages[wp_id]
        self._held_up[wp_id] = HoldUp(why, times, time.monotonic() + rest_s, seen)
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
            fresh.show(self.shared.session.board)  # what is shown until the next look
            old, self.shared.session = self.shared.session, fresh
            old.close()

    def _stop(self) -> None:
        """Ends all agents at once, reports it, and releases their claims."""
        for task in self.active.values():
            if task.run is not None:
                task.run.stop(GRACE_S)
        until_s = time.monotonic() + STOP_S_MAX
        while False in [task.has_ended() for task in self.active.values()]:
            time.sleep(POLL_S / 4)
            if time.monotonic() > until_s:
                break
        for task in self.active.values():
            task.report("stopped", "stopped; its claim is free")
            task.close()
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


def choose(
    feature: FeatureState,
    setup: OrchestratorConfig,
    running: Sequence[Task],
    failures: Mapping[tuple[str, Phase, str], Failures],
    held: Collection[str],
    now_s: float,
) -> list[Task]:
    """Returns the tasks to begin now, ordered by how many packages wait, then by id.

    It is pure. `failures` are by package, phase and agent. A package waits, in any phase, as long
    as one of its dependencies is open. A package in `held`, which somebody else works on, is left
    out, and so is one that is approved. A package whose agent is busy or has to pause goes to no
    other agent, and takes no slot. The agent is the first that has a try left; nobody reviews their
    own work, unless there is no other reviewer.
    """
    busy = {task.wp_id for task in running} | set(held)
    agents = [task.agent for task in running]
    waiting = waiting_for(feature)
    chosen: list[Task] = []
    ranked = sorted(
        feature.packages.values(), key=lambda one: (-waiting.get(one.wp_id, 0), one.wp_id)
    )
    for package in ranked:
        if package.wp_id in busy or open_dependencies(feature, package):
            continue
        if len(agents) >= setup.slots:
            break
        if package.lane in (PLANNED, DOING):
            phase, names = "implementation", setup.implement or tuple(setup.agents)
        elif package.lane == FOR_REVIEW and setup.review and not package.is_approved:
            others = tuple(name for name in setup.review if name != package.agent)
            phase, names = "review", others or setup.review
        else:
            continue
        tried = {key[2]: one for key, one in failures.items() if key[:2] == (package.wp_id, phase)}
        left = [n for n in names if n not in tried or tried[n].failed <= setup.retries]
        if not left or agents.count(left[0]) >= setup.agents[left[0]].slots:
            continue
        if left[0] in tried and tried[left[0]].not_before_s > now_s:
            continue
        agents.append(left[0])
        tries = sum(one.failed for one in tried.values())
        chosen.append(Task(package.wp_id, phase, left[0], tries))
    return chosen


def open_dependencies(feature: FeatureState, package: PackageState) -> tuple[str, ...]:
    """Returns the dependencies that a package waits for."""
    needed = dict.fromkeys(package.dependencies)
    return tuple(dependency for dependency in needed if not is_closed(feature, package, dependency))
