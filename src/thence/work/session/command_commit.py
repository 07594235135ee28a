"""The commit that a command makes, with the project's own files."""

from collections.abc import Mapping
from contextlib import suppress

from thence.errors import GitFailed, PlanningError, Refused
from thence.git.commits import Commit, FileEdit, commit_files
from thence.git.objects import is_folder, objects
from thence.git.repository import HEADS
from thence.work.board.state import FeatureState
from thence.work.names import plan_branch
from thence.work.project.configuration import PULL_REQUEST, with_land
from thence.work.project.project_id import CONFIG, with_id
from thence.work.session.session import Session
from thence.work.session.snapshot import Snapshot


def commit(
    session: Session,
    changes: Mapping[str, FileEdit],
    subject: str,
    by: str,
    *,
    target: str | None = None,
) -> Commit | None:
    """Commits planning files on the branch that the main working tree has checked out.

    Where features land by pull requests, that is the plan branch which the command writes to.
    `by` names the command. Of the features whose files change,
    tasks.md, tasks/ and meta.json are committed as they lie. Changes that can't be committed now
    cause a warning, and lie there. A `target` that is another branch than the one checked out
    causes a warning.
    """
    project, config = session.project, None
    with suppress(OSError):  # the branch that is checked out lacks it
        config = project.files.read(CONFIG)
    changed: dict[str, FileEdit] = {
        CONFIG: lambda data: with_id(config if data is None else data, project.uuid),
        **changes,
    }
    by_pull_request = session.planning.writes_in is not None
    if land := PULL_REQUEST if by_pull_request else session.planning.chosen_land:
        edit = changed[CONFIG]  # all that begins at the commit knows how it lands
        changed[CONFIG] = lambda data: with_land(edit(data), land)
    message = f"{subject}\n\nThence: {by}"
    try:
        committed = commit_files(
            session.planning.repository,
            changed,
            message,
            beside=session.planning.beside(changes),
        )
    except GitFailed as error:
        if not error.recoverable:
            raise
        session.warnings.append(
            f"nothing is committed yet: {error.cause}; {error.hint}."
            " Commit it yourself, or the next command that commits for this feature does"
        )
        return None
    if committed is None:
        return None
    if target not in (None, committed.branch) and not by_pull_request:
        session.warnings.append(
            f"the planning files are on {committed.branch}, and its packages begin at {target}:"
            f" merge {committed.branch} into {target}, or open a pull request, before implement"
        )
    return committed


def check_committer(session: Session) -> None:
    """Raises GitFailed if git knows no committer; called before any event is appended."""
    session.project.repo.git.run("var", "GIT_COMMITTER_IDENT", operation="could not commit in")


def check_here(snapshot: Snapshot, feature: FeatureState, target: str) -> None:
    """Raises PlanningError if the checked-out branch lacks planning files that the target has."""
    planning = snapshot.planning
    path = planning.path(feature.slug)
    if planning.writes_in is not None:
        return
    if not planning.names(target, path) or planning.names(None, path):
        return
    raise PlanningError(
        "could not write the planning files of",
        place=feature.slug,
        cause=f"they are on {target}, and another branch is checked out, which does not have them",
        hint=f"git switch {target}, or bring them here: git merge {target}",
    )


def check_at_target(snapshot: Snapshot, feature: FeatureState, target: str) -> None:
    """Raises Refused if a feature's target branch lacks its planning files.

    Where features land by pull requests, an open plan branch has them too, and the target's
    upstream.
    """
    path, planning = snapshot.planning.path(feature.slug), snapshot.planning
    if planning.is_by_pull_request:
        is_there = bool(planning.names(target, path))
        cause = f"its planning files are neither on {target} nor on {plan_branch(feature.slug)}"
        hint = "git fetch, or ask its author to push them: thence work finalize-tasks"
    else:
        with objects(snapshot.project.repo) as store:
            tip = store.commit(f"{HEADS}{target}")
            entry = store.find(tip[1], path) if tip else None
        is_there = entry is not None and is_folder(entry)
        cause = f"its planning files are not on {target}, where its packages begin"
        hint = f"git pull, or merge what brings {path} into {target}"
        if planning.names(None, path):
            hint = f"commit {path} there, or merge the branch that has it into {target}"
        if tip is None:
            cause = f"there is no branch {target}, where its packages begin"
            hint = f"git branch {target} COMMIT, or bring it here: git fetch; git branch {target}"
            hint += f" origin/{target}"
    if not is_there:
        raise Refused(
            "could not begin a package of",
            guard="not_at_target",
            place=feature.slug,
            cause=cause,
            hint=hint,
        )
