"""One step of an orchestrator with one package: assign it, judge it, run a gate, merge it.

Each step reads the board under the package's claim, records first what it is about to do, and can
be repeated by another orchestrator if this one is killed after it.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from thence.errors import GitFailed, Refused
from thence.git.files import TreeFiles
from thence.git.git import failure, own_variables
from thence.git.locks import ORCHESTRATING, free_worktree, locked
from thence.git.merging import merge, merged_tree
from thence.git.repository import (
    Repository,
    git_dir_of,
    tip,
)
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
from thence.work.orchestrate import prompts, scheduling
from thence.work.orchestrate.agent_process import AgentRunResult, AgentSpec, hints, words_of
from thence.work.orchestrate.scheduling import Failed, Task, pause_s
from thence.work.project.configuration import (
    GateConfig,
    OrchestratorConfig,
    argv,
    files_named,
)
from thence.work.session.command_commit import check_at_target
from thence.work.session.lane_changes import context_of, decide_move, mirror, move
from thence.work.session.package_code import (
    LandingCheck,
    check_whole,
    workspace,
)
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
    `reverted` maps done packages whose code was taken out again to the
    sentence that says so. `report` passes a report to the user, with the members of a ProgressNote.
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
        self.failures: dict[tuple[str, str, str], Failed] = {}
        self.changes_requested: Counter[str] = Counter()
        self.conflicted: Counter[str] = Counter()
        self.inspected: set[tuple[str, str]] = set()
        # the events of the gates that a commit of a package passed; an agent can write others
        self.gates_passed: dict[tuple[str, str], dict[str, str]] = {}
        self.reverted: Mapping[str, str] = {}
        self._slug = slug

    @property
    def feature(self) -> FeatureState:
        """The feature, as the board had it at the last look."""
        return self.session.board.features[self._slug]

    @property
    def pending(self) -> FeatureState:
        """The feature with those done packages whose code was reverted in the lane "reverted"."""
        return scheduling.with_reverted(self.feature, self.reverted)

    def failed(self, task: Task) -> None:
        """Records a failed try, and the time of the next one."""
        key = (task.wp_id, task.phase, task.agent)
        count = self.failures[key].count + 1 if key in self.failures else 1
        until_s = time.monotonic() + pause_s(self.setup, count)
        self.failures[key] = Failed(*key, count, until_s)

    def sent_back(self, wp_id: str, *, is_conflict: bool) -> None:
        """Records that a package was sent back: its failed tries count no more."""
        (self.conflicted if is_conflict else self.changes_requested)[wp_id] += 1
        self.failures = {key: failure for key, failure in self.failures.items() if key[0] != wp_id}


class GateRun:
    """A gate of the configuration while its command runs, in a private checkout of one commit.

    The checkout holds only committed files, no file that an agent has left in its worktree. It is
    made under the claim of the package, so that an existing checkout belongs to a killed run, and
    is removed. `folder` is the working folder of the command, `commit` the commit that it judges.
    Raises GitFailed if the checkout can't be made.
    """

    def __init__(
        self, repo: Repository, root: Path, package: tuple[str, str], gate: GateConfig, commit: str
    ) -> None:
        self.gate = gate
        self.commit = commit
        self._repo, self._root = repo, root
        above, _, name = f"{worktree_of(*package)}-gate-".rpartition("/")
        with suppress(GitFailed, OSError):  # a leftover checkout does no harm
            for leftover in TreeFiles(root).names(above):
                if leftover.startswith(name):
                    discard(repo, root / above / leftover)
        self.folder = root / above / f"{name}{new_id()}"
        check_out(repo, commit, self.folder)

    def order(
        self, output: Path, env: Mapping[str, str], lease: int, passes: tuple[str, ...]
    ) -> AgentSpec:
        """Returns the gate's command; `env`, `lease` and `passes` are as in AgentSpec."""
        return AgentSpec(
            argv=argv(self.gate.command, self._root, {}),
            folder=self.folder,
            env=env,
            prompt=b"",
            output=output,
            timeout_s=self.gate.timeout_s,
            stall_s=self.gate.timeout_s,
            lease=lease,
            passes=passes,
        )

    def close(self) -> None:
        """Removes the checkout, with the files that the command has made in it."""
        with suppress(GitFailed, OSError):
            discard(self._repo, self.folder)


class PackageTask:
    """One step with one package; `task` is the current task, `watch` a file that commits change."""

    def __init__(self, shared: RunState, task: Task) -> None:
        self._shared = shared
        self._setup = shared.setup
        self.task = task
        self.watch = Path(os.devnull)
        self._gate: GateRun | None = None

    @property
    def _feature(self) -> FeatureState:
        return self._shared.feature

    @property
    def _package(self) -> PackageState:
        return self._feature.packages[self.task.wp_id]

    @property
    def _history(self) -> AttemptHistory:
        return self._shared.histories.get(self.task.wp_id) or AttemptHistory()

    def begin(self, lease: int) -> AgentSpec | None:
        """Claims the package for its agent, which is to be started; None if the board changed."""
        task, session = self.task, self._shared.session
        until_s = refresh_first(session) if self._package.lane == PLANNED else 0.0
        session.refresh()
        package = self._package
        expected = (FOR_REVIEW,) if task.phase == REVIEW else (PLANNED, DOING)
        if package.lane not in expected:
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
        with self._acting_as(task.agent):
            assigned = self._assign()
            give_way(session, self._feature, self._package, until_s)
            worktree = workspace(session, self._feature, self._package)
        free_worktree(session.project.repo.common, git_dir_of(worktree.path), worktree.branch)
        number = f", try {task.retry_count + 1}" if task.retry_count else ""
        self._report("begun", f"{task.phase} by {task.agent}{number}")
        agent = self._setup.agents[task.agent]
        output = self._output(assigned)
        prompt = output.with_suffix(".md")
        text = self._prompt(worktree.path)
        prompt.write_text(text, encoding="utf-8")
        self.watch = git_dir_of(worktree.path) / "logs/HEAD"
        return AgentSpec(
            argv=argv(
                agent.command,
                session.project.root,
                {
                    "prompt_file": os.fspath(prompt),
                    "worktree": os.fspath(worktree.path),
                    "wp_id": task.wp_id,
                    "feature": self._feature.slug,
                    "phase": task.phase,
                },
            ),
            folder=worktree.path,
            env=self._env(assigned, task.agent, agent.env),
            prompt=text.encode() if agent.prompt == "stdin" else b"",
            output=output,
            timeout_s=agent.timeout_s,
            stall_s=agent.stall_s,
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
        failed = self._history.attempts
        causes = tuple(event_id for phase, event_id in failed if phase == task.phase)
        event = WorkEvent("WPAssigned", payload, slug, causes, event_id=new_id())
        if self._package.lane == PLANNED:
            context = context_of(session, self._feature, task.wp_id)
            move(
                session, slug, task.wp_id, DOING, replace(context, waived_guards=_ANSWERS), (event,)
            )
            session.refresh()
        else:
            self._append(event)
        return event.event_id

    def judge(self, ended: AgentRunResult) -> None:
        """Decides after the end of a try: move on, send back, or record a failed try."""
        session = self._shared.session
        session.refresh()
        if self._gate is not None:
            self._judge_gate(self._gate, ended)
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
                self._name_keys()
        elif self.task.phase == REVIEW:
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
        branch, target = branch_of(self._feature.slug, wp_id), session.target_of(self._feature)
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
        branch = branch_of(self._feature.slug, self.task.wp_id)
        target = self._shared.session.target_of(self._feature)
        reason = (
            f"{branch} and {target} both change {', '.join(files)}: merge {target} into {branch},"
            " resolve the conflict and commit"
        )
        self._send_back(reason, ACTOR, is_conflict=True)

    def _stray(self) -> tuple[str, str]:
        """Returns where the worktree stands if it left its branch, and what brings it back."""
        session, branch = self._shared.session, branch_of(self._feature.slug, self.task.wp_id)
        state = state_of(session.project.repo, branch, self._worktree, session.refs.trees)
        if state.kind != "foreign":
            return "", ""
        switch = "switch" if branch in session.refs.branches else "switch -c"
        stray = f"it left its branch {branch} for {state.branch or 'no branch'}"
        return stray, f"in {self._worktree}: git {switch} {branch}"

    @property
    def _worktree(self) -> Path:
        root = self._shared.session.project.root
        return root / worktree_of(self._feature.slug, self.task.wp_id)

    def _hand_in(self, ended: AgentRunResult) -> None:
        """Moves the work of an agent to review, unless a guard refuses."""
        session, slug = self._shared.session, self._feature.slug
        with self._acting_as(self.task.agent):
            try:
                context = context_of(session, self._feature, self.task.wp_id)
                move(
                    session,
                    slug,
                    self.task.wp_id,
                    FOR_REVIEW,
                    replace(context, waived_guards=_ANSWERS),
                )
            except Refused as refused:
                # agents get no hint to force it
                remedy = (refused.hint or "").removesuffix(FORCING)
                self._fail(f"{refused.cause}; {remedy}", ended.seconds)
                return
        self._report("moved", "doing -> for_review", ended.seconds)

    def _review(self, ended: AgentRunResult) -> None:
        """Applies the verdict of a review."""
        verdict = prompts.verdict_of(self._printed())
        if verdict is None:
            self._fail("its review ended without a line VERDICT:", ended.seconds)
        elif verdict.is_approved:
            with self._acting_as(self.task.agent):
                self._append(self._history_event(REVIEW, APPROVED))
            self._report("reviewed", f"approved by {self.task.agent}", ended.seconds)
        else:
            self._send_back(verdict.reason, self.task.agent)

    def finish(self, lease: int) -> AgentSpec | None:
        """Returns the next gate of an approved package; with all passed merges or pushes it."""
        session = self._shared.session
        session.refresh()
        if self._package.lane != FOR_REVIEW or not self._can_be_judged():
            return None
        branch = branch_of(self._feature.slug, self.task.wp_id)
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
        session, wp_id = self._shared.session, self.task.wp_id
        with locked(session.project.repo.common / ORCHESTRATING):
            session.refresh()
            if tip(session.project.repo, branch) != commit:
                return  # newer commits are judged first
            if context_of(session, self._feature, wp_id).worktree == "dirty":
                self._send_back("its worktree holds changes that are not committed", ACTOR)
                return
            self._decide(decide_move, commit)  # a package that may not be done is not merged
            target = session.target_of(self._feature)
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
            mirror(session, self._feature)
        self._report("merged", f"merged into {target}, done")

    def _decide(
        self, how: Callable[[Session, str, str, str, MoveContext], Move], commit: str
    ) -> None:
        """Moves the package to done for its reviewer, or only checks that move, as `how` does."""
        session, wp_id = self._shared.session, self.task.wp_id
        with self._acting_as(self._package.reviewer or ACTOR):
            context = replace(
                context_of(session, self._feature, wp_id),
                waived_guards=_ANSWERS,
                gates_run=frozenset(gate.gate_type for gate in self._setup.gates),
                gates_seen=self._shared.gates_passed.get((wp_id, commit), {}),
                rests_on=self._package.events_of("approved"),
                is_local=self._setup.landed == "local",
            )
            how(session, self._feature.slug, wp_id, DONE, context)

    def _begin_gate(self, gate: GateConfig, commit: str, lease: int) -> AgentSpec:
        """Returns the command of a gate, in a checkout of the commit."""
        session, slug, wp_id = self._shared.session, self._feature.slug, self.task.wp_id
        if gate.gate_type not in {
            gate_state.gate_type for gate_state in self._package.gates.values()
        }:
            payload = {"work_package_id": wp_id, "gate_type": gate.gate_type, "gate_id": new_id()}
            with self._acting_as(ACTOR):
                causes = self._package.events_of("lane")
                self._append(WorkEvent("GateCreated", payload, slug, causes))
            session.refresh()
        self._gate = GateRun(
            session.project.repo, session.project.root, (slug, wp_id), gate, commit
        )
        self.task = Task(wp_id, f"{GATE} {gate.gate_type}", "", 0)
        self._report("begun", self.task.phase)
        env = {"THENCE_ACTOR": ACTOR, "THENCE_WP": wp_id, "THENCE_FEATURE": slug}
        output = self._folder() / f"{wp_id}-{gate.gate_type}-{new_id()}.log"
        return self._gate.order(output, env, lease, self._setup.environment)

    def _judge_gate(self, judged: GateRun, ended: AgentRunResult) -> None:
        slug, wp_id, gate_type = self._feature.slug, self.task.wp_id, judged.gate.gate_type
        gates = [gate for gate in self._package.gates.values() if gate.gate_type == gate_type]
        is_passed = ended.how == "done"
        event_id = ""
        for gate in gates:
            seconds = round(ended.seconds, 3)
            status = PASSED if is_passed else FAILED
            change = gate_change(gate, status, commit=judged.commit, seconds=seconds)
            with self._acting_as(ACTOR):
                judges = self._package.events_of("lane")
                event_id = self._append(WorkEvent(change.event_type, change.payload, slug, judges))
        if is_passed:
            passed = self._shared.gates_passed.setdefault((wp_id, judged.commit), {})
            passed[gate_type] = event_id
            self._report("reviewed", f"gate {gate_type} passed", ended.seconds)
        else:
            self._send_back(f"gate {gate_type} failed: {words_of(ended)}", ACTOR, event_id)

    def close(self) -> None:
        """Removes the checkout of a gate."""
        if self._gate is not None:
            self._gate.close()

    def interrupted(self) -> None:
        """Records that a try was stopped; anybody may go on with the package."""
        if self._gate is None:
            with self._acting_as(ACTOR):
                comment = "stopped before it ended; thence work orchestrate goes on"
                self._shared.session.append(self._history_event("comment", comment))
        self._report("stopped", "stopped; its claim is free")

    def _send_back(
        self, reason: str, actor: str, *rests_on: str, is_conflict: bool = False
    ) -> None:
        session, slug, wp_id = self._shared.session, self._feature.slug, self.task.wp_id
        with self._acting_as(actor):
            context = context_of(session, self._feature, wp_id, reason=reason)
            context = replace(context, waived_guards=_ANSWERS, rests_on=rests_on)
            move(session, slug, wp_id, DOING, context)
        self._shared.sent_back(wp_id, is_conflict=is_conflict)
        self._report("sent_back", reason)

    def _fail(self, why: str, seconds: float) -> None:
        """Records a failed try, with the feedback for the next one."""
        payload = {
            "error_type": "runtime",
            "error_message": f"{TRY_FAILED}{why}",
            "wp_id": self.task.wp_id,
            "agent_id": self.task.agent,
        }
        with self._acting_as(self.task.agent):
            self._append(WorkEvent("ErrorLogged", payload, self._feature.slug))
        self._shared.failed(self.task)
        self._report("failed", why, seconds)

    def _name_keys(self) -> None:
        """Warns of missing variables that may have ended an agent at once."""
        agent = self._setup.agents[self.task.agent]
        names = {*own_variables()} - {*agent.env}
        self._shared.session.warnings += hints(self.task.agent, names, self._setup.environment)

    def _history_event(self, kind: str, text: str) -> WorkEvent:
        payload = {
            "wp_id": self.task.wp_id,
            "entry_type": kind,
            "entry_content": text,
            "author": self.task.agent,
        }
        return WorkEvent("HistoryAdded", payload, self._feature.slug)

    def _append(self, event: WorkEvent) -> str:
        """Appends an event, and returns its id; raises where the journal can't be written."""
        return self._shared.session.append(event)[0].event_id

    @contextmanager
    def _acting_as(self, actor: str) -> Iterator[None]:
        session = self._shared.session
        before = session.actor, session.store.actor
        session.actor = session.store.actor = actor
        try:
            yield
        finally:
            session.actor, session.store.actor = before

    def _prompt(self, worktree: Path) -> str:
        session, feature = self._shared.session, self._feature
        target = session.target_of(feature)
        work = prompts.assignment(session.planning, feature, self._package, target, worktree)
        ask = prompts.review if self.task.phase == REVIEW else prompts.implementation
        return ask(work, self._history.feedback)

    def _env(self, assigned: str, agent: str, own: Mapping[str, str]) -> dict[str, str]:
        session = self._shared.session
        return {
            **own,
            **session.store.log.environment(assigned),
            "THENCE_ACTOR": agent,
            "THENCE_WP": self.task.wp_id,
            "THENCE_FEATURE": self._feature.slug,
        }

    def _folder(self) -> Path:
        folder = self._shared.session.project.home / "agents" / self._feature.slug
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _printed(self) -> bytes:
        """Returns the end of the agent's output."""
        assigned = self._history.assigned
        assert assigned is not None, "a try begins with a WPAssigned"
        with self._output(assigned.event_id).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - prompts.VERDICT_BYTES))
            return file.read()

    def _output(self, event_id: str) -> Path:
        return self._folder() / f"{self.task.wp_id}-{event_id}.log"

    def _report(self, kind: str, text: str, seconds: float | None = None) -> None:
        task = self.task
        self._shared.report(kind, text, task.wp_id, task.agent or None, task.phase, seconds)
