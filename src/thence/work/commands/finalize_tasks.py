"""`thence work finalize-tasks`: makes the packages that tasks.md plans."""

import os
from collections.abc import Sequence
from stat import S_ISREG
from typing import Any

from thence.errors import HeadsMoved, PlanningError
from thence.replica import new_id
from thence.work.board.dependencies import in_order
from thence.work.board.state import FeatureState
from thence.work.day_lines import Splice, as_it_is, if_missing
from thence.work.journal.store import WorkEvent
from thence.work.naming import digits_of, is_derived, number_in
from thence.work.plan.package_files import (
    READ_FIRST,
    holds,
    is_file_of,
    is_made_here,
    path_of,
    render,
    text_of,
)
from thence.work.plan.tasks import PlannedPackage, packages_of
from thence.work.project.options import read_options
from thence.work.result import CommandResult
from thence.work.session.command_commit import check_here, commit
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile

_TYPES = ("FeatureCreated", "WPCreated")
_WRITTEN = ("meta.json", "tasks.md", *READ_FIRST)


def finalize_tasks(session: Session, feature: str | None) -> CommandResult:
    """Appends FeatureCreated and a WPCreated for each package that the board lacks.

    Packages get their files in tasks/. These and the planning files are committed on the branch
    that is checked out. Raises PlanningError with all problems of tasks.md, and Refused.
    """
    for _ in range(ATTEMPTS_MAX):
        session.look()
        found = session.feature(feature)
        branch = session.target_of(found)
        path = session.planning.path(found.slug, "tasks.md")
        check_here(session, found, branch)
        data = session.planning.read(None, path)
        if data is None:
            raise PlanningError(
                "could not read",
                place=path,
                cause="there is no such file",
                hint="write it: a heading `## Work Package WP01: Title` for each package",
            )
        packages = packages_of(data, path)
        _refuse_unknown_names(found, packages, path)
        events = creation_events(found, branch, packages)
        guard = session.guard(
            (found.slug, found.slug),
            *((found.slug, package.wp_id) for package in packages),
            types=_TYPES,
        )
        try:
            if events:
                session.append(*events, guard=guard)
            break
        except HeadsMoved:  # somebody else finalizes it too
            continue
    else:
        raise moved_meanwhile(
            "could not make the packages of",
            found.slug,
            f"others changed them {ATTEMPTS_MAX} times meanwhile",
        )
    session.watch(branch)
    files = _files(session, found.slug, packages, data)
    subject = f"Packages of {found.slug}"
    made = commit(session, files, subject, "finalize-tasks", target=branch)
    result = {
        "feature_slug": found.slug,
        "target_branch": branch,
        "packages": [package.wp_id for package in packages],
        "commit": made.oid if made else None,
    }
    new = sum(one.event_type == "WPCreated" for one in events)
    lines = [f"feature {found.slug}: {len(packages)} packages, {new} of them new"]
    for package in packages:
        after = f", after {', '.join(package.dependencies)}" if package.dependencies else ""
        lines.append(f"  {package.wp_id}  {package.title}{after}")
    first = in_order(packages)[0].wp_id
    lines.append(f"next: thence work implement {first} --feature {found.slug}")
    return session.result(result, lines)


def _refuse_unknown_names(
    feature: FeatureState, packages: Sequence[PlannedPackage], path: str
) -> None:
    for package in packages:
        if is_derived(package.wp_id) and package.wp_id not in feature.packages:
            raise PlanningError(
                "could not use the planning file",
                place=f"{path}:{package.line}",
                cause=f"the feature has no package {package.wp_id}",
                hint=f"write {number_in(package.wp_id)}, or a name that `thence work status` shows",
            )


def creation_events(
    found: FeatureState, branch: str, packages: Sequence[PlannedPackage]
) -> list[WorkEvent]:
    """Returns a FeatureCreated and WPCreateds for the packages that the board lacks."""
    events = []
    created = found.created_event
    if created is None:
        payload: dict[str, Any] = {
            "feature_slug": found.slug,
            "feature_number": digits_of(found.slug),
            "target_branch": branch,
            "wp_count": len(packages),
        }
        causes = (found.spec_event,) if found.spec_event else ()
        created = new_id()
        events.append(WorkEvent("FeatureCreated", payload, found.slug, causes, event_id=created))
    known = {wp_id: each.events_of("package") for wp_id, each in found.packages.items()}
    for package in packages:
        if package.wp_id in found.packages:
            continue
        # the causes identify the package meant, should its number have been given twice
        needs = [id_ for each in package.dependencies for id_ in known.get(each, ())]
        payload = {
            "wp_id": package.wp_id,
            "title": package.title,
            "feature_slug": found.slug,
            "dependencies": list(package.dependencies),
        }
        events.append(WorkEvent("WPCreated", payload, found.slug, (created, *needs)))
        known[package.wp_id] = (events[-1].event_id,)
    return events


def _files(
    session: Session, slug: str, packages: Sequence[PlannedPackage], data: bytes
) -> dict[str, Splice]:
    """Returns the files to commit: planning files as they are, missing files of packages."""
    written = _planning_files(session, slug)
    files: dict[str, Splice] = dict.fromkeys(written, as_it_is)
    shows_lane = read_options(session.project).mirror is True
    tree, tasks = session.project.files, session.planning.path(slug, "tasks.md")
    listed = (session.planning.path(slug, name) for name in READ_FIRST)
    reading = [
        each for each in listed if any(f"{path}/".startswith(f"{each}/") for path in written)
    ]
    there = [path for path, _ in session.planning.package_files(None, slug)]
    for package in packages:
        body = text_of(data, tasks, package, tree)
        known = [path for path in there if is_file_of(package.wp_id, path)]
        files |= dict.fromkeys(known, as_it_is)
        for path in known:
            text = (session.planning.read(None, path) or b"").decode("utf-8", "replace")
            if is_made_here(text, package.wp_id) and not holds(text, body):
                session.warnings.append(
                    f"{path} stays as it is: tasks.md says more of {package.wp_id}"
                )
        if not known:
            path = session.planning.path(slug, path_of(package))
            files[path] = if_missing(render(package, slug, body, reading, shows_lane=shows_lane))
    return files


def _planning_files(session: Session, slug: str) -> list[str]:
    """Returns the planning files of a feature: the usual ones, and its other documents."""
    folder, tree = session.planning.path(slug), session.project.files
    out = session.main.git.run(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder
    )
    others = [
        path
        for path in os.fsdecode(out).split("\0")[:-1]
        if path.endswith(".md") or path.startswith(f"{folder}/contracts/")
    ]
    usual = [f"{folder}/{name}" for name in _WRITTEN]
    seen = ((path, tree.look(path)) for path in dict.fromkeys((*usual, *others)))
    return [path for path, found in seen if found is not None and S_ISREG(found.st_mode)]
