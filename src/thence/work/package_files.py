"""The file of a new package: all that a coding agent needs to do it."""

from thence.work.frontmatter import written
from thence.work.naming import branch_of, kebab, worktree_of
from thence.work.tasks import Package

FOLDER = "tasks"


def path_of(package: Package) -> str:
    """Returns where a package's file lies in its feature, such as tasks/WP01-the-journal.md."""
    return f"{FOLDER}/{package.wp_id}-{kebab(package.title)}.md"


def is_file_of(wp_id: str, path: str) -> bool:
    """Tells whether a path, in whatever folder, is that of a package's file."""
    name = path.rpartition("/")[2]
    return name.startswith(f"{wp_id}-") or name == f"{wp_id}.md"


def render(package: Package, feature_slug: str, *, shows_lane: bool = False) -> bytes:
    """Returns the file of a package in lane planned: its fields, what to do, how to move on.

    What tasks.md does not say is left out, and so is the lane unless the project mirrors it.
    """
    parts = [_fields(package, feature_slug, shows_lane), f"# {package.wp_id}: {package.title}"]
    if package.goal:
        parts.append(package.goal)
    if package.prompt and package.prompt != path_of(package):
        parts.append(f"What to do in detail is told in `{package.prompt}`.")
    if package.owns:
        owns = ", ".join(f"`{path}`" for path in package.owns)
        parts.append(f"Files of this package, and of no other at the same time: {owns}.")
    if package.dependencies:
        parts.append(f"Begins when {_listed(package.dependencies)} can be built upon.")
    if package.subtasks:
        parts.append("## Subtasks")
        parts.append(
            "\n".join(
                f"- {each.id}{' [P]' if each.is_parallel else ''} {each.text}".rstrip()
                for each in package.subtasks
            )
        )
        parts.append("Their boxes stand in `tasks.md`. Those marked [P] may be done side by side.")
    if package.independent_test:
        parts += ["## How it is tested alone", package.independent_test]
    parts.append(_moving_on(package, feature_slug))
    return ("\n\n".join(parts) + "\n").encode()


def _fields(package: Package, feature_slug: str, shows_lane: bool) -> str:
    lines = [
        "---",
        f"work_package_id: {package.wp_id}",
        f"title: {written(package.title)}",
        f"feature_slug: {written(feature_slug)}",
    ]
    if shows_lane:
        lines.append("lane: planned")
    if package.priority:
        lines.append(f"priority: {package.priority}")
    lines.append(f"dependencies: [{', '.join(package.dependencies)}]")
    lines.append(f"subtasks: [{', '.join(each.id for each in package.subtasks)}]")
    if package.owns:
        lines.append("owns:")
        lines += [f"  - {written(path)}" for path in package.owns]
    return "\n".join([*lines, "---"])


def _moving_on(package: Package, feature_slug: str) -> str:
    wp_id, feature = package.wp_id, f"--feature {feature_slug}"
    subtask = package.subtasks[0].id if package.subtasks else ""
    ticking = f" Each subtask that is done: `thence work mark-status {subtask} {feature}`."
    return f"""## How to move on

1. `export THENCE_ACTOR=NAME`, or `--actor NAME` with each command, says who you are: a package is
   moved on by who began it.
2. `thence work implement {wp_id} {feature}` makes the branch `{branch_of(feature_slug, wp_id)}` \
and the worktree `{worktree_of(feature_slug, wp_id)}`. Work there.
3. Commit what you did.{ticking if subtask else ""}
4. `thence work move-task {wp_id} --to for_review {feature}` hands it over for review.

A refused command says which guard stopped it and what to do.
`thence work status` shows the board."""


def _listed(ids: tuple[str, ...]) -> str:
    return ids[0] if len(ids) == 1 else f"{', '.join(ids[:-1])} and {ids[-1]}"
