"""One step of an orchestrator with one package: an agent, its judgement, a gate, the landing.

Each step reads the board under the package's claim, records first what it is about to do, and can
be repeated by another orchestrator if this one is killed after it.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from thence.errors import GitFailed, Refused
from thence.git.files import TreeFiles
from thence.git.git import failure
from thence.git.locks import free_worktree
from thence.git.merging import merge, merged_tree
from thence.git.repository import Repository, git_dir_of, tip
from thence.git.worktrees import check_out, discard, state_of
from thence.log.open import new_id
from thence.work.board.move_request import FORCING, gate_change
from thence.work.board.remarks import REVIEW, TRY_FAILED, AttemptHistory
from thence.work.board.state import (
    APPROVED,
    DOING,
    DONE,
    FAILED,
    FOR_REVIEW,
    PASSED,
    PLANNED,
    FeatureState,
    PackageState,
)
from thence.work.journal.claims import drop, give
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, worktree_of
from thence.work.orchestrate import prompts
from thence.work.orchestrate.agent_process import AgentRun, AgentRunResult, AgentSpec, words_of
from thence.work.project.configuration import (
    BACKOFF_S_MAX,
    AgentConfig,
    GateConfig,
    OrchestratorConfig,
    argv,
    files_named,
)
from thence.work.session.command_commit import check_at_target
from thence.work.session.lane_changes import LaneRequest, check_move, move, request_of
from thence.work.session.package_code import LandingCheck, check_whole, workspace
from thence.work.session.pull_requests import push_packages
from thence.work.session.session import Session
from thence.work.session.sharing import give_way, refresh_first

ACTOR = "orchestrate"
GATE = "gate"
_ANSWERS = frozenset(("not_its_agent",))  # what an orchestrator answers for itself


Phase = str  # "implementation" or "review"; phases without an agent have other names


class Task(NamedTuple):
    """A package for an agent; `retry_count` is the number of failed tries of the phase."""

    wp_id: str
    phase: Phase
    agent: str
    retry_count: int


class Failures(NamedTuple):
    """The failed tries of an agent at a phase of a package since that was last begun afresh.

    The agent is not tried again before `not_before_s`, on the clock that `choose` is given.
    """

    failed: int
    not_before_s: float


class RunState(msgspec.Struct):
    """What the tasks of one run share: the session, and what this process has seen.

    `histories` are those of the packages, at the last look. `failures` count for this run alone,
    and so do `sent_back` and `conflicted`, the packages that reviews and gates sent back, and those
    whose branches could not be merged. `gates_passed` maps the gates that a commit of a package
    passed here to the events that say so. `report` passes a report to the user, with the members of
    a ProgressNote.
    """

    session: Session
    slug: str
    setup: OrchestratorConfig
    report: Callable[..., None]
    histories: dict[str, AttemptHistory] = {}
    failures: dict[tuple[str, Phase, str], Failures] = {}
    sent_back: Counter[str] = msgspec.field(default_factory=Counter)
    conflicted: Counter[str] = msgspec.field(default_factory=Counter)
    gates_passed: dict[tuple[str, str], dict[str, str]] = {}

    @property
    def feature(self) -> FeatureState:
        """The feature, as the board had it at the last look."""
        return self.session.board.features[self.slug]

    def times_sent_back(self, wp_id: str) -> int:
        """Returns how often a package was sent back, by reviews or by merges."""
        return max(self.sent_back[wp_id], self.conflicted[wp_id])


def check_out_for_gate(repo: Repository, root: Path, package: tuple[str, str], commit: str) -> Path:
    """Makes a private checkout of a commit, without any file that an agent left in its worktree.

    It is made under the claim of the package, so that an existing checkout belongs to a killed run,
    and is removed. Raises GitFailed if it can't be made.
    """
    above, _, name = f"{worktree_of(*package)}-gate-".rpartition("/")
    with suppress(GitFailed, OSError):  # a leftover checkout does no harm
        for leftover in TreeFiles(root).names(above):
            if leftover.startswith(name):
                discard(repo, root / above / leftover)
    folder = root / above / f"{name}{new_id()}"
    check_out(repo, commit, folder)
    return folder


def pause_s(setup: OrchestratorConfig, failures: int) -> float:
    """Returns the pause of an agent after some failures: 5 minutes at most."""
    doublings = min(max(failures - 1, 0), 30)
    return min(setup.backoff_s * 2.0**doublings, BACKOFF_S_MAX)


def file_state(path: Path) -> tuple[int, int]:
    """Returns the size and the time of a file's last change, zeros without one."""
    try:
        stat = os.stat(path)
    except OSError:
        return (0, 0)
    return stat.st_size, stat.st_mtime_ns


class PackageTask:
    """One package whose claim, `lease`, is held; `task` is the current task.

    `seen` is the package as it was when the task was chosen. `begin` and `finish` start a process,
    `run`, if the step needs one; then `judge` is called once it has ended. `begun_s` is the time of
    the start, by the monotonic clock.
    """

    def __init__(self, shared: RunState, task: Task, lease: int, seen: PackageState) -> None:
        self._shared = shared
        self._setup = shared.setup
        self._lease = lease
        self._seen = seen
        self.task = task
        self.run: AgentRun | None = None
        self.begun_s = time.monotonic()
        self._result: AgentRunResult | None = None
        self._watch = Path(os.devnull)  # a file that commits change
        self._output = Path(os.devnull)
        self._gate: tuple[GateConfig, str] | None = None  # with the commit that it judges
        self._checkout: Path | None = None

    @property
    def _feature(self) -> FeatureState:
        return self._shared.feature

    @property
    def _package(self) -> PackageState:
        return self._feature.packages[self.task.wp_id]

    @property
    def _branch(self) -> str:
        return branch_of(self._feature.slug, self.task.wp_id)

    def has_ended(self) -> bool:
        """Reports whether no process of this task runs any more."""
        if self.run is not None and self._result is None:
            self._result = self.run.poll(file_state(self._watch))
        return self.run is None or self._result is not None

    def close(self) -> None:
        """Releases the claim, and removes the checkout of a gate with what was made there."""
        if self._checkout is not None:
            with suppress(GitFailed, OSError):
                discard(self._shared.session.project.repo, self._checkout)
        drop(self._lease)

    def begin(self) -> None:
        """Claims the package for its agent, and starts that, unless somebody has moved it."""
        task, session = self.task, self._shared.session
        until_s = refresh_first(session) if self._package.lane == PLANNED else 0.0
        session.refresh()
        holding = ("lane", "agent", "reviewer")
        if self._package.events_of(*holding) != self._seen.events_of(*holding):
            return
        target = session.snapshot.target_of(self._feature)
        check_at_target(session.snapshot, self._feature, target)
        if task.phase == REVIEW and not self._can_be_judged():
            return
        stray, back = self._stray()
        if stray:
            raise Refused(
                "could not begin a try of",
                guard="worktree_dirty",
                place=f"{self._feature.slug}/{task.wp_id}",
                cause=stray,
                hint=back,
            )
        payload = {
            "wp_id": task.wp_id,
            "agent_id": task.agent,
            "phase": task.phase,
            "retry_count": task.retry_count,
        }
        history = self._shared.histories.get(task.wp_id) or AttemptHistory()
        causes = [one.event_id for one in history.failed if one.phase == task.phase]
        assigned = WorkEvent(
            "WPAssigned", payload, self._feature.slug, tuple(causes), event_id=new_id()
        )
        with session.acting_as(task.agent):
            if self._package.lane == PLANNED:  # claim and assignment in one piece
                self._move(DOING, also=(assigned,))
                session.refresh()
            else:
                session.append(assigned)
            give_way(session, self._feature, self._package, until_s)
            worktree = workspace(session, self._feature, self._package)
        own = git_dir_of(worktree.path)
        free_worktree(session.project.repo.common, own, worktree.branch)
        number = f", try {task.retry_count + 1}" if task.retry_count else ""
        self.report("begun", f"{task.phase} by {task.agent}{number}")
        work = prompts.assignment(
            session.planning, self._feature, self._package, target, worktree.path
        )
        ask = prompts.review if task.phase == REVIEW else prompts.implementation
        self._watch = own / "logs/HEAD"
        agent = self._setup.agents[task.agent]
        variables = {**agent.env, **session.store.log.environment(assigned.event_id)}
        prompt = ask(work, history.feedback)
        self._start(agent, worktree.path, assigned.event_id, variables, prompt)

    def _start(
        self,
        program: AgentConfig | GateConfig,
        folder: Path,
        name: str,
        variables: Mapping[str, str],
        prompt: str | None = None,
    ) -> None:
        """Starts an agent, or a gate, which has no prompt; `name` names its log.

        It inherits the claim.
        """
        session, task, slug = self._shared.session, self.task, self._feature.slug
        logs = session.project.home / "agents" / slug
        logs.mkdir(parents=True, exist_ok=True)
        self._output = logs / f"{task.wp_id}-{name}.log"
        values = dict[str, str]()
        if prompt is not None:
            file = self._output.with_suffix(".md")
            file.write_text(prompt, encoding="utf-8")
            values = {
                "prompt_file": os.fspath(file),
                "worktree": os.fspath(folder),
                "wp_id": task.wp_id,
                "feature": slug,
                "phase": task.phase,
            }
        is_in_file = any("{prompt_file}" in part for part in program.command)
        told = {"ACTOR": task.agent or ACTOR, "WP": task.wp_id, "FEATURE": slug}
        order = AgentSpec(
            argv=argv(program.command, session.project.root, values),
            folder=folder,
            env={**variables, **{f"THENCE_{key}": value for key, value in told.items()}},
            prompt=b"" if prompt is None or is_in_file else prompt.encode(),
            output=self._output,
            timeout_s=program.timeout_s,
            stall_s=program.stall_s if isinstance(program, AgentConfig) else program.timeout_s,
            lease=self._lease,
        )
        self.begun_s = time.monotonic()
        self.run = AgentRun(order)
        give(self._lease, self.run.pid)

    def judge(self) -> None:
        """Decides after the end of a try: move on, send back, or record a failed try."""
        session, ended = self._shared.session, self._result
        assert ended is not None, "its process has ended"
        session.refresh()
        if self._gate is not None:
            (gate, commit), is_passed, event_id = self._gate, ended.how == "done", ""
            kind, wp_id = gate.gate_type, self.task.wp_id
            for one in [one for one in self._package.gates.values() if one.gate_type == kind]:
                status, seconds = PASSED if is_passed else FAILED, round(ended.seconds, 3)
                change = gate_change(one, status, commit=commit, seconds=seconds)
                lane = self._package.events_of("lane")
                event_id = self._append(change.event_type, change.payload, ACTOR, lane)
            if is_passed:
                # the events of gates passed count only here: an agent can write such events
                self._shared.gates_passed.setdefault((wp_id, commit), {})[kind] = event_id
                self.report("reviewed", f"gate {kind} passed", ended.seconds)
            else:
                self._send_back(f"gate {kind} failed: {words_of(ended)}", ACTOR, event_id)
            return
        package, agent, is_review = self._package, self.task.agent, self.task.phase == REVIEW
        if package.lane != (FOR_REVIEW if is_review else DOING):
            self.report("moved", f"someone moved it to {package.lane} in the meantime")
            return
        if (who := package.reviewer if is_review else package.agent) != agent:
            self.report("moved", f"{who} took it over in the meantime")
            return
        stray = "; ".join(filter(None, self._stray()))
        if ended.how != "done":
            self._fail("; ".join(filter(None, (words_of(ended), stray))), ended.seconds)
        elif is_review:
            if stray:
                self.report("note", stray)
            with self._output.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - prompts.VERDICT_BYTES))
                verdict = prompts.verdict_of(file.read())
            if verdict is None:
                self._fail("its review ended without a line VERDICT:", ended.seconds)
            elif verdict.is_approved:
                said = {"entry_type": REVIEW, "entry_content": APPROVED, "author": agent}
                self._append("HistoryAdded", {"wp_id": self.task.wp_id, **said}, agent)
                self.report("reviewed", f"approved by {agent}", ended.seconds)
            else:
                self._send_back(verdict.reason, agent)
        elif stray:
            self._fail(stray, ended.seconds)
        else:
            try:
                with session.acting_as(agent):
                    self._move(FOR_REVIEW)
            except Refused as refused:
                # agents get no hint to force it
                remedy = (refused.hint or "").removesuffix(FORCING)
                self._fail(f"{refused.cause}; {remedy}", ended.seconds)
            else:
                self.report("moved", "doing -> for_review", ended.seconds)

    def _can_be_judged(self) -> bool:
        """Sends a package back whose branch can't be merged; otherwise reports what it changes.

        Nobody reviews what has to be merged first. Files that commands of the configuration name
        are reported.
        """
        session, wp_id = self._shared.session, self.task.wp_id
        branch, target = self._branch, session.snapshot.target_of(self._feature)
        repo, tips = session.project.repo, session.refs.branches
        if branch not in tips or target not in tips:
            return True
        _, files = merged_tree(repo, tips[target], tips[branch])
        if files:
            reason = (
                f"{branch} and {target} both change {', '.join(files)}: merge {target} into"
                f" {branch}, resolve the conflict and commit"
            )
            self._send_back(reason, ACTOR, counter=self._shared.conflicted)
            return False
        names = ("diff", "--name-only", "-z", "--no-renames", f"{target}...{tips[branch]}", "--")
        named = files_named(self._setup)
        for path in os.fsdecode(repo.git.run(*names)).split("\0"):
            if path in named:
                session.warnings.append(f"{wp_id}: it changes {path}, which {named[path]} names")
        return True

    def _stray(self) -> tuple[str, str]:
        """Returns where the worktree stands if it left its branch, and what brings it back."""
        session, branch = self._shared.session, self._branch
        worktree = session.project.root / worktree_of(self._feature.slug, self.task.wp_id)
        state = state_of(session.project.repo, branch, worktree, session.refs.trees)
        if state.kind != "foreign":
            return "", ""
        switch = "switch" if branch in session.refs.branches else "switch -c"
        stray = f"it left its branch {branch} for {state.branch or 'no branch'}"
        return stray, f"in {worktree}: git {switch} {branch}"

    def finish(self) -> None:
        """Starts the next gate of an approved package; with all passed merges or pushes it.

        A gate runs in a checkout of the commit. A pushed package is done once it has landed; until
        then it is refused.
        """
        session, wp_id, branch = self._shared.session, self.task.wp_id, self._branch
        session.refresh()
        if self._package.lane != FOR_REVIEW or not self._can_be_judged():
            return
        project, slug = session.project, self._feature.slug
        commit = tip(project.repo, branch)
        if commit is None:
            cause, hint = f"there is no branch {branch}", "git branch"
            raise failure("could not run the gates in", project.repo.folder, cause, hint)
        passed = self._shared.gates_passed.get((wp_id, commit), {})
        gate = next((one for one in self._setup.gates if one.gate_type not in passed), None)
        if gate is not None:
            kind, lane = gate.gate_type, self._package.events_of("lane")
            if kind not in {one.gate_type for one in self._package.gates.values()}:
                payload = {"work_package_id": wp_id, "gate_type": kind, "gate_id": new_id()}
                self._append("GateCreated", payload, ACTOR, lane)
                session.refresh()
            self._gate = gate, commit
            self._checkout = check_out_for_gate(project.repo, project.root, (slug, wp_id), commit)
            self.task = Task(wp_id, f"{GATE} {kind}", "", 0)
            self.report("begun", self.task.phase)
            self._start(gate, self._checkout, f"{kind}-{new_id()}", {})
            return
        with session.acting_as(self._package.reviewer or ACTOR):
            members: dict[str, Any] = {
                "gates_run": frozenset(one.gate_type for one in self._setup.gates),
                "gates_seen": passed,
                "rests_on": self._package.events_of("approved"),
                "is_local": self._setup.landed == "local",
            }
            # where its code is counts once it has landed
            request = self._request("", **members)._replace(to=DONE)
            if where := self._land(commit, request):
                session.forget_refs()
                move(session, slug, self._request(DONE, **members))
                session.refresh()
                self.report("merged", f"{where}, done")

    def _land(self, commit: str, request: LaneRequest) -> str:
        """Merges or pushes the package, and returns how it landed, "" if it is sent back.

        Raises Refused for one that may not be done, and for one that was pushed and did not land.
        """
        session, feature, branch = self._shared.session, self._feature, self._branch
        is_pushed = session.planning.is_by_pull_request
        if not is_pushed and request.context.worktree == "dirty":
            self._send_back("its worktree holds changes that are not committed", ACTOR)
            return ""
        check_move(session.board, feature.slug, request)
        if is_pushed:
            session.remotes.clear()  # it may have landed since
            pull_request = push_packages(session, feature, [branch])[branch]
            code = LandingCheck(session.snapshot, feature).of(self._package)
            if code.kind == "landed":
                return f"landed in {code.target}"
            step = pull_request or f"git push -u origin {branch}"
            raise Refused(
                "could not finish",
                guard="not_landed",
                place=f"{feature.slug}/{self.task.wp_id}",
                cause=f"{code.target} does not have it yet",
                hint=f"{step}; then thence work orchestrate",
            )
        target = session.snapshot.target_of(feature)
        check = partial(check_whole, session.snapshot, feature, {branch: self._package})
        tips = {branch: commit}
        try:
            merged = merge(session.project.repo, target, [branch], tips=tips, check=check)
        except Refused as refused:
            self._send_back(f"{refused.cause}; {refused.hint}", ACTOR)
            return ""
        # where the target has moved meanwhile the next turn sends it back
        return "" if merged.conflict else f"merged into {target}"

    def _send_back(
        self, reason: str, actor: str, *rests_on: str, counter: Counter[str] | None = None
    ) -> None:
        """Moves the package back to doing; its failed tries count no more."""
        shared, wp_id = self._shared, self.task.wp_id
        with shared.session.acting_as(actor):
            self._move(DOING, reason=reason, rests_on=rests_on)
        (shared.sent_back if counter is None else counter)[wp_id] += 1
        shared.failures = {key: one for key, one in shared.failures.items() if key[0] != wp_id}
        self.report("sent_back", reason)

    def _fail(self, why: str, seconds: float) -> None:
        """Records a failed try, with the feedback for the next one and the time of that."""
        task, failures = self.task, self._shared.failures
        payload = {
            "error_type": "runtime",
            "error_message": f"{TRY_FAILED}{why}",
            "wp_id": task.wp_id,
            "agent_id": task.agent,
        }
        self._append("ErrorLogged", payload, task.agent)
        key = (task.wp_id, task.phase, task.agent)
        count = failures[key].failed + 1 if key in failures else 1
        failures[key] = Failures(count, time.monotonic() + pause_s(self._setup, count))
        self.report("failed", why, seconds)

    def _request(self, to: str, reason: str = "", **members: Any) -> LaneRequest:
        """Returns the request to move the package; `members` are those of its context."""
        session, wp_id = self._shared.session, self.task.wp_id
        request = request_of(session, self._feature, wp_id, to, reason=reason)
        return request.knowing(waived_guards=_ANSWERS, **members)

    def _move(self, to: str, also: Sequence[WorkEvent] = (), **members: Any) -> None:
        move(self._shared.session, self._feature.slug, self._request(to, **members), also)

    def _append(
        self, event_type: str, payload: Mapping[str, object], actor: str, causes: Sequence[str] = ()
    ) -> str:
        """Appends an event, and returns its id; raises where the journal can't be written."""
        event = WorkEvent(event_type, payload, self._feature.slug, tuple(causes), actor)
        return self._shared.session.append(event)[0].event_id

    def report(self, kind: str, text: str, seconds: float | None = None) -> None:
        """Reports a step with the package."""
        task = self.task
        self._shared.report(kind, text, task.wp_id, task.agent or None, task.phase, seconds)
