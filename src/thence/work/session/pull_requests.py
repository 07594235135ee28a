"""The branches that go to a remote where features land by pull requests.

A feature's planning files are committed in a worktree of its plan branch, and pushed from there. A
remote is asked first, and waited for a few seconds at most: without it a command goes on, and says
what it has not pushed. What others have pushed to a plan branch is merged by git; a conflict is
left to the user, and nothing is changed by it.
"""

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from thence.errors import GitFailed
from thence.git.commits import commit_tree
from thence.git.git import Git, failure
from thence.git.locks import COMMITTING, INDEX_LOCK, locked, naming, ref_locks
from thence.git.merging import REFUSALS, signs_commits
from thence.git.pushing import PullRequest, fetch, is_pushed, pull_request, push, remote_of
from thence.git.refs import REMOTES, push_command
from thence.git.repository import HEADS, is_ancestor, operation_under_way, repository
from thence.git.worktrees import make, uncommitted
from thence.work.board.state import DONE, FOR_REVIEW, NOBODY, FeatureState
from thence.work.names import branch_of, plan_branch, plan_worktree
from thence.work.plan.planning_files import has_landed
from thence.work.project.package_refs import base_of_package, own_refs, plan_refs, target_in
from thence.work.project.project import Project
from thence.work.session.lane_changes import move_all, request_of
from thence.work.session.package_code import code_of_packages
from thence.work.session.session import Session
from thence.work.session.snapshot import Snapshot

ATTEMPTS_MAX = 5


class Pushed(NamedTuple):
    """What became of a push: members of the command's JSON, and its lines."""

    data: Mapping[str, object]
    lines: tuple[str, ...]


def reached(session: Session, target: str) -> str | None:
    """Fetches from the remote of a target, once in a command; returns its name.

    None if it does not answer; the command's user is told so.
    """
    if target not in session.remotes:
        session.remotes[target] = remote = remote_of(session.project.main, session.refs, [target])
        if remote is None:
            session.warnings.append("nothing is pushed: the repository has no remote")
        elif why := fetch(session.project.main, remote):
            session.remotes[target] = None
            session.warnings.append(f"{remote} was not reached: {why}")
        session.forget_refs()
    return session.remotes[target]


def begin_plan(session: Session, slug: str, target: str) -> None:
    """Has the command write to a feature's plan branch, in a worktree of it.

    The branch begins at the target's upstream, at the target here if only that has the feature's
    files. An existing one gets what others have pushed, and the target once it has landed. Raises
    GitFailed for a conflict.
    """
    reached(session, target)
    project, refs, name = session.project, session.refs, plan_branch(slug)
    aim, tree = target_in(refs, target), refs.trees.get(name)
    is_open = session.planning.open_plan(slug) is not None
    places = [ref.removeprefix(REMOTES) for ref in own_refs(refs).on_remotes(name)]
    if tree is None:
        start, folder = aim.name, session.planning.path(slug)
        if aim.local and aim.tip != aim.local and not session.planning.names(target, folder):
            is_here = project.repo.git.ask("cat-file", "-e", f"{aim.local}:{folder}").status == 0
            start = target if is_here else start
        tree = project.root / plan_worktree(slug)
        worktree = make(project.repo, name, tree, places[:1] or start, refs.branches)
        session.warnings += worktree.warnings
    for place in (*places, *(() if is_open else (aim.name,))):
        try:
            _merge(project, tree, name, place)
        except GitFailed as error:
            if not error.recoverable:
                raise  # otherwise the user's changes are committed first
    session.forget_refs()
    session.plan(writes_in=tree)


def _merge(project: Project, tree: Path, branch: str, other: str) -> None:
    """Merges another branch or commit into one that is checked out, or changes nothing."""
    repo, git = repository(tree), Git(tree)
    if git.ask("merge-base", "--is-ancestor", other, "HEAD").status == 0:
        return
    if operation := operation_under_way(repo.git_dir):
        cause, hint = f"a {operation} is under way in {tree}", "end it (see git status there)"
        raise failure(f"could not bring {other} into", branch, cause, hint)
    lock = project.repo.common / COMMITTING
    taken = (*ref_locks(repo.common, repo.git_dir, branch), repo.git_dir / INDEX_LOCK)
    with locked(lock), naming(lock, tree, taken) as note:
        user = Git(tree, keeps=(note,), is_users=True)
        options = ("--quiet", "--no-edit", "--ff", "--no-squash", "--no-autostash")
        answer = user.ask("merge", *options, other)
        if answer.status == 0:
            return
        conflicts = os.fsdecode(git.run("diff", "--name-only", "--diff-filter=U", "-z"))
        if conflicts:
            user.run("merge", "--abort")
    files = ", ".join(conflicts.split("\0")[:-1])
    merge = f"git -C {shlex.quote(str(tree))} merge {other}, resolve and commit"
    raise failure(
        f"could not bring {other} into",
        branch,
        f"both changed {files}" if files else answer.stderr or "git merge failed",
        f"{merge if files else f'commit or put aside what is in {tree}'}; then the same command",
        is_retryable=not files and any(words in answer.stderr for words in REFUSALS),
    )


def take_plan_in(session: Session, feature: FeatureState, wp_id: str) -> None:
    """Merges the target into a package that began at a plan branch which has landed since.

    Git does not know that a squash holds the plan's commits: later edits of the plan would conflict
    with the files as the package began with them. A commit that has the target's files, and both
    for its parents, says so. A package whose worktree is not clean stays as it is. Raises GitFailed
    for a conflict, with nothing changed.
    """
    refs, project, slug = session.refs, session.project, feature.slug
    repo, branch, target = project.repo, branch_of(slug, wp_id), session.snapshot.target_of(feature)
    aim, tip, tree = target_in(refs, target), refs.branches.get(branch), refs.trees.get(branch)
    if not (session.planning.is_by_pull_request and tip and tree and aim.tip):
        return
    base = base_of_package(repo, refs, slug, feature.packages[wp_id], tip, aim)
    if base is None or is_ancestor(repo, base, aim.tip) or session.planning.open_plan(slug):
        return
    merges = repo.git.run("rev-list", "--min-parents=2", "--parents", tip, f"^{base}").decode()
    if any(line.endswith(f" {base}") for line in merges.splitlines()) or uncommitted(tree):
        return
    plans = [refs.commits[ref] for ref in plan_refs(refs).get(slug, ())]
    is_of_plan = any(is_ancestor(repo, base, plan) for plan in plans)
    if not is_of_plan and not has_landed(repo, base, aim.tip):
        return
    message, is_signed = f"{plan_branch(slug)} is in {target}", signs_commits(repo)
    known = commit_tree(repo, f"{aim.tip}^{{tree}}", [aim.tip, base], message, is_signed=is_signed)
    _merge(project, tree, branch, known)
    session.forget_refs()


def push_plan(session: Session, slug: str, target: str) -> Pushed:
    """Pushes the plan branch that a command writes to; nothing with `land: merge`."""
    name, tree = plan_branch(slug), session.planning.writes_in
    session.forget_refs()
    if tree is None or session.planning.open_plan(slug) is None:
        return Pushed({}, ())
    remote, main = reached(session, target), session.project.main
    by_hand = f"next: git push -u {remote or 'origin'} {name}"
    lines = (f"{name} is not pushed", by_hand)
    try:
        for _ in range(ATTEMPTS_MAX if remote else 0):
            assert remote is not None
            if is_pushed(session.refs, remote, name):
                request = pull_request(main, remote, name, target)
                data = {"branch": name, "pushed": True, "pull_request": request.page}
                return Pushed(data, (f"{name} is pushed to {remote}", f"next: {request}"))
            try:
                push(main, remote, name)
            except GitFailed as error:
                if not error.recoverable:
                    raise
                fetch(main, remote)
                _merge(session.project, tree, name, f"{remote}/{name}")
            session.forget_refs()
    except GitFailed as error:
        lines = (f"{name} is not pushed: {error.cause}", f"next: {error.hint}")
    return Pushed({"branch": name, "pushed": False, "pull_request": None}, lines)


def record_landings(session: Session) -> None:
    """Moves approved packages that have landed to done, as the doing of those who approved them.

    The guards of a move to done hold for each.
    """
    parts, count = list[FeatureState](), len(session.appended)
    for feature in session.board.features.values():
        packages = {wp_id: one for wp_id, one in feature.packages.items() if one.is_approved}
        parts += [replace(feature, packages=packages)] if packages else []
    for (slug, wp_id), code in code_of_packages(session.snapshot, parts, (FOR_REVIEW,)).items():
        feature = session.board.features[slug]
        package = feature.packages[wp_id]
        if code.kind != "landed" or code.changed_since is not None:
            continue
        with session.acting_as(package.approved_by or NOBODY):
            request = request_of(session, feature, wp_id, DONE, code=code)
            requests = [request.knowing(rests_on=package.events_of("approved"))]
            moves, _ = move_all(session, slug, requests, needs_log=False, is_strict=False)
        if moves:
            session.recorded.append((slug, wp_id))
            who = package.approved_by
            session.warnings.append(f"{wp_id} of {slug} is done: {who} approved it, and it landed")
    if len(session.appended) > count:
        session.refresh()


def unpushed(snapshot: Snapshot, slug: str, target: str) -> list[str]:
    """Returns the command that takes commits off a target that a plan branch has, if there are."""
    refs, aim = snapshot.refs, target_in(snapshot.refs, target)
    repo, plan = snapshot.project.repo, plan_branch(slug)
    if not aim.local or not aim.tip or is_ancestor(repo, aim.local, aim.tip):
        return []
    if not is_ancestor(repo, aim.local, refs.branches[plan]):
        return []
    is_here = refs.here == target
    move = f"git reset --keep {aim.name}" if is_here else f"git branch -f {target} {aim.name}"
    return [f"{plan} has all commits that {aim.name} lacks; to take them off {target}: {move}"]


def not_pushed(snapshot: Snapshot, target: str, end: str) -> tuple[str | None, list[str]]:
    """Returns the upstream that lacks a merge, None if there is none, and lines on what to do."""
    refs = snapshot.refs
    push, upstream = push_command(refs, target), refs.upstreams.get(HEADS + target)
    if push is None or upstream is None:
        return None, []
    if is_ancestor(snapshot.project.repo, end, refs.commits[upstream]):
        return None, []
    lacking = upstream.removeprefix(REMOTES)
    switch = "or, if that accepts only pull requests: thence work setup-spec --land pull-request"
    return lacking, [f"merged here, not pushed to {lacking}", f"next: {push}", switch]


def push_packages(
    session: Session, feature: FeatureState, names: Iterable[str]
) -> dict[str, PullRequest | None]:
    """Pushes branches of packages; returns their pull requests, None where no remote answers.

    Raises GitFailed if the remote refuses one.
    """
    target = session.snapshot.target_of(feature)
    remote, main = reached(session, target), session.project.main
    requests: dict[str, PullRequest | None] = {}
    for name in names:
        if remote is None:
            requests[name] = None
            continue
        if name in session.refs.branches and not is_pushed(session.refs, remote, name):
            push(main, remote, name)
        requests[name] = pull_request(main, remote, name, target)
    session.forget_refs()
    return requests
