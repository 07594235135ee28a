"""The files of packages: their fields, and what a new one says.

Fields are YAML between two lines of `---` at the top of a file.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from thence.errors import PlanningError
from thence.work.board.state import PackageState
from thence.work.names import branch_of, kebab, worktree_of
from thence.work.plan.tasks import PlannedPackage
from thence.work.project.yaml_nodes import YamlFile

FOLDER = "tasks"
# the documents of a feature to read before working on one of its packages, where they exist
READ_FIRST = ("spec.md", "plan.md", "research.md", "data-model.md", "quickstart.md", "contracts")
_DOING = "could not read the fields"
_BLOCK = re.compile(
    rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n(?P<yaml>(?:[^\n]*\n)*?)(?P<end>---[ \t]*\r?(?:\n|\Z))"
)
_OPEN = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?(?:\n|\Z)")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Fields(NamedTuple):
    """A file's fields, and the text below them.

    A value is a text as it was written, None, a list or a map.
    """

    values: Mapping[str, Any]
    body: str

    def text(self, key: str) -> str:
        """Returns a field as text: empty if it is absent, null, a list or a map."""
        value = self.values.get(key)
        return "" if value is None or isinstance(value, (list, dict)) else str(value)


def read(data: bytes, file: str) -> Fields:
    """Reads a file's fields; one without any has no values.

    Raises PlanningError with line and column for what is no YAML, no map, no UTF-8, twice
    there, over 256 KiB, or never ends.
    """
    if _OPEN.match(data) is None:
        return Fields({}, data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    block = _BLOCK.match(data)
    if block is None:
        raise YamlFile(b"", file, _DOING).fault(
            (), "the fields never end", "end them with a line `---`"
        )
    yaml = YamlFile(data[: block.end("yaml")], file, _DOING)
    values = {} if yaml.values is None else yaml.values
    if not isinstance(values, dict):
        raise yaml.fault((), "these are not fields", "write fields, one on a line: `lane: planned`")
    return Fields(values, data[block.end() :].decode("utf-8", "replace"))


def as_yaml(value: str) -> str:
    """Writes a text as YAML on one line, in quotes."""
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def path_of(package: PlannedPackage) -> str:
    """Returns the path of a package's file in its feature, such as tasks/WP01-the-journal.md."""
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


def render(
    package: PlannedPackage,
    feature_slug: str,
    tasks: str = "",
    reading: Sequence[str] = (),
) -> bytes:
    """Returns the file of a package in lane planned: its fields, what to do, how to move on.

    `tasks` is the tasks.md that has a section of the package, `reading` are files and folders to
    read as well, from the top of the repository. The file has no lane: the board shows it.
    """
    wp_id, feature = package.wp_id, f"--feature {feature_slug}"
    lines = [
        "---",
        f"work_package_id: {wp_id}",
        f"title: {as_yaml(package.title)}",
        f"feature_slug: {as_yaml(feature_slug)}",
    ]
    lines.append(f"dependencies: [{', '.join(package.dependencies)}]")
    lines.append(f"subtasks: [{', '.join(subtask.id for subtask in package.subtasks)}]")
    parts = ["\n".join([*lines, "---"]), f"# {wp_id}: {package.title}"]
    if tasks:
        parts.append(f"What to do is in `{tasks}`, in the section of {wp_id}.")
    if reading:
        listed = ", ".join(f"`{path}`" for path in reading)
        parts += ["## What else to read", f"For the whole feature: {listed}."]
    ticking = ""
    if package.subtasks:
        ticking = f"""
   Each subtask that is done: `thence work mark-status {package.subtasks[0].id} {feature}`. Those
   marked [P] may be done side by side."""
    next_steps = f"""## How to move on

1. `export THENCE_ACTOR=NAME`, or `--actor NAME` with each command, says who you are: a package is
   moved on by whoever began it.
2. `thence work implement {wp_id} {feature}` makes the branch `{branch_of(feature_slug, wp_id)}` \
and the worktree `{worktree_of(feature_slug, wp_id)}`. Work there.
3. Commit what you did.{ticking}
4. `thence work move-task {wp_id} --to for_review {feature}` hands it over for review.

A refused command says which guard stopped it and what to do.
`thence work status` shows the board."""
    return ("\n\n".join([*parts, next_steps]) + "\n").encode()
