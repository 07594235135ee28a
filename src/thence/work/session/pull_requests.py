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

from thence.errors import GitFailed
from thence.git.git import Git, failure
from thence.git.locks import COMMITTING, INDEX_LOCK, locked, naming, ref_locks
from thence.git.pushing import PullRequest, fetch, is_pushed, pull_request, push, remote_of
from thence.git.refs import REMOTES
from thence.git.repository import is_ancestor, operation_under_way, repository
from thence.git.worktrees import make
from thence.work.board.state import FeatureState
from thence.work.names import plan_branch, plan_worktree
from thence.work.project.package_refs import target_in
from thence.work.project.project import Project
from thence.work.session.session import Session

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
        session.remotes[target] = remote = remote_of(session.project.main, session.refs, target)
        why = "the repository has none" if remote is None else fetch(session.project.main, remote)
        session.forget_refs()
        if why:
            session.remotes[target] = None
            session.warnings.append(f"the remote {remote or ''} was not reached: {why}")
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
    places = [ref.removeprefix(REMOTES) for ref in refs.on_remotes(name)]
    if tree is None:
        start, folder = aim.name, session.planning.path(slug)
        if aim.local and aim.tip != aim.local and not session.planning.names(target, folder):
            is_here = project.repo.git.ask("cat-file", "-e", f"{aim.local}:{folder}").status == 0
            start = target if is_here else start
        tree = project.root / plan_worktree(slug)
        worktree = make(project.repo, name, tree, places[:1] or start, refs.branches)
        session.warnings += worktree.warnings
    for place in (*places, *(() if is_open else (aim.name,))):
        _merge(project, tree, name, place)
    session.forget_refs()
    session.planning.writes_in = tree


def _merge(project: Project, tree: Path, branch: str, other: str) -> None:
    """Merges another branch into a plan branch where that is checked out, or changes nothing."""
    repo, git = repository(tree), Git(tree)
    if git.ask("merge-base", "--is-ancestor", other, "HEAD").status == 0:
        return
    if operation := operation_under_way(repo.git_dir):
        cause, hint = f"a {operation} is under way in {tree}", "end it (see git status there)"
        raise failure(f"could not bring {other} into", branch, cause, hint, is_retryable=True)
    lock = project.repo.common / COMMITTING
    taken = (*ref_locks(repo.common, repo.git_dir, branch), repo.git_dir / INDEX_LOCK)
    with locked(lock), naming(lock, tree, taken) as note:
        user = Git(tree, keeps=(note,), is_users=True)
        answer = user.ask("merge", "--quiet", "--no-edit", other)
        if answer.status == 0:
            return
        conflicts = os.fsdecode(git.run("diff", "--name-only", "--diff-filter=U", "-z"))
        if conflicts:
            user.run("merge", "--abort")
    files = ", ".join(conflicts.split("\0")[:-1])
    raise failure(
        f"could not bring {other} into",
        branch,
        f"both changed {files}" if files else answer.stderr or "git merge failed",
        f"git -C {shlex.quote(str(tree))} merge {other}, resolve and commit; then the same command",
    )


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


def unpushed(session: Session, slug: str, target: str) -> list[str]:
    """Returns the command that takes commits off a target that a plan branch has, if there are."""
    refs, aim = session.refs, target_in(session.refs, target)
    repo, plan = session.project.repo, plan_branch(slug)
    if not aim.local or not aim.tip or is_ancestor(repo, aim.local, aim.tip):
        return []
    if not is_ancestor(repo, aim.local, refs.branches[plan]):
        return []
    is_here = refs.here == target
    move = f"git reset --keep {aim.name}" if is_here else f"git branch -f {target} {aim.name}"
    return [f"{plan} has all commits that {aim.name} lacks; to take them off {target}: {move}"]


def push_packages(
    session: Session, feature: FeatureState, names: Iterable[str]
) -> dict[str, PullRequest | None]:
    """Pushes branches of packages; returns their pull requests, None where no remote answers.

    Raises GitFailed if the remote refuses one.
    """
    target = session.target_of(feature)
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
