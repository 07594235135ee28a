"""The code of a package: its branch and worktree, and the search for it in its target.

Git's answers about a commit and a target's tip are cached, so that a repeated search only reads
the refs while none has moved. The reflog of a package's worktree tells which commits were made
there: by them code is found that is in its target before the package is done. Commits that came to
the worktree from elsewhere, as by a merge of the target into the branch, do not count.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from msgspec import convert, to_builtins
from msgspec.structs import replace

from thence.errors import Refused, ThenceError
from thence.git.landed import (
    PATHS_MAX,
    Landed,
    Landing,
    Memo,
    Reviewed,
    absent_of,
    landing_of,
    missing_commits,
    reviewed_of,
)
from thence.git.merging import MergePlan
from thence.git.refs import Refs, newest_of, refs_of, tip_of
from thence.git.repository import Repository, is_ancestor, is_shallow
from thence.git.worktrees import Worktree, commits_made, make
from thence.work.board.move_request import (
    SHORT,
    CodeKind,
    LandingStatus,
    MoveContext,
    reverted_by,
)
from thence.work.board.state import DOING, DONE, FOR_REVIEW, Board, FeatureState, PackageState
from thence.work.journal.claims import workspace_event
from thence.work.names import branch_of, worktree_of
from thence.work.project.configuration import read_rules, read_worktree
from thence.work.project.package_refs import (
    base_of_package,
    record_base,
    record_base_if_missing,
    target_in,
)
from thence.work.session.session import Session

NOWHERE = Landing()


def with_code(
    session: Session, feature: FeatureState, wp_id: str, to: str, context: MoveContext
) -> MoveContext:
    """Returns the context of a move, completed by the package's code.

    A move to review gets the reviewed code, a move to done the code's present state unless the
    context has it already: before done the refs are read once more. A move out of done gets it in a
    shallow clone.
    """
    package = feature.packages.get(wp_id)
    if package is None or to not in (DOING, FOR_REVIEW, DONE):
        return context
    if to != FOR_REVIEW:
        reverted = reverted_in(session, feature, package.dependencies)
        context = replace(context, reverted=reverted)
    if to == DONE:
        is_free = read_rules(session.project).author_may_approve
        if context.code is None:
            check = LandingCheck(session, feature, refs_of(session.project.main))
            context = replace(context, code=check.before_done(package))
        return replace(context, author_may_approve=is_free)
    if to == DOING:
        if package.lane == DONE and is_shallow(session.project.repo):
            context = replace(context, code=LandingCheck(session, feature).of(package))
        return context
    check, branch = LandingCheck(session, feature), branch_of(feature.slug, wp_id)
    tip, target_tip = tip_of(session.refs, branch), check.target.local or check.target.tip
    reviewed, is_ahead = check.reviewed_at(package, tip) if tip else (None, False)
    if tip and target_tip and branch in session.refs.branches:
        # a package that is handed in again may be in its target by now
        is_ahead = is_ahead or package.reviewed is not None
        has_commits = is_ahead or not is_ancestor(session.project.repo, tip, target_tip)
        context = replace(context, has_commits=has_commits)
    return replace(context, reviewed=reviewed)


def reverted_in(
    session: Session, feature: FeatureState, wp_ids: Collection[str] | None = None
) -> dict[str, str]:
    """Returns the done packages whose code was reverted, each with the sentence that says so.

    Without `wp_ids` it looks at all packages of the feature.
    """
    packages = {
        wp_id: package
        for wp_id, package in feature.packages.items()
        if package.lane == DONE and (wp_ids is None or wp_id in wp_ids)
    }
    codes = code_of_packages(session, [replace(feature, packages=packages)])
    out = {wp_id: code for (_, wp_id), code in codes.items() if code.kind == "reverted"}
    return {wp_id: reverted_by(code) for wp_id, code in out.items()}


def code_of(
    session: Session,
    feature: FeatureState,
    package: PackageState,
    landed: str | None,
    no_code: str | None,
    reason: str,
) -> LandingStatus | None:
    """Returns the state of a package's code as a person states it; None without a statement.

    `no_code` does not count if git finds code. Raises Refused if `landed` is no commit of the
    target or of its upstream.
    """
    if not (landed or no_code):
        return None
    check = LandingCheck(session, feature, refs_of(session.project.main))
    if not landed:
        code = check.before_done(package)
        if code.kind not in ("no_code", "unknown") or code.is_shallow:
            return code
        stated = Landed("no_code", None, no_code or "")
        return replace(code, kind="landed", landed=stated, is_asserted=True)
    repo = session.project.repo
    commit = repo.git.commit_of(landed)
    for tip, kind in check.target.commits():
        if commit and not missing_commits(repo, tip, [commit]):
            status = check.status(package, kind, Landing(Landed("stated", commit, reason)))
            return replace(status, is_asserted=True)
    raise Refused(
        "could not accept",
        guard="not_landed",
        place=f"{feature.slug}/{package.wp_id}",
        cause=f"{landed} is not a commit of {check.target.name}",
        hint=f"name the one that merged it: git log {check.target.name}",
    )


def code_of_packages(
    session: Session, features: Iterable[FeatureState], lanes: Collection[str] = (DONE,)
) -> dict[tuple[str, str], LandingStatus]:
    """Returns the state of the code of each package in review or done, by feature and package.

    `lanes` are those whose packages are looked at. Raises GitFailed.
    """
    chosen: list[tuple[LandingCheck, PackageState]] = []
    by_tip: dict[str, set[str]] = defaultdict(set)
    for feature in features:
        packages = [package for package in feature.packages.values() if package.lane in lanes]
        if packages and feature.project_uuid == session.board.project_uuid:
            with suppress(ThenceError):  # no target, and no branch is checked out
                check = LandingCheck(session, feature)
                chosen += [(check, package) for package in packages]
    for check, package in chosen:  # git is asked of all at once
        recorded = package.landed.commit if package.landed else None
        commit = recorded or tip_of(session.refs, branch_of(check.feature.slug, package.wp_id))
        for tip, _ in check.target.commits() if commit else ():
            by_tip[tip] |= {commit} if commit else set()
    for tip, commits in by_tip.items():
        commits_in(session.project.repo, session.memo, tip, commits)
    return {(check.feature.slug, package.wp_id): check.of(package) for check, package in chosen}


def commits_in(repo: Repository, memo: Memo, tip: str, commits: Collection[str]) -> frozenset[str]:
    """Returns those of the commits that are in the history of `tip`.

    Git is asked in one batch, for those whose answer is not cached. Raises GitFailed.
    """
    keys = {commit: f"in {commit} {tip}" for commit in commits}
    unasked = [commit for commit, key in keys.items() if memo.get(key) is None]
    absent = missing_commits(repo, tip, unasked)
    for commit in unasked:
        memo.add(keys[commit], commit not in absent)
    return frozenset(commit for commit, key in keys.items() if memo.get(key))


class LandingCheck:
    """A search for the code of a feature's packages in its target, by refs that were read."""

    def __init__(self, session: Session, feature: FeatureState, refs: Refs | None = None) -> None:
        self._repo: Repository = session.project.repo
        self._memo: Memo = session.memo
        self._refs = refs or session.refs
        self._features = session.board.features.values()
        self.feature = feature
        self.target = target_in(self._refs, session.target_of(feature))

    def of(self, package: PackageState) -> LandingStatus:
        """Returns the state of the code of a package, by its lane."""
        landed = package.landed if package.lane == DONE else None
        if landed is None:
            return self.before_done(package)
        if landed.how == "no_code" or (landed.how == "stated" and landed.commit is None):
            return self.status(package, "landed", Landing(landed))
        for tip, kind in self.target.commits():
            if landed.commit is not None and self._has(tip, landed.commit):
                answer = self._since_landed(package, tip, kind, landed, landed.commit)
                return self.status(package, kind, answer)
        status = self._search(package, self.code(package))
        if status.kind in ("missing", "unknown") and not status.is_shallow:
            return self.status(package, "gone", Landing(landed))
        return status

    def before_done(self, package: PackageState) -> LandingStatus:
        """Returns the state of the code of a package that is to be done."""
        code, reviewed = self.code(package), package.reviewed
        if code and code.base and not code.patch and (code.commits or not code.earlier):
            return self.status(package, "no_code")
        status = self._search(package, code)
        if reviewed is None or code is None or package.lane != FOR_REVIEW:
            return status
        is_same = code.patch == reviewed.patch and code.base == reviewed.base
        return status if is_same else replace(status, changed_since=reviewed.commit)

    def code(self, package: PackageState) -> Reviewed | None:
        """Returns the latest code of a package, with a base if that is known."""
        commit, reviewed = self._commit(package), package.reviewed
        if commit is None or (reviewed is not None and commit == reviewed.commit):
            return reviewed
        code, _ = self.reviewed_at(package, commit)
        return replace(code, earlier=package.reviews) if code else Reviewed(commit, "", "")

    def reviewed_at(self, package: PackageState, commit: str) -> tuple[Reviewed | None, bool]:
        """Returns a package's code up to a commit, and whether the target lacks commits of it.

        There is none if nobody knows where the package's branch began.
        """
        slug, target = self.feature.slug, self.target
        base = base_of_package(self._repo, self._refs, slug, package, commit, target)
        if base is None:
            return None, False
        is_again = package.reviewed is not None
        return reviewed_of(self._repo, base, commit, target.local or target.tip, is_again=is_again)

    def status(
        self, package: PackageState, kind: CodeKind, answer: Landing = NOWHERE
    ) -> LandingStatus:
        """Returns what an answer of git says of a package's code."""
        return LandingStatus(
            "reverted" if answer.reverts or (answer.landed and answer.missing) else kind,
            self.target.name,
            branch_of(self.feature.slug, package.wp_id),
            answer.landed,
            reverts=answer.reverts,
            missing=answer.missing,
            revert=revert_command(self._repo, self.target.name, answer.reverts),
        )

    def landing(
        self, package: PackageState, tip: str, kind: str, code: Reviewed, *, is_stated: bool = False
    ) -> Landing:
        """Returns the landing of code, cached while the target does not change its paths.

        What another package takes out is edited and not reverted.
        """
        key = f"landing {kind} {code.commit} {code.base} {len(code.earlier)} {is_stated}"
        last = self._memo.get(key)
        # what never came may have come and gone
        if last and last[0] != tip and last[1][0] and self._is_untouched(last[0], tip, code):
            self._memo.add(key, [tip, last[1]])

        def ask() -> object:
            return to_builtins(landing_of(self._repo, tip, code, is_stated=is_stated))

        answer: Landing = convert(self._memo.last(key, tip, ask), Landing)
        by_others = [one for one in answer.reverts if self._is_edit(package, one, answer.missing)]
        if len(by_others) < len(answer.reverts) or not by_others:
            return answer
        return Landing(answer.landed)

    def _search(self, package: PackageState, code: Reviewed | None) -> LandingStatus:
        kinds = {kind: tip for tip, kind in self.target.commits()}
        answers = {kind: self.landing(package, kinds[kind], kind, code) for kind in kinds if code}
        for kind, answer in answers.items():
            if answer.is_whole:
                return self.status(package, kind, answer)
        reverted = [answer for answer in answers.values() if answer.landed or answer.reverts]
        if not reverted and self._is_hidden(package, code):
            return replace(self.status(package, "unknown"), is_shallow=True)
        answer = (*reverted, *[*answers.values()][::-1], NOWHERE)[0]
        return self.status(package, "missing" if code else "unknown", answer)

    def _is_hidden(self, package: PackageState, code: Reviewed | None) -> bool:
        """Reports whether the code may be in the part of the target that a shallow clone lacks.

        It may not if the clone has the commit at which the package began in the target's history:
        what landed came after it.
        """
        bases = [version.base for version in (code, package.reviewed) if version and version.base]
        tips = [tip for tip, _ in self.target.commits()]
        return is_shallow(self._repo) and not (
            bases and any(self._has(tip, bases[0]) for tip in tips)
        )

    def _commit(self, package: PackageState) -> str | None:
        """Returns the last commit of a package: the branch's tip, or the reviewed one if later."""
        branch, reviewed = branch_of(self.feature.slug, package.wp_id), package.reviewed
        tip = tip_of(self._refs, branch)
        if package.lane == FOR_REVIEW:  # what others have pushed would be merged too
            newest = newest_of(self._repo, self._refs, branch)
            tip = newest[1] if newest else None
        if reviewed is None or tip == reviewed.commit:
            return tip
        if tip is None or self._has(tip, reviewed.commit):
            return tip or reviewed.commit
        is_here = not absent_of(self._repo, [reviewed.commit])
        return tip if is_here and not self._has(reviewed.commit, tip) else reviewed.commit

    def _since_landed(
        self, package: PackageState, tip: str, kind: str, landed: Landed, commit: str
    ) -> Landing:
        """Returns a recorded landing with what became of it since."""
        code, is_stated = package.reviewed, landed.how == "stated"
        if code is None or not code.base or is_stated:
            code = Reviewed(commit, "", "")
        answer = self.landing(package, tip, kind, code, is_stated=is_stated)
        return Landing(landed, answer.reverts, answer.missing if answer.reverts else ())

    def _is_edit(self, package: PackageState, commit: str, paths: Sequence[str]) -> bool:
        """Reports whether a commit brought another package that changes paths."""
        others = [
            one
            for feature in self._features
            for one in feature.packages.values()
            if (feature.slug, one.wp_id) != (self.feature.slug, package.wp_id)
        ]
        commits = {name for one in others for code in one.reviews for name in code.commits}
        commits |= {one.landed.commit for one in others if one.landed and one.landed.commit}

        def ask() -> bool:
            span = (commit, f"^{commit}^", "--", *paths[:PATHS_MAX])
            out = self._repo.git.run("rev-list", "--no-merges", *span).decode()
            return not commits.isdisjoint(out.split())

        return self._memo.last(f"edit {commit} {package.wp_id}", str(len(commits)), ask)

    def _is_untouched(self, before: str, after: str, code: Reviewed) -> bool:
        """Reports whether a target that moved has its former content in a package's files."""
        ask = partial(self._paths, before, after)
        moved = self._memo.last("moved", f"{before} {after}", ask)
        for one in (*code.earlier, code):
            base = one.base or f"{one.commit}^"
            ask = partial(self._paths, base, one.commit)
            own = self._memo.last(f"paths {one.commit}", base, ask)
            if moved is None or own is None or not {*own}.isdisjoint(moved):
                return False
        return True

    def _paths(self, before: str, after: str) -> list[str] | None:
        """Returns the files that differ between commits; None if this clone lacks one of them."""
        arguments = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after, "--")
        answer = self._repo.git.ask(*arguments)
        return None if answer.status else os.fsdecode(answer.out).split("\0")[:-1]

    def _has(self, tip: str, commit: str) -> bool:
        return bool(commits_in(self._repo, self._memo, tip, [commit]))


def revert_command(repo: Repository, target: str, commits: Sequence[str]) -> str:
    """Returns the command that takes reverts back, in a package's worktree; "" without reverts."""
    if not commits:
        return ""
    out = repo.git.run("rev-list", "--no-walk=unsorted", "--parents", *commits, "--").decode()
    merges = [" -m 1" if len(line.split()) > 2 else "" for line in out.splitlines()]
    steps = [f"git revert{merge} {commit}" for merge, commit in zip(merges, commits, strict=True)]
    return " && ".join((f"git merge {target}", *steps))


def check_whole(
    session: Session, feature: FeatureState, packages: Mapping[str, PackageState], plan: MergePlan
) -> None:
    """Raises Refused if the target would lack code of packages after a planned merge.

    `packages` are by their branches. Code may have been merged once, and reverted: merging its
    branch again does not bring it back.
    """
    check, target = LandingCheck(session, feature), session.target_of(feature)
    branches = {step.branch for step in plan.steps if step.status != "conflict"}
    for branch, package in packages.items():
        code = check.code(package) if branch in branches else None
        if code is None or not code.base:
            continue
        answer = check.landing(package, plan.end, "planned", code)
        if not answer.is_whole:
            by = ", ".join(commit[:SHORT] for commit in answer.reverts)
            cause = f"{', '.join(answer.missing)} of it would still be missing in {target}"
            revert = revert_command(session.project.repo, target, answer.reverts)
            how = f"in its worktree: {revert}" if revert else "commit it again in its worktree"
            raise Refused(
                "could not merge",
                guard="not_landed",
                place=f"{feature.slug}/{package.wp_id}",
                cause=f"{cause}, reverted by {by}" if by else cause,
                hint=f"{how}; then merge again",
            )


def in_target_before_done(session: Session, board: Board) -> dict[tuple[str, str], str]:
    """Returns the packages at work or in review whose code is in their target already.

    Each is mapped to the name of its target. Git is asked once for each target that has packages in
    work, and not again while neither moves. Raises GitFailed.
    """
    by_tip: dict[str, dict[tuple[str, str], tuple[str, tuple[str, ...]]]] = defaultdict(dict)
    for feature in board.features.values():
        packages = feature.packages if feature.project_uuid == board.project_uuid else {}
        for wp_id, package in packages.items():
            if package.lane not in (DOING, FOR_REVIEW):
                continue
            commits = commits_made(session.project.root / worktree_of(feature.slug, wp_id))
            if not commits and package.reviewed is not None:
                commits = (package.reviewed.commit,)
            name = session.target_of(feature)
            target = target_in(session.refs, name)
            if commits and (tip := target.local or target.tip) is not None:
                by_tip[tip][feature.slug, wp_id] = name, commits
    landed: dict[tuple[str, str], str] = {}
    for tip, rows in by_tip.items():
        every = {commit for _, commits in rows.values() for commit in commits}
        present = commits_in(session.project.repo, session.memo, tip, every)
        landed |= {key: name for key, (name, own) in rows.items() if not present.isdisjoint(own)}
    return landed


def workspace(session: Session, feature: FeatureState, package: PackageState) -> Worktree:
    """Makes branch and worktree of a package on top of its dependencies, or completes them.

    An event records a new workspace. Raises GitFailed.
    """
    path = session.project.root / worktree_of(feature.slug, package.wp_id)
    branch = branch_of(feature.slug, package.wp_id)
    refs = session.refs
    newest = newest_branch(session, feature, package.wp_id)
    is_begun = newest is not None and newest[0] != branch  # somebody else has pushed it
    bases = [newest[0]] if newest and is_begun else _bases(session, feature, package)
    setup = read_worktree(session.project).setup
    worktree = make(session.project.repo, branch, path, bases, refs.branches, setup)
    session.warnings += worktree.warnings
    if worktree.is_new and not is_begun:
        record_base(session.project.repo, feature.slug, package.wp_id, worktree.head)
    else:
        target = session.target_of(feature)
        record_base_if_missing(
            session.project.repo, refs, feature.slug, package.wp_id, worktree.head, target
        )
    recorded = package.workspace
    is_recorded = recorded is not None and recorded.branch == branch and not worktree.is_new
    if not is_recorded:
        session.append_or_warn(workspace_event(feature.slug, package.wp_id))
    return worktree


def newest_branch(session: Session, feature: FeatureState, wp_id: str) -> tuple[str, str] | None:
    """Returns the name and the tip of the newest branch of a package.

    Branches on remotes count, unless the number was given twice: they may be the other package's.
    """
    branch, package = branch_of(feature.slug, wp_id), feature.packages.get(wp_id)
    if package is not None and package.lost:
        commit = session.refs.branches.get(branch)
        return (branch, commit) if commit else None
    return newest_of(session.project.repo, session.refs, branch)


def _bases(session: Session, feature: FeatureState, package: PackageState) -> list[str]:
    """Returns the branches to begin at: those of dependencies that are not merged yet."""
    target = session.target_of(feature)
    at = session.refs.branches.get(target)
    newest = [newest_branch(session, feature, wp_id) for wp_id in package.dependencies]
    open_ones = [
        pair[0]
        for pair in newest
        if pair and not (at is not None and is_ancestor(session.project.repo, pair[1], at))
    ]
    return open_ones or [target]
