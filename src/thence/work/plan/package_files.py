"""The file of a new package: all that a coding agent needs to do it."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from posixpath import dirname, join, normpath, relpath
from urllib.parse import unquote

from thence.errors import PlanningError
from thence.git.files import TreeFiles
from thence.work.board.state import PackageState
from thence.work.names import branch_of, kebab, worktree_of
from thence.work.plan.frontmatter import as_yaml, read
from thence.work.plan.prose import lines_of
from thence.work.plan.tasks import PlannedPackage, links, section_of, target_of

FOLDER = "tasks"
# the documents of a feature to read before working on one of its packages, where they exist
READ_FIRST = ("spec.md", "plan.md", "research.md", "data-model.md", "quickstart.md", "contracts")
_OWN = re.compile(r"/?(?:kitty-specs/[\w-]{1,100}/)?(tasks/(WP\d+)[\w.-]{0,100}\.md)", re.ASCII)
_PROMPT = re.compile(r"\s*(?:[-*+]\s+)?\*\*Prompt(?:\*\*\s*:|:\*\*)", re.IGNORECASE)
_BOX = re.compile(r"^(\s*[-*+]\s+)\[[^\]]?\]\s*")
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_IMPLEMENT = "thence work implement"


def path_of(package: PlannedPackage) -> str:
    """Returns the path of a package's file in its feature, such as tasks/WP01-the-journal.md.

    The Prompt in tasks.md decides, if it names a file of the package in tasks/.
    """
    match = _OWN.fullmatch(package.prompt)
    if match is not None and match[2] == package.wp_id:
        return match[1]
    return f"{FOLDER}/{package.wp_id}-{kebab(package.title)}.md"


def is_file_of(wp_id: str, path: str) -> bool:
    """Reports whether a path, in any folder, is that of a package's file."""
    name = path.rpartition("/")[2]
    return name.startswith(f"{wp_id}-") or name == f"{wp_id}.md"


def file_of(
    package: PackageState,
    paths: Iterable[str],
    read_file: Callable[[str], bytes | None],
) -> str:
    """Returns the path of a package's file, empty if it has none.

    Of several files of one number, that with the package's title is taken, else the first.
    """
    files = [path for path in paths if is_file_of(package.wp_id, path)]
    if len(files) > 1:
        files.sort(key=lambda path: title_of(read_file(path) or b"", path) != package.title)
    return files[0] if files else ""


def title_of(data: bytes, path: str) -> str:
    """Returns the title in a package's file; empty if it can't be read."""
    try:
        return read(data, path).text("title")
    except PlanningError:
        return ""


def text_of(data: bytes, path: str, package: PlannedPackage, files: TreeFiles) -> str:
    """Returns a package's section of a tasks.md, at a path, in the form for the package's file.

    The heading and the boxes of subtasks are left out. Links are relative to the package's file; a
    link to a missing path becomes its words with its path, and such a Prompt is left out.
    """
    first, *section_lines = section_of(data, package.wp_id).split("\n")
    subtasks = {subtask.line for subtask in package.subtasks}
    prose = {line.number for line in lines_of(data).lines}
    lines = []
    for number, line in enumerate(section_lines, package.line + 1):
        text = line.rstrip("\r")
        if number in subtasks:
            text = _BOX.sub(r"\1", text)
        if number not in prose:
            lines.append(text)
        elif prompt := _PROMPT.match(text):
            target = _path_of_link(files, path, target_of(text[prompt.end() :]))
            if target and target != join(dirname(path), path_of(package)):
                lines.append(f"**Prompt**: `{target}`")
        else:
            lines.append(_with_links(text, path, files))
    return "\n".join(lines).strip() if first else ""


def holds(text: str, body: str) -> bool:
    """Reports whether a file's text has all lines of another, with boxes ticked or not.

    Space around lines does not count.
    """
    present = {_BOX.sub(r"\1", line).strip() for line in text.splitlines()}
    return all(
        _BOX.sub(r"\1", line).strip() in present for line in body.splitlines() if line.strip()
    )


def is_made_here(text: str, wp_id: str) -> bool:
    """Reports whether thence made a package's file: it contains the command to begin it."""
    return f"{_IMPLEMENT} {wp_id}" in text


def render(
    package: PlannedPackage,
    feature_slug: str,
    body: str,
    reading: Sequence[str] = (),
) -> bytes:
    """Returns the file of a package in lane planned: its fields, what to do, how to move on.

    `body` is the result of `text_of`, `reading` are files and folders to read as well, from the
    top of the repository. The file has no lane: the board shows it.
    """
    parts = [_fields(package, feature_slug), f"# {package.wp_id}: {package.title}"]
    if body:
        parts.append(body)
    if reading:
        listed = ", ".join(f"`{path}`" for path in reading)
        parts += ["## What else to read", f"For the whole feature: {listed}."]
    parts.append(_next_steps(package, feature_slug))
    return ("\n\n".join(parts) + "\n").encode()


def _path_of_link(files: TreeFiles, tasks: str, target: str) -> str | None:
    """Returns the path of a link's target in a tasks.md, None if nothing is there."""
    for base in (dirname(tasks), ""):
        path = normpath(join(base, unquote(target).lstrip("/")))
        with suppress(OSError, ValueError):
            if target and path != "." and files.look(path) is not None:
                return path
    return None


def _with_links(text: str, tasks: str, files: TreeFiles) -> str:
    """Returns a line of a tasks.md with its links as they are in a package's file."""
    parts, behind = list[str](), 0
    for start, end, words, target in links(text):
        path, mark, anchor = target.strip().partition("#")
        is_code = text.count("`", 0, start) % 2
        if is_code or _ELSEWHERE.match(path) or (not path and not mark):
            continue
        linked = _path_of_link(files, tasks, path) if path else tasks
        body = f"{words} (`{path}`)"
        if linked:
            body = f"[{words}]({relpath(linked, join(dirname(tasks), FOLDER))}{mark}{anchor})"
        parts += (text[behind:start], body)
        behind = end
    return "".join((*parts, text[behind:]))


def _fields(package: PlannedPackage, feature_slug: str) -> str:
    lines = [
        "---",
        f"work_package_id: {package.wp_id}",
        f"title: {as_yaml(package.title)}",
        f"feature_slug: {as_yaml(feature_slug)}",
    ]
    if package.priority:
        lines.append(f"priority: {package.priority}")
    lines.append(f"dependencies: [{', '.join(package.dependencies)}]")
    lines.append(f"subtasks: [{', '.join(subtask.id for subtask in package.subtasks)}]")
    if package.owns:
        lines.append("owns:")
        lines += [f"  - {as_yaml(path)}" for path in package.owns]
    return "\n".join([*lines, "---"])


def _next_steps(package: PlannedPackage, feature_slug: str) -> str:
    wp_id, feature = package.wp_id, f"--feature {feature_slug}"
    ticking, owning = "", ""
    if package.subtasks:
        ticking = f"""
   Each subtask that is done: `thence work mark-status {package.subtasks[0].id} {feature}`, which
   ticks its box in tasks.md. Those marked [P] may be done side by side."""
    if package.owns:
        owning = " What it owns no other package changes at the same time."
    return f"""## How to move on

1. `export THENCE_ACTOR=NAME`, or `--actor NAME` with each command, says who you are: a package is
   moved on by who began it.
2. `{_IMPLEMENT} {wp_id} {feature}` makes the branch `{branch_of(feature_slug, wp_id)}` \
and the worktree `{worktree_of(feature_slug, wp_id)}`. Work there.{owning}
3. Commit what you did.{ticking}
4. `thence work move-task {wp_id} --to for_review {feature}` hands it over for review.

A refused command says which guard stopped it and what to do.
`thence work status` shows the board."""
