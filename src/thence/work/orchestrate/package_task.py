"""One step of an orchestrator with one package: assign it, judge it, run a gate, merge it.

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

from msgspec.structs import replace

from thence.errors import GitFailed, Refused
from thence.git.files import TreeFiles
from thence.git.git import failure
from thence.git.locks import free_worktree
from thence.git.merging import merge, merged_tree
from thence.git.repository import Repository, git_dir_of, tip
from thence.git.worktrees import check_out, discard, state_of
from thence.log.open import new_id
from thence.work.board.attempts import REVIEW, TRY_FAILED, AttemptHistory
from thence.work.board.move_request import FORCING, Move, MoveContext, gate_change
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
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, worktree_of
from thence.work.orchestrate import prompts
from thence.work.orchestrate.agent_process import AgentRunResult, AgentSpec, words_of
from thence.work.orchestrate.scheduling import Failures, Task, pause_s
from thence.work.project.configuration import (
    AgentConfig,
    GateConfig,
    OrchestratorConfig,
    argv,
    files_named,
)
from thence.work.project.project_id import CONFIG
from thence.work.session.command_commit import check_at_target
from thence.work.session.lane_changes import context_of, decide_move, move
from thence.work.session.package_code import LandingCheck, check_whole, workspace
from thence.work.session.pull_requests import push_packages
from thence.work.session.session import Session
from thence.work.session.sharing import give_way, refresh_first

ACTOR = "orchestrate"
GATE = "gate"
_AT_ONCE_S = 10.0
_ANSWERS = frozenset(("not_its_agent",))  # what an orchestrator answers for itself


class RunState:
    """What the tasks of one run share: the session, and what this process has seen.

    `histories` are those of the packages, at the last look. `failures`, `changes_requested` and
    `conflicted`, the branches that could not be merged, count for this run alone. `inspected` are
    the packages, each with a commit, whose changes were compared with the commands that judge them.
    `gates_passed` maps the gates that a commit of a package passed here to the events that say so.
    `report` passes a report to the user, with the members of a ProgressNote.
    """

    def __init__(
        self,
        session: Session,
        slug: str,
        setup: OrchestratorConfig,
        report: Callable[..., None],
    ) -> None:
        self.session = session
        self.setup = setup
        self.report = report
        self.histories: dict[str, AttemptHistory] = {}
        self.failures: dict[tuple[str, str, str], Failures] = {}
        self.changes_requested: Counter[str] = Counter()
        self.conflicted: Counter[str] = Counter()
        self.inspected: set[tuple[str, str]] = set()
        self.gates_passed: dict[tuple[str, str], dict[str, str]] = {}
        self._slug = slug

    @property
    def feature(self) -> FeatureState:
        """The feature, as the board had it at the last look."""
        return self.session.board.features[self._slug]


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


class PackageTask:
    """One step with one package; `task` is the current task, `watch` a file that commits change."""

    def __init__(self, shared: RunState, task: Task) -> None:
        self._shared = shared
        self._setup = shared.setup
        self.task = task
        self.watch = Path(os.devnull)
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
    def _history(self) -> AttemptHistory:
        return self._shared.histories.get(self.task.wp_id) or AttemptHistory()

    @property
    def _branch(self) -> str:
        return branch_of(self._feature.slug, self.task.wp_id)

    def begin(self, lease: int) -> AgentSpec | None:
        """Claims the package for its agent, which is to be started; None if the board changed."""
        task, session = self.task, self._shared.session
        until_s = refresh_first(session) if self._package.lane == PLANNED else 0.0
        session.refresh()
        expected = (FOR_REVIEW,) if task.phase == REVIEW else (PLANNED, DOING)
        if self._package.lane not in expected:
            return None
        check_at_target(session, self._feature, session.target_of(self._feature))
        if task.phase == REVIEW and not self._can_be_judged():
            return None
        stray, back = self._stray()
        if stray:
            raise Refused(
                "could not begin a try of",
                guard="worktree_dirty",
                place=f"{self._feature.slug}/{task.wp_id}",
                cause=stray,
                hint=back,
            )
        with self._shared.session.acting_as(task.agent):
            assigned = self._assign()
            give_way(session, self._feature, self._package, until_s)
            worktree = workspace(session, self._feature, self._package)
        free_worktree(session.project.repo.common, git_dir_of(worktree.path), worktree.branch)
        number = f", try {task.retry_count + 1}" if task.retry_count else ""
        self._report("begun", f"{task.phase} by {task.agent}{number}")
        target = session.target_of(self._feature)
        work = prompts.assignment(
            session.planning, self._feature, self._package, target, worktree.path
        )
        ask = prompts.review if task.phase == REVIEW else prompts.implementation
        text = ask(work, self._history.feedback)
        self.watch = git_dir_of(worktree.path) / "logs/HEAD"
        agent = self._setup.agents[task.agent]
        variables = {**agent.env, **session.store.log.environment(assigned)}
        return self._order(agent, worktree.path, assigned, lease, variables, text)

    def _order(
        self,
        program: AgentConfig | GateConfig,
        folder: Path,
        name: str,
        lease: int,
        variables: Mapping[str, str],
        prompt: str | None = None,
    ) -> AgentSpec:
        """Returns the command of an agent or gate, which has no prompt; `name` names its log."""
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
        return AgentSpec(
            argv=argv(program.command, session.project.root, values),
            folder=folder,
            env={**variables, **{f"THENCE_{key}": value for key, value in told.items()}},
            prompt=b"" if prompt is None or is_in_file else prompt.encode(),
            output=self._output,
            timeout_s=program.timeout_s,
            stall_s=program.stall_s if isinstance(program, AgentConfig) else program.timeout_s,
            lease=lease,
            passes=self._setup.environment,
        )

    def _assign(self) -> str:
        """Claims the package if it is planned, and gives it to the agent, in one piece."""
        task, session, slug = self.task, self._shared.session, self._feature.slug
        payload = {
            "wp_id": task.wp_id,
            "agent_id": task.agent,
            "phase": task.phase,
            "retry_count": task.retry_count,
        }
        failed = self._history.failed
        causes = tuple(one.event_id for one in failed if one.phase == task.phase)
        event = WorkEvent("WPAssigned", payload, slug, causes, event_id=new_id())
        if self._package.lane == PLANNED:
            self._move(DOING, self._context(), (event,))
            session.refresh()
        else:
            session.append(event)
        return event.event_id

    def judge(self, ended: AgentRunResult) -> None:
        """Decides after the end of a try: move on, send back, or record a failed try."""
        session = self._shared.session
        session.refresh()
        if self._gate is not None:
            gate, commit = self._gate
            self._judge_gate(gate, commit, ended)
            return
        package, is_review = self._package, self.task.phase == REVIEW
        if package.lane != (FOR_REVIEW if is_review else DOING):
            self._report("moved", f"somebody moved it to {package.lane} meanwhile")
            return
        if (who := package.reviewer if is_review else package.agent) != self.task.agent:
            self._report("moved", f"{who} took it over meanwhile")
            return
        stray = "; ".join(filter(None, self._stray()))
        if ended.how != "done":
            self._fail("; ".join(filter(None, (words_of(ended), stray))), ended.seconds)
            if ended.how == "failed" and ended.seconds < _AT_ONCE_S:
                session.warnings.append(
                    f"{self.task.agent} ended at once; a variable that it needs, such as a key, is"
                    f" named in {CONFIG}: orchestrate: {{environment: [SOME_API_KEY]}}"
                )
        elif is_review:
            if stray:
                self._report("note", stray)
            self._review(ended)
        elif stray:
            self._fail(stray, ended.seconds)
        else:
            self._hand_in(ended)

    def _can_be_judged(self) -> bool:
        """Sends a package back whose branch can't be merged; otherwise reports what it changes.

        Nobody reviews what has to be merged first. Files that commands of the configuration name
        are reported once a commit.
        """
        session, wp_id = self._shared.session, self.task.wp_id
        branch, target = self._branch, session.target_of(self._feature)
        repo, tips = session.project.repo, session.refs.branches
        if branch not in tips or target not in tips:
            return True
        _, files = merged_tree(repo, tips[target], tips[branch])
        if files:
            self._send_back_conflict(files)
            return False
        if (wp_id, tips[branch]) not in self._shared.inspected:
            self._shared.inspected.add((wp_id, tips[branch]))
            names = ("diff", "--name-only", "-z", "--no-renames", f"{target}...{tips[branch]}")
            changed = os.fsdecode(repo.git.run(*names, "--")).split("\0")
            named = files_named(self._setup)
            for path in changed:
                if path in named:
                    self._report("note", f"it changes {path}, which {named[path]} names")
        return True

    def _send_back_conflict(self, files: Sequence[str]) -> None:
        branch, target = self._branch, self._shared.session.target_of(self._feature)
        reason = (
            f"{branch} and {target} both change {', '.join(files)}: merge {target} into {branch},"
            " resolve the conflict and commit"
        )
        self._send_back(reason, ACTOR, is_conflict=True)

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

    def _hand_in(self, ended: AgentRunResult) -> None:
        """Moves the work of an agent to review, unless a guard refuses."""
        with self._shared.session.acting_as(self.task.agent):
            try:
                self._move(FOR_REVIEW, self._context())
            except Refused as refused:
                # agents get no hint to force it
                remedy = (refused.hint or "").removesuffix(FORCING)
                self._fail(f"{refused.cause}; {remedy}", ended.seconds)
                return
        self._report("moved", "doing -> for_review", ended.seconds)

    def _review(self, ended: AgentRunResult) -> None:
        """Applies the verdict of a review."""
        with self._output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - prompts.VERDICT_BYTES))
            verdict = prompts.verdict_of(file.read())
        if verdict is None:
            self._fail("its review ended without a line VERDICT:", ended.seconds)
        elif verdict.is_approved:
            payload = {
                "wp_id": self.task.wp_id,
                "entry_type": REVIEW,
                "entry_content": APPROVED,
                "author": self.task.agent,
            }
            self._append("HistoryAdded", payload, self.task.agent)
            self._report("reviewed", f"approved by {self.task.agent}", ended.seconds)
        else:
            self._send_back(verdict.reason, self.task.agent)

    def finish(self, lease: int) -> AgentSpec | None:
        """Returns the next gate of an approved package; with all passed merges or pushes it."""
        session, branch = self._shared.session, self._branch
        session.refresh()
        if self._package.lane != FOR_REVIEW or not self._can_be_judged():
            return None
        commit = tip(session.project.repo, branch)
        if commit is None:
            cause, hint = f"there is no branch {branch}", "git branch"
            raise failure("could not run the gates in", session.project.repo.folder, cause, hint)
        passed = self._shared.gates_passed.get((self.task.wp_id, commit), {})
        for gate in self._setup.gates:
            if gate.gate_type not in passed:
                return self._begin_gate(gate, commit, lease)
        if session.planning.is_by_pull_request:
            self._push(branch, commit)
        else:
            self._merge(branch, commit)
        return None

    def _push(self, branch: str, commit: str) -> None:
        """Pushes what has passed all gates; moves the package to done once it has landed."""
        session, feature = self._shared.session, self._feature
        self._decide(decide_move, commit)
        session.remotes.clear()  # it may have landed since
        request = push_packages(session, feature, [branch])[branch]
        code = LandingCheck(session, feature).of(self._package)
        if code.kind != "landed":
            raise Refused(
                "could not finish",
                guard="not_landed",
                place=f"{feature.slug}/{self.task.wp_id}",
                cause=f"{code.target} does not have it yet",
                hint=f"{request or f'git push -u origin {branch}'}; then thence work orchestrate",
            )
        self._decide(move, commit)
        session.refresh()
        self._report("merged", f"landed in {code.target}, done")

    def _merge(self, branch: str, commit: str) -> None:
        """Merges the commit that has passed all gates, and moves the package to done."""
        session, target = self._shared.session, self._shared.session.target_of(self._feature)
        if self._context().worktree == "dirty":
            self._send_back("its worktree holds changes that are not committed", ACTOR)
            return
        self._decide(decide_move, commit)  # a package that may not be done is not merged
        tips = {branch: commit}
        check = partial(check_whole, session, self._feature, {branch: self._package})
        try:
            merged = merge(session.project.repo, target, [branch], tips=tips, check=check)
        except Refused as refused:
            self._send_back(f"{refused.cause}; {refused.hint}", ACTOR)
            return
        if merged.conflict is not None:
            self._send_back_conflict(merged.conflict.files)
            return
        self._decide(move, commit)
        session.refresh()
        self._report("merged", f"merged into {target}, done")

    def _decide(
        self, how: Callable[[Session, str, str, str, MoveContext], Move], commit: str
    ) -> None:
        """Moves the package to done for its reviewer, or only checks that move, as `how` does."""
        wp_id = self.task.wp_id
        with self._shared.session.acting_as(self._package.reviewer or ACTOR):
            context = replace(
                self._context(),
                gates_run=frozenset(gate.gate_type for gate in self._setup.gates),
                gates_seen=self._shared.gates_passed.get((wp_id, commit), {}),
                rests_on=self._package.events_of("approved"),
                is_local=self._setup.landed == "local",
            )
            how(self._shared.session, self._feature.slug, wp_id, DONE, context)

    def _begin_gate(self, gate: GateConfig, commit: str, lease: int) -> AgentSpec:
        """Returns the command of a gate, in a checkout of the commit."""
        session, slug, wp_id = self._shared.session, self._feature.slug, self.task.wp_id
        if gate.gate_type not in {one.gate_type for one in self._package.gates.values()}:
            payload = {"work_package_id": wp_id, "gate_type": gate.gate_type, "gate_id": new_id()}
            self._append("GateCreated", payload, ACTOR, self._package.events_of("lane"))
            session.refresh()
        project = session.project
        self._gate = gate, commit
        self._checkout = check_out_for_gate(project.repo, project.root, (slug, wp_id), commit)
        self.task = Task(wp_id, f"{GATE} {gate.gate_type}", "", 0)
        self._report("begun", self.task.phase)
        return self._order(gate, self._checkout, f"{gate.gate_type}-{new_id()}", lease, {})

    def _judge_gate(self, judged: GateConfig, commit: str, ended: AgentRunResult) -> None:
        wp_id, gate_type = self.task.wp_id, judged.gate_type
        is_passed, event_id = ended.how == "done", ""
        for gate in [one for one in self._package.gates.values() if one.gate_type == gate_type]:
            status, seconds = PASSED if is_passed else FAILED, round(ended.seconds, 3)
            change = gate_change(gate, status, commit=commit, seconds=seconds)
            lane = self._package.events_of("lane")
            event_id = self._append(change.event_type, change.payload, ACTOR, lane)
        if is_passed:
            # the events of gates passed count only here: an agent can write such events
            self._shared.gates_passed.setdefault((wp_id, commit), {})[gate_type] = event_id
            self._report("reviewed", f"gate {gate_type} passed", ended.seconds)
        else:
            self._send_back(f"gate {gate_type} failed: {words_of(ended)}", ACTOR, event_id)

    def close(self) -> None:
        """Removes the checkout of a gate, with the files that its command has made there."""
        if self._checkout is not None:
            with suppress(GitFailed, OSError):
                discard(self._shared.session.project.repo, self._checkout)

    def stopped(self) -> None:
        """Reports that a try was stopped; anybody may go on with the package."""
        self._report("stopped", "stopped; its claim is free")

    def _send_back(
        self, reason: str, actor: str, *rests_on: str, is_conflict: bool = False
    ) -> None:
        """Moves the package back to doing; its failed tries count no more."""
        shared, wp_id = self._shared, self.task.wp_id
        with self._shared.session.acting_as(actor):
            self._move(DOING, replace(self._context(reason), rests_on=rests_on))
        (shared.conflicted if is_conflict else shared.changes_requested)[wp_id] += 1
        shared.failures = {key: one for key, one in shared.failures.items() if key[0] != wp_id}
        self._report("sent_back", reason)

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
        self._report("failed", why, seconds)

    def _context(self, reason: str = "") -> MoveContext:
        """Returns the context of a move by this orchestrator."""
        context = context_of(self._shared.session, self._feature, self.task.wp_id, reason=reason)
        return replace(context, waived_guards=_ANSWERS)

    def _move(self, to: str, context: MoveContext, also: Sequence[WorkEvent] = ()) -> None:
        move(self._shared.session, self._feature.slug, self.task.wp_id, to, context, also)

    def _append(
        self, event_type: str, payload: Mapping[str, object], actor: str, causes: Sequence[str] = ()
    ) -> str:
        """Appends an event, and returns its id; raises where the journal can't be written."""
        event = WorkEvent(event_type, payload, self._feature.slug, tuple(causes), actor)
        return self._shared.session.append(event)[0].event_id

    def _report(self, kind: str, text: str, seconds: float | None = None) -> None:
        task = self.task
        self._shared.report(kind, text, task.wp_id, task.agent or None, task.phase, seconds)
