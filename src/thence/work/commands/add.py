"""`thence work add`: makes a package without a spec."""

from collections.abc import Sequence

from thence.errors import HeadsMoved, PlanningError, Refused
from thence.work.board.state import FeatureState
from thence.work.commands.finalize_tasks import creation_events
from thence.work.day_lines import Splice, if_missing
from thence.work.naming import is_wp_id, next_wp_id, wp_id_of
from thence.work.plan.package_files import path_of, render
from thence.work.plan.planning_files import Meta
from thence.work.plan.tasks import PlannedPackage, parse
from thence.work.project.options import read_options
from thence.work.result import CommandResult
from thence.work.session.command_commit import check_committer, check_here, commit
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile

# the feature of packages that belong to none
GENERAL = "000-general"
_TITLE = "General"
_GUARDED_TYPES = ("FeatureCreated", "WPCreated")


def add(
    session: Session,
    title: str,
    *,
    owns: Sequence[str] = (),
    after: Sequence[str] = (),
    feature: str | None = None,
) -> CommandResult:
    """Adds a package to a feature, by default to 000-general, which is made at first use.

    The package gets a file in tasks/, committed on the branch that is checked out. tasks.md stays
    as it is, so that two clones that both add packages never meet in one file.
    `owns` are paths that it alone works on, `after` the packages that it depends on. Raises
    Refused, PlanningError.
    """
    title = " ".join(title.split())
    if not title:
        raise PlanningError(
            "could not add a package",
            cause="its title is empty",
            hint='thence work add "what is to be done"',
        )
    check_committer(session)
    found, package = _append_package(
        session, feature, PlannedPackage("", title, owns=_paths(owns)), after
    )
    branch = session.target_of(found)
    session.watch(branch)
    message = f"Add {package.wp_id}: {title}"
    files = _files(session, found, package, branch)
    made = commit(session, files, message, "add", target=branch)
    data = {
        "feature_slug": found.slug,
        "wp_id": package.wp_id,
        "title": title,
        "commit": made.oid if made else None,
    }
    lines = [
        f"{package.wp_id} of {found.slug}: {title}",
        f"next: thence work implement {package.wp_id} --feature {found.slug}",
    ]
    return session.result(data, lines)


def _append_package(
    session: Session, feature: str | None, wanted: PlannedPackage, after: Sequence[str]
) -> tuple[FeatureState, PlannedPackage]:
    """Appends the package's WPCreated, under an id that nobody else takes meanwhile."""
    for _ in range(ATTEMPTS_MAX):
        session.look()
        found = _general(session) if feature is None else session.feature(feature)
        branch = session.target_of(found)
        check_here(session, found, branch)
        known = taken_ids(session, found)
        package = wanted._replace(
            wp_id=next_wp_id(known), dependencies=_dependencies(found, after, known)
        )
        guard = session.guard(
            (found.slug, found.slug), (found.slug, package.wp_id), types=_GUARDED_TYPES
        )
        try:
            session.append(*creation_events(found, branch, [package]), guard=guard)
        except HeadsMoved:
            continue
        return found, package
    raise moved_meanwhile(
        "could not add a package to",
        found.slug,
        "others added packages again and again meanwhile",
        "try again",
    )


def taken_ids(session: Session, found: FeatureState) -> list[str]:
    """Returns the ids in use: on the board, in tasks.md, by a file."""
    data = session.planning.read(None, session.planning.path(found.slug, "tasks.md"))
    planned = (each.wp_id for each in parse(data or b"", "").packages)
    paths = (path for path, _ in session.planning.package_files(None, found.slug))
    files = (path.rpartition("/")[2].partition("-")[0].removesuffix(".md") for path in paths)
    taken = dict.fromkeys((*found.packages, *planned, *files))
    return sorted(wp_id for wp_id in taken if is_wp_id(wp_id))


def _paths(owns: Sequence[str]) -> tuple[str, ...]:
    """Returns the paths of an option that may be repeated, and may name several with commas."""
    parts = (" ".join(part.strip(" `\t\r\n").split()) for each in owns for part in each.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _dependencies(
    found: FeatureState, after: Sequence[str], known: Sequence[str]
) -> tuple[str, ...]:
    dependencies = tuple(map(wp_id_of, after))
    for wp_id in dependencies:
        if wp_id not in known and wp_id not in found.packages:
            raise Refused(
                "could not add a package after",
                guard="unknown_package",
                place=f"{found.slug}/{wp_id}",
                cause=f"the feature has {', '.join(known) or 'none yet'}",
                hint="look at `thence work status`",
            )
    return dependencies


def _general(session: Session) -> FeatureState:
    known = session.board.features.get(GENERAL)
    return known or FeatureState(project_uuid=session.project.uuid, slug=GENERAL, title=_TITLE)


def _files(
    session: Session, found: FeatureState, package: PlannedPackage, branch: str
) -> dict[str, Splice]:
    slug = found.slug
    data = render(package, slug, "", shows_lane=read_options(session.project).mirror is True)
    files: dict[str, Splice] = {session.planning.path(slug, path_of(package)): if_missing(data)}
    if slug == GENERAL:  # the same bytes in every clone: no time of its beginning
        meta = Meta(slug[:3], slug, _TITLE, "software-dev", branch)
        files[session.planning.path(slug, "meta.json")] = if_missing(meta.as_bytes())
    return files
