"""The code of a package: its branch and worktree, and whether it is in its target.

Git is asked of all packages at once. Its answers are kept with the target's tip, so that the same
question only reads the refs while none has moved.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial

from msgspec import convert, to_builtins
from msgspec.structs import replace

from thence.errors import Refused, ThenceError
from thence.git.landed import (
    Landed,
    Landing,
    Question,
    Reviewed,
    absent_of,
    landings,
    missing_commits,
    nearest,
    reviewed_of,
    was_in,
)
from thence.git.merging import MergePlan
from thence.git.refs import REMOTES, Refs, newest_of, push_command, tip_of
from thence.git.repository import (
    HEADS,
    Repository,
    is_ancestor,
    is_shallow,
)
from thence.git.worktrees import Worktree, make
from thence.work.board.move_request import SHORT, CodeKind, LandingStatus
from thence.work.board.state import (
    DONE,
    FOR_REVIEW,
    FeatureState,
    PackageState,
)
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, worktree_of
from thence.work.project.package_refs import (
    base_of_package,
    kept_commit,
    record_base,
    record_base_if_missing,
    target_in,
)
from thence.work.session.session import Session
from thence.work.session.snapshot import Snapshot

NOWHERE = Landing()


def handed_in(
    snapshot: Snapshot, feature: FeatureState, package: PackageState
) -> tuple[Reviewed | None, bool | None]:
    """Returns the code of a package that goes to review, and whether its branch has commits.

    Each is None where that is unknown.
    """
    check, branch = LandingCheck(snapshot, feature), branch_of(feature.slug, package.wp_id)
    tip, target_tip = tip_of(snapshot.refs, branch), check.target.local or check.target.tip
    if tip is None:
        return None, None
    reviewed, is_ahead = check.reviewed_at(package, tip)
    if target_tip is None or branch not in snapshot.refs.branches:
        return reviewed, None
    # a package that is handed in again may be in its target by now
    has_commits = is_ahead or package.reviewed is not None
    is_at_base = reviewed is not None and tip == reviewed.base  # such as an open plan branch
    repo = snapshot.project.repo
    return reviewed, has_commits or not (is_at_base or is_ancestor(repo, tip, target_tip))


def reverted_in(
    snapshot: Snapshot, feature: FeatureState, wp_ids: Collection[str] | None = None
) -> dict[str, str]:
    """Returns the done packages whose code was reverted, each with the sentence that says so.

    Without `wp_ids` it looks at all packages of the feature.
    """
    packages = {
        wp_id: package
        for wp_id, package in feature.packages.items()
        if package.lane == DONE and (wp_ids is None or wp_id in wp_ids)
    }
    codes = code_of_packages(snapshot, [replace(feature, packages=packages)])
    return {w: code.sentence for (_, w), code in codes.items() if code.kind == "reverted"}


def code_of(
    snapshot: Snapshot,
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
    check = LandingCheck(snapshot, feature)
    if not landed:
        code = check.before_done(package)
        if code.kind not in ("no_code", "unknown"):
            return code
        stated = Landed("no_code", None, no_code or "")
        return replace(code, kind="landed", landed=stated, is_asserted=True)
    repo = snapshot.project.repo
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
    snapshot: Snapshot, features: Iterable[FeatureState], lanes: Collection[str] = (DONE,)
) -> dict[tuple[str, str], LandingStatus]:
    """Returns the state of the code of each package in review or done, by feature and package.

    `lanes` are those whose packages are looked at. Raises GitFailed.
    """
    chosen: list[tuple[LandingCheck, PackageState]] = []
    for feature in features:
        packages = [package for package in feature.packages.values() if package.lane in lanes]
        if packages and feature.project_uuid == snapshot.board.project_uuid:
            with suppress(ThenceError):  # no target, and no branch is checked out
                check = LandingCheck(snapshot, feature)
                chosen += [(check, package) for package in packages]
    keys = [(check.feature.slug, package.wp_id) for check, package in chosen]
    return dict(zip(keys, _statuses(snapshot, chosen), strict=True))


def _statuses(
    snapshot: Snapshot, chosen: Sequence[tuple["LandingCheck", PackageState]]
) -> list[LandingStatus]:
    """Returns the states of packages' code; git is asked of all of a target at once."""
    statuses, questions = dict[int, LandingStatus](), dict[int, Question]()
    for number, (check, package) in enumerate(chosen):
        landed = package.landed if package.lane == DONE else None
        code = package.reviewed if landed else check.code(package)
        if landed and landed.commit is None:  # it has no code, or somebody has stated it
            statuses[number] = check.status(package, "landed", Landing(landed))
        elif code and code.base and not landed and not any(one.patch for one in code.reviews):
            statuses[number] = check.status(package, "no_code")
        else:
            questions[number] = Question(code, landed)
    best: dict[int, tuple[CodeKind, Landing]] = {}
    for place in range(2):  # what has to have them, then what is not pushed
        by_tip: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number in questions:
            check, commits = chosen[number][0], chosen[number][0].target.commits()
            is_there = number in best and best[number][1].is_there
            if place < len(commits) and (not is_there or check.is_ahead):
                by_tip[f"{check.target.name} {place}", commits[place][0]].append(number)
        for (branch, tip), numbers in by_tip.items():
            asked = [questions[number] for number in numbers]
            kept = snapshot.memo.table(f"landings {branch}", "")
            found = landings(snapshot.project.repo, tip, asked, kept)
            for number, answer in zip(numbers, found, strict=True):
                before = best[number][1] if number in best else Landing()
                # what is not pushed takes out what the upstream has, or has what that lacks
                is_new = answer.reverts if before.is_there else answer.is_there
                if is_new or (answer.landed and not before.landed):
                    best[number] = chosen[number][0].target.commits()[place][1], answer
    lacking: list[int] = []
    for number, question in questions.items():
        check, package = chosen[number]
        if number in best:
            statuses[number] = check.status(package, *best[number], question.code)
        else:
            lacking.append(number)
    rows = [(*chosen[number], questions[number]) for number in lacking]
    statuses |= dict(zip(lacking, _lacking(snapshot, rows), strict=True))
    return [statuses[number] for number in range(len(chosen))]


def _lacking(
    snapshot: Snapshot, rows: Sequence[tuple["LandingCheck", PackageState, Question]]
) -> Iterator[LandingStatus]:
    """Yields the states of code that was not found; what was never seen here is not gone."""
    repo, refs = snapshot.project.repo, snapshot.refs
    commits: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for check, _, question in rows:
        if landed := question.landed:
            branch = snapshot.target_of(check.feature)
            names = (f"{REMOTES}{check.target.name}", f"{HEADS}{branch}")
            places = (*(name for name in names if name in refs.commits),)
            commits[places] |= {landed.commit} if landed.commit else set()
        elif question.code:
            commits[()].add(question.code.commit)
    is_seen: dict[tuple[bool, str], bool] = {}  # by whether it had landed, and commit
    for places, named in commits.items():
        state = [refs.commits[place] for place in places]
        with suppress(OSError):  # a branch may have moved there and back
            state += [f"{(repo.common / 'logs' / place).stat().st_size}" for place in places]
        table = snapshot.memo.table(f"seen in {' '.join(places)}", " ".join(state))
        if places:
            new = named - table.keys()
            here = was_in(repo, places, new) if new else set()
        else:  # it may have been fetched since
            new = {commit for commit in named if not table.get(commit)}
            here = new - absent_of(repo, new) if new else set()
        table |= {commit: commit in here for commit in new}
        is_seen |= {(bool(places), commit): table[commit] for commit in named}
    for check, package, question in rows:
        code, landed = question.code, question.landed
        bases = [one.base for one in (code, package.reviewed) if one and one.base]
        tips_here = [tip for tip, _ in check.target.commits()]
        if is_shallow(repo) and not (
            bases and any(not missing_commits(repo, tip, bases[:1]) for tip in tips_here)
        ):
            yield check.status(package, "shallow", code=code)
        elif landed is None and code is None:
            yield check.status(package, "unknown")
        else:
            commit = landed.commit if landed else code.commit if code else None
            is_known = is_seen.get((landed is not None, commit or ""))
            kind: CodeKind = "gone" if landed else "missing"
            kind = kind if is_known else "unfetched"
            yield check.status(package, kind, Landing(landed), code)


class LandingCheck:
    """A search for the code of a feature's packages in its target, by refs that were read."""

    def __init__(self, snapshot: Snapshot, feature: FeatureState) -> None:
        self._snapshot = snapshot
        self._repo: Repository = snapshot.project.repo
        self._refs = snapshot.refs
        self.feature = feature
        self.target = target_in(self._refs, snapshot.target_of(feature))
        if snapshot.planning.is_by_pull_request and self.target.tip:  # the upstream alone counts
            self.target = self.target._replace(local=None)

    @cached_property
    def is_ahead(self) -> bool:
        """True if the branch here has all of the target's upstream, and more."""
        local, tip = self.target.local, self.target.tip
        if local is None or tip is None or tip == local:
            return False
        ask = partial(is_ancestor, self._repo, tip, local)
        return self._snapshot.memo.last(f"ahead of {self.target.name}", f"{local} {tip}", ask)

    def of(self, package: PackageState) -> LandingStatus:
        """Returns the state of the code of a package, by its lane."""
        return _statuses(self._snapshot, [(self, package)])[0]

    def before_done(self, package: PackageState) -> LandingStatus:
        """Returns the state of the code of a package that is to be done.

        For one that is not there the commit of the target is looked for that is most like it, for
        a reverted one since the revert.
        """
        status, tip = self.of(replace(package, landed=None)), self.target.tip or self.target.local
        code = self.code(package) if status.kind in ("missing", "reverted") else None
        if code is None or tip is None:
            return status
        since = status.reverts[0] if status.reverts else None
        return replace(status, nearest=nearest(self._repo, tip, code, since))

    def code(self, package: PackageState) -> Reviewed | None:
        """Returns the latest code of a package, with a base if that is known."""
        branch = branch_of(self.feature.slug, package.wp_id)
        target, reviewed = self.target, package.reviewed
        places = [
            self._refs.commits[ref]
            for ref in (HEADS + branch, *self._refs.on_remotes(branch))
            if ref in self._refs.commits
        ]
        if reviewed is not None and all(tip == reviewed.commit for tip in places):
            return reviewed

        def ask() -> object:
            commit = self._commit(package)
            if commit is None or (reviewed is not None and commit == reviewed.commit):
                return to_builtins(reviewed)
            code, _ = self.reviewed_at(package, commit)
            code = replace(code, earlier=package.reviews) if code else Reviewed(commit, "", "")
            return to_builtins(code)

        ends = (one.commit for one in package.reviews)
        known = repr((package.lane, *places, target.local, target.tip, *ends, bool(reviewed)))
        return convert(self._snapshot.memo.last(f"code {branch}", known, ask), Reviewed | None)

    def reviewed_at(self, package: PackageState, commit: str) -> tuple[Reviewed | None, bool]:
        """Returns a package's code up to a commit, and whether the target lacks commits of it.

        There is none if nobody knows where the package's branch began.
        """
        slug, target = self.feature.slug, self.target
        base = base_of_package(self._repo, self._refs, slug, package, commit, target)
        if base is None:
            return None, False
        before = package.reviews[-1].commit if package.reviews else None
        return reviewed_of(self._repo, base, commit, target.local or target.tip, before=before)

    def status(
        self,
        package: PackageState,
        kind: CodeKind,
        answer: Landing = NOWHERE,
        code: Reviewed | None = None,
    ) -> LandingStatus:
        """Returns what an answer of git says of a package's code, which is `code` now."""
        name = self.target.name
        if answer.reverts and kind == "local":
            name = self._snapshot.target_of(self.feature)
        status = LandingStatus(
            "reverted" if answer.reverts else kind,
            name,
            branch_of(self.feature.slug, package.wp_id),
            answer.landed,
            reverts=answer.reverts,
            revert=revert_command(self._snapshot, name, answer.reverts),
            push=push_command(self._refs, self._snapshot.target_of(self.feature)),
        )
        reviewed = package.reviewed
        if code is None or reviewed is None or package.lane != FOR_REVIEW:
            return status
        is_same = code.patch == reviewed.patch and code.base == reviewed.base
        return status if is_same else replace(status, changed_since=reviewed.commit)

    def _commit(self, package: PackageState) -> str | None:
        """Returns the last commit of a package: the branch's tip, or the reviewed one if later."""
        branch, reviewed = branch_of(self.feature.slug, package.wp_id), package.reviewed
        refs = refs_of_package(self._repo, self._refs, self.feature.slug, package)
        tip = tip_of(refs, branch)
        if package.lane == FOR_REVIEW:  # what others have pushed would be merged too
            newest = newest_of(self._repo, refs, branch)
            tip = newest[1] if newest else None
        if reviewed is None or tip == reviewed.commit:
            return tip
        if tip is None or not missing_commits(self._repo, tip, [reviewed.commit]):
            return tip or reviewed.commit
        is_here = not absent_of(self._repo, [reviewed.commit])
        if not is_here and tip in {one.commit for one in package.reviews}:
            return reviewed.commit  # a forge deleted the branch before this clone had fetched it
        is_later = is_here and bool(missing_commits(self._repo, reviewed.commit, [tip]))
        return tip if is_later else reviewed.commit


def revert_command(snapshot: Snapshot, target: str, commits: Sequence[str]) -> str:
    """Returns the command that takes reverts back, in a package's worktree; "" without reverts."""
    if not commits:
        return ""

    def ask() -> list[list[str]]:
        listing = ("rev-list", "--no-walk=unsorted", "--parents", *commits, "--")
        return [*map(str.split, snapshot.project.repo.git.run(*listing).decode().splitlines())]

    lines = snapshot.memo.last(f"parents {' '.join(commits)}", "", ask)
    merges = [" -m 1" if len(line) > 2 else "" for line in lines]
    steps = [f"git revert{merge} {commit}" for merge, commit in zip(merges, commits, strict=True)]
    return " && ".join((f"git merge {target}", *steps))


def check_whole(
    snapshot: Snapshot, feature: FeatureState, packages: Mapping[str, PackageState], plan: MergePlan
) -> None:
    """Raises Refused if the target would lack code of packages after a planned merge.

    `packages` are by their branches. Code may have been merged once, and reverted: merging its
    branch again does not bring back what was handed in before.
    """
    check, target = LandingCheck(snapshot, feature), snapshot.target_of(feature)
    branches = {step.branch for step in plan.steps if step.status != "conflict"}
    codes = {branch: check.code(packages[branch]) for branch in branches & packages.keys()}
    asked = [(branch, Question(code)) for branch, code in codes.items() if code and code.chain]
    asked += [
        (b, one._replace(is_before=True)) for b, one in asked if one.code and one.code.earlier
    ]
    answers = landings(snapshot.project.repo, plan.end, [one for _, one in asked])
    for (branch, question), answer in zip(asked, answers, strict=True):
        if answer.is_there or (question.is_before and not answer.reverts):
            continue
        wp_id = packages[branch].wp_id
        what = "what was handed in of it before" if question.is_before else "its code"
        by = f", reverted by {', '.join(commit[:SHORT] for commit in answer.reverts)}"
        revert = revert_command(snapshot, target, answer.reverts)
        how = f"in its worktree: {revert}" if revert else "commit it again in its worktree"
        raise Refused(
            "could not merge",
            guard="not_landed",
            place=f"{feature.slug}/{wp_id}",
            cause=f"{what} would still be missing in {target}{by if answer.reverts else ''}",
            hint=f"{how}; then merge again",
        )


def workspace(session: Session, feature: FeatureState, package: PackageState) -> Worktree:
    """Makes branch and worktree of a package on top of its dependencies, or completes them.

    It begins at the branches of dependencies that are not merged yet, else at the target; where
    features land by pull requests, at the open plan branch, else at the target's upstream. An event
    records a new workspace. Raises GitFailed.
    """
    path = session.project.root / worktree_of(feature.slug, package.wp_id)
    branch = branch_of(feature.slug, package.wp_id)
    snapshot = session.snapshot
    refs = snapshot.refs
    newest = newest_branch(snapshot, feature, package.wp_id)
    is_begun = newest is not None and newest[0] != branch  # somebody else has pushed it
    bases = [newest[0]] if newest and is_begun else []
    if not bases:
        target, needed = snapshot.target_of(feature), package.dependencies
        at = refs.branches.get(target)
        if snapshot.planning.is_by_pull_request:
            # what has landed is in the upstream, where without others a package begins
            aim, plan = target_in(refs, target), snapshot.planning.open_plan(feature.slug)
            at, target = aim.tip, plan.name if plan else aim.name
            part = {wp_id: one for wp_id, one in feature.packages.items() if wp_id in needed}
            asked = [replace(feature, packages=part)]
            codes = code_of_packages(snapshot, asked, (FOR_REVIEW, DONE))
            landed = [wp_id for (_, wp_id), code in codes.items() if code.kind == "landed"]
            needed = tuple(wp_id for wp_id in needed if wp_id not in landed)
        for wp_id in needed:
            found, needs = newest_branch(snapshot, feature, wp_id), feature.packages.get(wp_id)
            if found and not (at is not None and is_ancestor(session.project.repo, found[1], at)):
                bases.append(found[0])
            elif not found and needs and needs.lane == FOR_REVIEW:
                missing = f"{package.wp_id} is without the code of {wp_id}, which is not here:"
                who = needs.agent or "its author"
                session.warnings.append(f"{missing} git fetch, if {who} has pushed it")
        bases = bases or [target]
    worktree = make(session.project.repo, branch, path, bases, refs.branches)
    session.warnings += worktree.warnings
    if worktree.is_new and not is_begun:
        record_base(session.project.repo, feature.slug, package.wp_id, worktree.head)
    else:
        target = snapshot.target_of(feature)
        record_base_if_missing(
            session.project.repo, refs, feature.slug, package.wp_id, worktree.head, target
        )
    if package.workspace != branch or worktree.is_new:
        payload = {
            "work_package_id": package.wp_id,
            "worktree_path": worktree_of(feature.slug, package.wp_id),
            "branch_name": branch,
        }
        session.append_or_warn(WorkEvent("WorkspaceCreated", payload, feature.slug))
    return worktree


def refs_of_package(repo: Repository, refs: Refs, slug: str, package: PackageState) -> Refs:
    """Returns the refs without the branch here that is not what somebody else has handed in.

    Who lost a claim has a branch of that name as well. It counts only if it goes on from what was
    handed in.
    """
    name, reviewed = HEADS + branch_of(slug, package.wp_id), package.reviewed
    tip = refs.commits.get(name)
    if tip is None or reviewed is None or package.lane not in (FOR_REVIEW, DONE):
        return refs
    is_own = kept_commit(refs, slug, package.wp_id) == reviewed.commit
    if is_own or tip == reviewed.commit or not missing_commits(repo, tip, [reviewed.commit]):
        return refs
    return refs._replace(commits={one: oid for one, oid in refs.commits.items() if one != name})


def newest_branch(snapshot: Snapshot, feature: FeatureState, wp_id: str) -> tuple[str, str] | None:
    """Returns the name and the tip of the newest branch of a package.

    Branches on remotes count, unless the number was given twice: they may be the other package's.
    """
    branch, package = branch_of(feature.slug, wp_id), feature.packages.get(wp_id)
    repo, refs = snapshot.project.repo, snapshot.refs
    if package is not None and package.lost:
        commit = refs.branches.get(branch)
        return (branch, commit) if commit else None
    if package is not None:
        refs = refs_of_package(repo, refs, feature.slug, package)
    return newest_of(repo, refs, branch)
