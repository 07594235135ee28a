"""`thence work add`: makes a package without a spec."""

from collections.abc import Sequence

import msgspec

from thence.core.guard import Unchanged
from thence.errors import HeadsMoved, PlanningError, Refused
from thence.log.process import new_id, now
from thence.work.daylines import Splice
from thence.work.desk import ATTEMPTS_MAX, Desk
from thence.work.naming import next_wp_id, wp_id_of
from thence.work.package_files import path_of, render
from thence.work.planning import Meta
from thence.work.result import Result
from thence.work.state import FeatureState
from thence.work.store import Said
from thence.work.tasks import Package, parse

# the feature of packages that belong to none
GENERAL = "000-general"
_TITLE = "General"
_TYPES = ("FeatureCreated", "WPCreated")


def add(
    desk: Desk,
    title: str,
    *,
    owns: Sequence[str] = (),
    after: Sequence[str] = (),
    feature: str | None = None,
) -> Result:
    """Adds a package to a feature, by default to 000-general, which is made at first use.

    It gets a section in tasks.md and a file, committed on the target branch. `owns` are paths
    that it alone works on, `after` the packages that it depends on. Raises PlanningError.
    """
    if not title.strip():
        raise PlanningError("could not add a package", cause="its title is empty", hint="name it")
    for _ in range(ATTEMPTS_MAX):
        desk.look()
        found = desk.feature(feature) if feature else _general(desk)
        branch = desk.target_of(found)
        path = desk.planning.path(found.slug, "tasks.md")
        data = desk.planning.read(branch, path)
        known = [*found.packages, *(each.wp_id for each in parse(data or b"", path).packages)]
        dependencies = _dependencies(found, after, known)
        package = Package(
            next_wp_id(known), " ".join(title.split()), owns=tuple(owns), dependencies=dependencies
        )
        try:
            desk.say(*_said(found, package, branch), guard=_guard(desk, found))
            break
        except HeadsMoved:
            continue
    else:
        raise Refused(
            "could not add a package to",
            guard="moved_meanwhile",
            place=found.slug,
            cause="others added packages again and again meanwhile",
            hint="try again",
        )
    desk.watch(branch)
    made = desk.commit(
        branch, _files(desk, found, package, branch), f"Add {package.wp_id}: {title}"
    )
    told = {
        "feature_slug": found.slug,
        "wp_id": package.wp_id,
        "title": package.title,
        "commit": made.oid if made else None,
    }
    lines = [
        f"{package.wp_id} of {found.slug}: {package.title}",
        f"next: thence work implement {package.wp_id} --feature {found.slug}",
    ]
    return desk.result(told, lines)


def _dependencies(
    found: FeatureState, after: Sequence[str], known: Sequence[str]
) -> tuple[str, ...]:
    dependencies = tuple(map(wp_id_of, after))
    for wp_id in dependencies:
        if wp_id not in known:
            raise PlanningError(
                "could not add a package after",
                place=wp_id,
                cause=f"{found.slug} has {', '.join(known) or 'none yet'}",
                hint="thence work status",
            )
    return dependencies


def _general(desk: Desk) -> FeatureState:
    known = desk.board.features.get(GENERAL)
    return known or FeatureState(project_uuid=desk.project.uuid, slug=GENERAL, title=_TITLE)


def _guard(desk: Desk, found: FeatureState) -> Unchanged:
    names = {found.slug, next_wp_id(found.packages)}
    return desk.guard(*((found.slug, name) for name in names), types=_TYPES)


def _said(found: FeatureState, package: Package, branch: str) -> list[Said]:
    said = []
    created = found.created_event
    if created is None:
        created = new_id()
        payload = {
            "feature_slug": found.slug,
            "feature_number": found.slug[:3],
            "target_branch": branch,
            "wp_count": 1,
        }
        said.append(Said("FeatureCreated", payload, found.slug, event_id=created))
    payload = {
        "wp_id": package.wp_id,
        "title": package.title,
        "feature_slug": found.slug,
        "dependencies": list(package.dependencies) or None,
    }
    said.append(Said("WPCreated", payload, found.slug, (created,)))
    return said


def _files(desk: Desk, found: FeatureState, package: Package, branch: str) -> dict[str, Splice]:
    slug = found.slug
    files = {
        desk.planning.path(slug, "tasks.md"): _with_section(package),
        desk.planning.path(slug, path_of(package)): _new(render(package, slug)),
    }
    if slug == GENERAL:
        meta = Meta(slug[:3], slug, _TITLE, "software-dev", branch, now())
        text = msgspec.json.format(msgspec.json.encode(meta), indent=2) + b"\n"
        files[desk.planning.path(slug, "meta.json")] = _new(text)
    return files


def _with_section(package: Package) -> Splice:
    needs = f"Depends on {', '.join(package.dependencies)}" if package.dependencies else "None"
    lines = [f"## Work Package {package.wp_id}: {package.title}", ""]
    if package.owns:
        lines += [f"**Owns**: {', '.join(package.owns)}", ""]
    lines += ["### Dependencies", f"- {needs}", ""]
    section = "\n".join(lines).encode()

    def splice(data: bytes | None) -> bytes:
        if not data:
            return b"# Tasks\n\n" + section
        if any(each.wp_id == package.wp_id for each in parse(data, "tasks.md").packages):
            return data
        gap = b"" if data.endswith(b"\n\n") else b"\n" if data.endswith(b"\n") else b"\n\n"
        return data + gap + section

    return splice


def _new(data: bytes) -> Splice:
    return lambda there: data if there is None else there
