"""The code of a package: its branch and worktree, and the search for it in its target.

Git's answers about a commit and a target's tip are cached, so that a repeated search only reads
the refs while none has moved. The reflog of a package's worktree tells which commits were made
there: by them code is found that is in its target before the package is done. Commits that came to
the worktree from elsewhere, as by a merge of the target into the branch, do not count.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from thence.errors import Refused, ThenceError
from thence.work.board.move_request import (
    SHORT,
    CodeKind,
    LandingStatus,
    MoveContext,
    reverted_by,
)
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    Board,
    FeatureState,
    Landed,
    PackageState,
    Reviewed,
)
from thence.work.git.landed import (
    PATHS_MAX,
    Landing,
    Memo,
    is_without_code,
    landing_of,
    missing_commits,
    reverts_of,
    reviewed_of,
)
from thence.work.git.merging import MergePlan
from thence.work.git.refs import (
    Refs,
    Target,
    base_of_package,
    newest_of,
    record_base,
    record_base_if_missing,
    refs_of,
    target_in,
    tip_of,
)
from thence.work.git.repository import Repository, is_ancestor, is_shallow
from thence.work.git.worktrees import Worktree, git_dir_of, make
from thence.work.journal.claims import workspace_event
from thence.work.names import branch_of, is_derived, number_in, worktree_of
from thence.work.project.options import read_options
from thence.work.session.session import Session

_Candidate = tuple[str, PackageState, Target]
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
        context = replace(context, reverted=reverted_in(session, feature, package.dependencies))
    if to == DOING:
        if package.lane != DONE or not is_shallow(session.project.repo):
            return context
        target = target_in(session.refs, session.target_of(feature))
        code = LandingCheck(session, session.refs).of_done(feature.slug, package, target)
        return replace(context, code=code)
    if to == DONE:
        is_free = read_options(session.project).author_may_approve
        context = replace(context, author_may_approve=is_free)
        if context.code is not None:
            return context
        refs = refs_of(session.project.main)
        target = target_in(refs, session.target_of(feature))
        code = LandingCheck(session, refs).before_done(feature.slug, package, target)
        return replace(context, code=code)
    repo, refs, branch = session.project.repo, session.refs, branch_of(feature.slug, wp_id)
    tip, target = tip_of(refs, branch), target_in(refs, session.target_of(feature))
    base = tip and base_of_package(repo, refs, feature.slug, package, tip, target)
    target_tip = target.local or target.tip
    reviewed, is_ahead = reviewed_of(repo, base, tip, target_tip) if tip and base else (None, False)
    if tip and target_tip and branch in refs.branches:
        # a package that is handed in again may be in its target by now
        is_again = package.reviewed is not None
        has_commits = is_ahead or is_again or not is_ancestor(repo, tip, target_tip)
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
    refs = refs_of(session.project.main)
    target = target_in(refs, session.target_of(feature))
    if landed:
        return _stated(session.project.repo, feature.slug, package.wp_id, target, landed, reason)
    code = LandingCheck(session, refs).before_done(feature.slug, package, target)
    if code.kind not in ("no_code", "unknown") or code.is_shallow:
        return code
    stated = Landed("no_code", None, no_code or "")
    return replace(code, kind="landed", landed=stated, is_asserted=True)


def _stated(
    repo: Repository, slug: str, wp_id: str, target: Target, revision: str, reason: str
) -> LandingStatus:
    commit = repo.git.commit_of(revision)
    for tip, kind in target.commits():
        if commit and not missing_commits(repo, tip, [commit]):
            landed = Landed("stated", commit, reason)
            return LandingStatus(
                kind, target.name, branch_of(slug, wp_id), landed, is_asserted=True
            )
    raise Refused(
        "could not accept",
        guard="not_landed",
        place=f"{slug}/{wp_id}",
        cause=f"{revision} is no commit of {target.name}",
        hint=f"name the one that merged it: git log {target.name}",
    )


def code_of_packages(
    session: Session, features: Iterable[FeatureState], lanes: Collection[str] = (DONE,)
) -> dict[tuple[str, str], LandingStatus]:
    """Returns the state of the code of each package in review or done, by feature and package.

    `lanes` are those whose packages are looked at. Raises GitFailed.
    """
    refs = session.refs
    chosen: list[_Candidate] = []
    for feature in features:
        packages = [package for package in feature.packages.values() if package.lane in lanes]
        if packages and feature.project_uuid == session.board.project_uuid:
            with suppress(ThenceError):  # no target, and no branch is checked out
                target = target_in(refs, session.target_of(feature))
                chosen += [(feature.slug, package, target) for package in packages]
    if not chosen:
        return {}
    check = LandingCheck(session, refs)
    check.ask_of_all(chosen)
    return {
        (slug, package.wp_id): (
            check.of_done(slug, package, target)
            if package.lane == DONE
            else check.before_done(slug, package, target)
        )
        for slug, package, target in chosen
    }


def commits_in(repo: Repository, memo: Memo, tip: str, commits: Collection[str]) -> frozenset[str]:
    """Returns those of the commits that are in the history of `tip`.

    Git is asked in one batch, for those whose answer is not cached. Raises GitFailed.
    """
    keys = {commit: f"in {commit} {tip}" for commit in commits}
    unasked = [commit for commit, key in keys.items() if key not in memo]
    absent = missing_commits(repo, tip, unasked)
    for commit in unasked:
        memo.add(keys[commit], commit not in absent)
    return frozenset(commit for commit, key in keys.items() if memo.once(key, bool))


class LandingCheck:
    """A search for the code of packages, by refs that the caller has read."""

    def __init__(self, session: Session, refs: Refs) -> None:
        self._repo: Repository = session.project.repo
        self._refs = refs
        self._memo: Memo = session.memo
        self._moved: dict[tuple[str, str], list[str] | None] = {}
        self._is_shallow = is_shallow(self._repo)

    def before_done(self, slug: str, package: PackageState, target: Target) -> LandingStatus:
        """Returns the state of the code of a package that is to be done."""
        code = self.code(slug, package, target)
        if code is not None and code.base and is_without_code(self._repo, code):
            return self._state(slug, package, target, "no_code")
        state = self._search(slug, package, target, code)
        reviewed = package.reviewed if package.lane == FOR_REVIEW else None
        if reviewed is None or code is None or code.commit == reviewed.commit:
            return state
        is_same = code.patch == reviewed.patch and code.base == reviewed.base
        return state if is_same else replace(state, changed_since=reviewed.commit)

    def of_done(self, slug: str, package: PackageState, target: Target) -> LandingStatus:
        """Returns the present state of the code of a done package."""
        landed, code = package.landed, package.reviewed
        if landed is not None and landed.how == "no_code":
            return self._state(slug, package, target, "landed", Landing(landed))
        if landed is not None and landed.commit is not None:
            for tip, kind in target.commits():
                if self._has(tip, landed.commit):
                    answer = self._since_landed(tip, kind, landed, code)
                    return self._state(slug, package, target, kind, answer)
        code = self.code(slug, package, target)
        if landed is None and code is not None and code.base and is_without_code(self._repo, code):
            return self._state(slug, package, target, "no_code")
        state = self._search(slug, package, target, code)
        if state.kind in ("missing", "unknown") and not state.is_shallow and landed is not None:
            return self._state(slug, package, target, "gone", Landing(landed))
        return state

    def ask_of_all(self, packages: Sequence[_Candidate]) -> None:
        """Asks git in one batch whether targets have the commits of packages."""
        by_tip: dict[str, list[str]] = {}
        for slug, package, target in packages:
            recorded = package.landed.commit if package.landed else None
            commit = recorded or tip_of(self._refs, branch_of(slug, package.wp_id))
            for tip, _ in target.commits() if commit else ():
                by_tip.setdefault(tip, []).extend([commit] if commit else [])
        for tip, commits in by_tip.items():
            commits_in(self._repo, self._memo, tip, commits)

    def code(self, slug: str, package: PackageState, target: Target) -> Reviewed | None:
        """Returns the latest code of a package, with a base if that is known."""
        branch = branch_of(slug, package.wp_id)
        commit, reviewed = self._commit(branch, package), package.reviewed
        if commit is None or (reviewed is not None and commit == reviewed.commit):
            return reviewed
        base = base_of_package(self._repo, self._refs, slug, package, commit, target)
        if base is None:
            return Reviewed(commit, "", "")
        code, _ = reviewed_of(self._repo, base, commit, target.local or target.tip)
        return replace(code, earlier=package.reviews)

    def _state(
        self,
        slug: str,
        package: PackageState,
        target: Target,
        kind: CodeKind,
        answer: Landing = NOWHERE,
    ) -> LandingStatus:
        return LandingStatus(
            "reverted" if answer.reverts or (answer.landed and answer.missing) else kind,
            target.name,
            branch_of(slug, package.wp_id),
            answer.landed,
            reverts=answer.reverts,
            missing=answer.missing,
            revert=revert_command(self._repo, target.name, answer.reverts),
        )

    def _search(
        self, slug: str, package: PackageState, target: Target, code: Reviewed | None
    ) -> LandingStatus:
        commits = target.commits() if code is not None else []
        answers = [(self._landing(tip, kind, code), kind) for tip, kind in commits if code]
        for answer, kind in answers:
            if answer.is_whole:
                return self._state(slug, package, target, kind, answer)
        reverted = next((answer for answer, _ in answers if answer.landed or answer.reverts), None)
        if reverted is None and self._is_hidden(package, target, code):
            state = self._state(slug, package, target, "unknown")
            return replace(state, is_shallow=True)
        answer = reverted or (answers[-1][0] if answers else NOWHERE)
        return self._state(slug, package, target, "missing" if code else "unknown", answer)

    def _is_hidden(self, package: PackageState, target: Target, code: Reviewed | None) -> bool:
        """Reports whether the code may be in the part of the target that a shallow clone lacks.

        It may not if the clone has the commit at which the package began in the target's history:
        what landed came after it.
        """
        if not self._is_shallow:
            return False
        bases = [version.base for version in (code, package.reviewed) if version and version.base]
        tips = [tip for tip, _ in target.commits()]
        return not bases or not any(self._has(tip, bases[0]) for tip in tips)

    def _commit(self, branch: str, package: PackageState) -> str | None:
        """Returns the last commit of a package: the branch's tip, or the reviewed one if later."""
        tip, reviewed = tip_of(self._refs, branch), package.reviewed
        if package.lane == FOR_REVIEW:  # what others have pushed would be merged too
            newest = newest_of(self._repo, self._refs, branch)
            tip = newest[1] if newest else None
        if reviewed is None or tip == reviewed.commit:
            return tip
        if tip is None or self._has(tip, reviewed.commit):
            return tip or reviewed.commit
        is_here = not missing_commits(self._repo, reviewed.commit, [reviewed.commit])
        return tip if is_here and not self._has(reviewed.commit, tip) else reviewed.commit

    def _landing(self, tip: str, kind: CodeKind, code: Reviewed) -> Landing:
        """Returns the landing of code, cached while the target does not change its paths."""
        key = f"landing {kind} {code.commit} {code.base} {len(code.earlier)}"

        def ask() -> Landing:
            return landing_of(self._repo, tip, code)

        changes = [(one.base, one.commit) for one in (*code.earlier, code)]
        return self._asked_once(key, tip, changes, ask)

    def _since_landed(
        self, tip: str, kind: CodeKind, landed: Landed, code: Reviewed | None
    ) -> Landing:
        """Returns a recorded landing with what became of it since."""
        if landed.commit is None:
            return Landing(landed)
        if code is not None and code.base and landed.how != "stated":
            answer = self._landing(tip, kind, code)
            return Landing(landed, answer.reverts, answer.missing if answer.reverts else ())
        commits, is_whole = [landed.commit], landed.how == "stated"

        def ask() -> Landing:
            return Landing(None, *reverts_of(self._repo, tip, commits, is_whole=is_whole))

        key = f"reverts {kind} {landed.commit} {is_whole}"
        answer = self._asked_once(key, tip, [(f"{landed.commit}^", landed.commit)], ask)
        return answer._replace(landed=landed)

    def _asked_once(
        self, key: str, tip: str, changes: Sequence[tuple[str, str]], ask: Callable[[], Landing]
    ) -> Landing:
        """Returns the cached answer of a search, asked anew where the target has changed its files.

        `changes` are the pairs of commits between which the package lies.
        """
        last = self._memo.get(key)
        is_there = last is not None and last[1][0] is not None  # else it may have come and gone
        if is_there and last[0] != tip and self._is_untouched(last[0], tip, changes):
            last = [tip, last[1]]
            self._memo.add(key, last)
        if last is None or last[0] != tip:
            answer = ask()
            landed = [answer.landed.how, answer.landed.commit] if answer.landed else None
            last = [tip, [landed, answer.reverts, answer.missing]]
            self._memo.add(key, last)
        landed, reverts, missing = last[1]
        return Landing(Landed(*landed) if landed else None, tuple(reverts), tuple(missing))

    def _is_untouched(self, before: str, after: str, changes: Sequence[tuple[str, str]]) -> bool:
        """Reports whether a target that moved has its former content in a package's files."""
        if (before, after) not in self._moved:
            self._moved[before, after] = self._paths(before, after)
        moved = self._moved[before, after]
        for base, commit in changes:
            own = self._memo.once(f"paths {base} {commit}", partial(self._paths, base, commit))
            if moved is None or own is None or len(own) > PATHS_MAX or {*own} & {*moved}:
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
    check, target = LandingCheck(session, session.refs), session.target_of(feature)
    branches = {step.branch for step in plan.steps if step.status != "conflict"}
    for branch, package in packages.items():
        code = check.code(feature.slug, package, target_in(session.refs, target))
        if branch not in branches or code is None or not code.base:
            continue
        answer = landing_of(session.project.repo, plan.end, code)
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


_REFLOG_BYTES_MAX = 65_536
# old commit, new commit, who, when, and then how; a rebase's start and end make no commit
_MADE = re.compile(
    rb"[0-9a-f]+ ([0-9a-f]+) [^\t]*\t"
    rb"(?:commit\b|cherry-pick|revert|am:"
    rb"|rebase(?: -i)? \((?:pick|squash|fixup|reword|edit|continue))"
)


def commits_made(worktree: Path) -> tuple[str, ...]:
    """Returns the commits that were made in a worktree, the latest first; empty if git keeps none.

    Only the last 64 KiB of the worktree's reflog are read.
    """
    try:
        with (git_dir_of(worktree) / "logs/HEAD").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _REFLOG_BYTES_MAX))
            lines = file.read().splitlines()
    except OSError:
        return ()
    matches = (_MADE.match(line) for line in reversed(lines))
    return tuple(dict.fromkeys(match[1].decode() for match in matches if match))


def commits_come(
    repo: Repository, commits: Sequence[str], before: str | None, after: str | None
) -> tuple[str, ...]:
    """Returns the commits that are in the history of `after` and not in that of `before`.

    Both are tips of one branch. Raises GitFailed.
    """
    if not commits or after is None or before == after:
        return ()
    absent = missing_commits(repo, after, commits)
    present = [commit for commit in commits if commit not in absent]
    if before is None or not present:
        return tuple(present)
    fresh = missing_commits(repo, before, present)
    return tuple(commit for commit in present if commit in fresh)


def in_target_before_done(session: Session, board: Board) -> dict[tuple[str, str], str]:
    """Returns the packages at work or in review whose code is in their target already.

    Each is mapped to the name of its target. Git is asked once for each target that has packages in
    work, and not again while neither moves. Raises GitFailed.
    """
    by_tip: dict[str, list[tuple[tuple[str, str], str, tuple[str, ...]]]] = {}
    for feature in board.features.values():
        if feature.project_uuid != board.project_uuid:
            continue
        for wp_id, package in feature.packages.items():
            if package.lane not in (DOING, FOR_REVIEW):
                continue
            worktree = session.project.root / worktree_of(feature.slug, wp_id)
            commits = commits_made(worktree)
            if not commits and package.reviewed is not None:
                commits = (package.reviewed.commit,)
            name = session.target_of(feature)
            target = target_in(session.refs, name)
            if commits and (tip := target.local or target.tip) is not None:
                by_tip.setdefault(tip, []).append(((feature.slug, wp_id), name, commits))
    landed: dict[tuple[str, str], str] = {}
    for tip, rows in by_tip.items():
        every = [commit for _, _, commits in rows for commit in commits]
        present = commits_in(session.project.repo, session.memo, tip, every)
        landed |= {key: name for key, name, commits in rows if not present.isdisjoint(commits)}
    return landed


def workspace(
    session: Session, feature: FeatureState, package: PackageState, claim: str | None = None
) -> Worktree:
    """Makes branch and worktree of a package on top of its dependencies, or completes them.

    An event records a new workspace, and ends the claim, if there is one. Raises GitFailed.
    """
    path = session.project.root / worktree_of(feature.slug, package.wp_id)
    branch = branch_of(feature.slug, package.wp_id)
    refs = session.refs
    newest = newest_branch(session, feature, package.wp_id)
    is_begun = newest is not None and newest[0] != branch  # somebody else has pushed it
    bases = [newest[0]] if newest and is_begun else _bases(session, feature, package)
    setup = read_options(session.project).worktree_setup
    worktree = make(session.project.repo, branch, path, bases, refs.branches, setup)
    session.warnings += worktree.warnings
    if worktree.is_new and not is_begun:
        record_base(session.project.repo, feature.slug, package.wp_id, worktree.head)
    else:
        target = session.target_of(feature)
        record_base_if_missing(
            session.project.repo, refs, feature.slug, package.wp_id, worktree.head, target
        )
    _report(session, feature, package, worktree, claim)
    return worktree


def newest_branch(session: Session, feature: FeatureState, wp_id: str) -> tuple[str, str] | None:
    """Returns the name and the tip of the newest branch of a package.

    Branches on remotes count, unless the number was given twice: they may be the other package's.
    """
    branch = branch_of(feature.slug, wp_id)
    others = feature.packages.values()
    if any(is_derived(other.wp_id) and number_in(other.wp_id) == wp_id for other in others):
        commit = session.refs.branches.get(branch)
        return (branch, commit) if commit else None
    return newest_of(session.project.repo, session.refs, branch)


def release_reason(error: ThenceError) -> str:
    """Returns the reason for giving back a claim whose worktree can't be made."""
    return f"its worktree could not be made: {error.cause or error.message}"


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


def _report(
    session: Session,
    feature: FeatureState,
    package: PackageState,
    worktree: Worktree,
    claim: str | None,
) -> None:
    workspace = package.workspace
    if (
        claim is None
        and workspace is not None
        and workspace.branch == worktree.branch
        and not worktree.is_new
    ):
        return
    session.append_or_warn(workspace_event(feature.slug, package.wp_id, claim))
