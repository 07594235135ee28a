"""A feature's tasks.md: its packages with their subtasks, as people and tools write it.

A package begins at a heading such as `## Work Package WP01: Title` and ends at the next heading of
its level. The parser reads check boxes like `- [ ] T001 [P] text`, and below `### Dependencies` a
line `- Depends on WP01, WP02` or `- None`. Code blocks, comments and all other prose are ignored,
and so is a `(Priority: P0)` of a heading. All problems are reported at once, each with its line.

Lines end at `\\n` alone, so that a line's number finds its bytes again; a `\\r` before it belongs
to the end.
"""

import re
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from thence.errors import PlanningError
from thence.work.names import is_wp_id

HEADING = "## Work Package WP01: Title"
_PACKAGE = re.compile(r"Work Package\s+(\S+?)(\s*[:—–]\s*|\s+-\s+|\s+|$)(.*)", re.IGNORECASE)
_BARE_PACKAGE = re.compile(r"(WP\d\w*)(\s*[:—–]\s*|\s+-\s+)(.+)", re.IGNORECASE)
_LIKE_AN_ID = re.compile(r"\d|^WP", re.IGNORECASE)
_PRIORITY = re.compile(r"\(\s*Priority:?\s*P\d\s*\)", re.IGNORECASE)
_KEY = re.compile(
    r"\s*(?:[-*+]\s+)?\*\*(Dependencies|Depends on)(?:\*\*\s*:|:\*\*)\s*(.*)", re.IGNORECASE
)
_BOX = re.compile(r"(\s*)[-*+]\s+\[([^\]]?)\](?:\s+(.*)|$)")
_SUBTASK = re.compile(r"\**+(T\d\w*+)\**+:?\**+(?:\s++(.*)|$)")
_SUBTASK_ID = re.compile(r"T[0-9]{3,5}")
_TAGS = re.compile(r"(?:\[\w+\]\s*)*")
_BULLET = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(.*)")
_NONE = re.compile(r"(?:none|nothing|no dependenc\w*|n/a)\b", re.IGNORECASE)
_DEPENDS = re.compile(
    r"(?:depends\s+(?:up)?on|requires?|needs?|after|blocked\s+by|waits?\s+for)\b:?\s*",
    re.IGNORECASE,
)
_NEXT_ID = re.compile(
    r"(?:[\s,;&+]|and\b)*(WP\w*)(?:\s*(?:-|–|—|\.{2,3}|through\b|to\b)\s*(WP\w*))?", re.IGNORECASE
)
_NAMES = re.compile(r"\bWP\d", re.IGNORECASE)
# after ids it begins a sentence of its own, of which the last one is the subject
_VERB = re.compile(
    r"\s*(?:may|can|could|might|should|will|is|are|runs?|begins?|starts?|goe?s?)\b", re.IGNORECASE
)
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
_ASIDE = re.compile(r"\([^()]*\)")
_ASIDE_LEVELS = 3
_RANGE_MAX = 100
_LISTED_MAX = 50
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\Z)")
_MARKER = re.compile(r"(?:<{7}|>{7})(?: |$)")


class MarkdownLine(NamedTuple):
    """One line; `number` counts from 1, `level` is that of a heading and 0 for others.

    The text of a heading is without its `#` signs.
    """

    number: int
    level: int
    text: str


class Prose(NamedTuple):
    """The lines of a file, and its faults: (line, message, hint)."""

    lines: tuple[MarkdownLine, ...]
    faults: tuple[tuple[int, str, str], ...]


def lines_of(data: bytes) -> Prose:
    """Reads a Markdown file; bytes that are no UTF-8 are reported and replaced.

    Faults are the first line that is no UTF-8, the first merge marker, and a code block or comment
    that never ends.
    """
    lines: list[MarkdownLine] = []
    faults: dict[str, tuple[int, str, str]] = {}
    fence, begin_line = "", 0
    is_comment = False
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = raw.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            text = raw.removesuffix(b"\r").decode("utf-8", "replace")
            faults.setdefault("text", (number, "this is not UTF-8", "save the file as UTF-8"))
        if _MARKER.match(text):
            hint = "settle the merge first: git status names the files"
            faults.setdefault("merge", (number, "this is a merge marker of git", hint))
        mark = _FENCE.fullmatch(text)
        if is_comment:
            is_comment = "-->" not in text
        elif fence:
            ends = mark and mark[1].startswith(fence) and not mark[2].strip()
            fence = "" if ends else fence
        elif mark and not (mark[1][0] == "`" and "`" in mark[2]):
            fence, begin_line = mark[1], number
        elif text.rpartition("<!--")[1] and "-->" not in text.rpartition("<!--")[2]:
            is_comment, begin_line = True, number
        else:
            level = 0
            if heading := _HEADING.match(text):
                level, words = len(heading[1]), text[heading.end() :].strip(" \t")
                bare = words.rstrip("#")  # a row of # apart from the words ends a heading
                text = (bare if not bare or bare[-1] in " \t" else words).strip()
            lines.append(MarkdownLine(number, level, text))
    if fence or is_comment:
        what = "code block" if fence else "comment"
        faults["end"] = (begin_line, f"this {what} never ends", f"end it with {fence or '-->'}")
    return Prose(tuple(lines), tuple(faults.values()))


class Subtask(NamedTuple):
    """One check box of a package; the text is without its [P]."""

    id: str
    text: str
    is_done: bool


class PlannedPackage(NamedTuple):
    """One package as planned in tasks.md."""

    wp_id: str
    title: str
    subtasks: tuple[Subtask, ...] = ()
    dependencies: tuple[str, ...] = ()


class PlanningProblem(NamedTuple):
    """A problem of a planning file; `line` counts from 1, `key` is an id or empty."""

    file: str
    line: int
    key: str
    message: str
    hint: str


class Tasks(NamedTuple):
    """The packages of a tasks.md, in the order of the file, and its problems."""

    packages: tuple[PlannedPackage, ...]
    problems: tuple[PlanningProblem, ...]


def parse(data: bytes, file: str) -> Tasks:
    """Reads a tasks.md; `file` is its name in problems.

    If two packages have the same id, the first is read.
    """
    return _Parser(file).tasks(data)


def packages_of(data: bytes, file: str) -> tuple[PlannedPackage, ...]:
    """Returns the packages of a tasks.md without problems; raises PlanningError with them."""
    packages, problems = parse(data, file)
    refuse(problems)
    return packages


def refuse(problems: Sequence[PlanningProblem]) -> None:
    """Raises PlanningError with all problems if there are any; its cause is the first."""
    if not problems:
        return
    first, others = problems[0], len(problems) - 1
    raise PlanningError(
        "could not use the planning file",
        place=f"{first.file}:{first.line}",
        cause=first.message
        + (f", and {others} more problem{'s' * (others > 1)}" if others else ""),
        hint=first.hint,
        problems=[problem._asdict() for problem in problems],
    )


def section_of(data: bytes, wp_id: str) -> str:
    """Returns a package's section of a tasks.md, its heading first; empty if there is none."""
    begin, end, level = None, data.count(b"\n") + 1, 0
    for line in lines_of(data).lines:
        name = _package_heading(line)
        if begin is not None and line.level and (name or line.level <= level):
            end = line.number - 1
            break
        if begin is None and name and name[1].upper() == wp_id:
            begin, level = line.number - 1, line.level
    if begin is None:
        return ""
    return "\n".join(data.decode("utf-8", "replace").split("\n")[begin:end]).strip()


class _Draft(msgspec.Struct):
    """A package while its lines are read; `level` is that of its heading."""

    wp_id: str
    line: int
    level: int
    title: str
    subtasks: list[Subtask]
    dependencies: dict[str, int]
    indent: int | None = None


class _Parser:
    """A parser of one file; every check records its problems."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[PlanningProblem] = []
        self._drafts: dict[str, _Draft] = {}
        self._now: _Draft | None = None
        self._part = ""
        self._subtask_lines: dict[str, int] = {}

    def tasks(self, data: bytes) -> Tasks:
        prose = lines_of(data)
        for number, message, hint in prose.faults:
            self._add(number, "", message, hint)
        for line in prose.lines:
            if line.level:
                self._heading(line)
            elif self._now is not None:
                self._content(self._now, line)
        packages = tuple(
            PlannedPackage(one.wp_id, one.title, tuple(one.subtasks), tuple(one.dependencies))
            for one in self._drafts.values()
        )
        if not packages and not any(problem.key for problem in self._problems):
            message = "no heading begins a work package"
            self._add(1, "", message, f"write a heading like `{HEADING}`")
        some = [package.wp_id for package in packages[:_LISTED_MAX]]
        others = ", …" * (len(packages) > len(some))
        for draft in self._drafts.values():
            for wp_id, number in draft.dependencies.items():
                if wp_id not in self._drafts:
                    message = f"{draft.wp_id} depends on {wp_id}, which is not there"
                    hint = f"the packages are {', '.join(some)}{others}"
                    self._add(number, wp_id, message, hint)
        if cycle := cycle_in(packages):
            number = self._drafts[cycle[0]].dependencies[cycle[1 % len(cycle)]]
            message = f"packages wait for each other: {describe(cycle)}"
            self._add(number, cycle[0], message, "take one of these dependencies out")
        return Tasks(packages, tuple(sorted(self._problems, key=lambda problem: problem.line)))

    def _heading(self, line: MarkdownLine) -> None:
        heading = _package_heading(line)
        if heading is None:
            if self._now is not None and line.level <= self._now.level:
                self._now = None
            name, parts = line.text.casefold(), ("subtask", "dependenc")
            self._part = next((part for part in parts if part in name), "other")
            return
        wp_id = heading[1].upper()
        self._now, self._part = None, ""
        if not is_wp_id(wp_id):
            message = f"{heading[1]!r} is not a package's id"
            self._add(line.number, heading[1] or "WP", message, f"write it like `{HEADING}`")
            return
        if former := self._drafts.get(wp_id):
            message = f"{wp_id} appears twice, first in line {former.line}"
            self._add(
                line.number,
                wp_id,
                message,
                "give each package an id of its own, or the name that status shows",
            )
            return
        title = " ".join(_PRIORITY.sub(" ", heading[3]).split())
        if not title:
            self._add(line.number, wp_id, f"{wp_id} has no title", f"write it like `{HEADING}`")
        self._now = _Draft(wp_id, line.number, line.level, title, [], {})
        self._drafts[wp_id] = self._now

    def _content(self, draft: _Draft, line: MarkdownLine) -> None:
        box = _BOX.match(line.text)
        key = None if box or self._part not in ("", "subtask") else _KEY.match(line.text)
        if key:
            on = "depends on " if key[1].casefold() == "depends on" else ""
            self._depends(draft, line.number, f"{on}{key[2].strip()}")
        elif box and self._part in ("", "subtask"):
            self._box(draft, line.number, box)
        elif self._part == "dependenc":
            bullet = _BULLET.match(line.text)
            self._depends(draft, line.number, bullet[1] if bullet else line.text.strip())

    def _box(self, draft: _Draft, number: int, box: re.Match[str]) -> None:
        indent, mark, text = len(box[1]), box[2], box[3] or ""
        draft.indent = indent if draft.indent is None else draft.indent
        subtask = _SUBTASK.match(text)
        if subtask is None:
            if indent <= draft.indent:
                hint = "write it like `- [ ] T001 what to do`"
                self._add(number, draft.wp_id, "this subtask has no id", hint)
            return
        subtask_id, rest = subtask[1], (subtask[2] or "").strip()
        hint = ""
        if not _SUBTASK_ID.fullmatch(subtask_id):
            message = f"{subtask_id} is not a subtask's id"
            hint = "ids are T and three digits: T001"
        elif mark not in tuple(" xX"):
            message, hint = f"the box [{mark}] is neither open nor ticked", "write [ ] or [x]"
        elif subtask_id in self._subtask_lines:
            message = f"{subtask_id} appears twice, first in line {self._subtask_lines[subtask_id]}"
            hint = "give each subtask of the feature an id of its own"
        if hint:
            self._add(number, subtask_id, message, hint)
            return
        tags = _TAGS.match(rest)
        is_parallel = tags is not None and "[P]" in tags[0]
        text = " ".join(rest.replace("[P]", " ", 1).split()) if is_parallel else rest
        self._subtask_lines[subtask_id] = number
        draft.subtasks.append(Subtask(subtask_id, text, mark != " "))

    def _depends(self, draft: _Draft, number: int, text: str) -> None:
        text = _LINK.sub(r"\1", text)
        for _ in range(_ASIDE_LEVELS):
            text = _ASIDE.sub(" ", text)
        text = text.replace("*", "").replace("`", "")
        depends = _DEPENDS.match(text.lstrip())
        text = text.lstrip()[depends.end() if depends else 0 :]
        if _NONE.match(text):
            return
        position, ids = 0, list[str]()
        while listed := _NEXT_ID.match(text, position):
            position = listed.end()
            first, last = listed[1].upper(), (listed[2] or listed[1]).upper()
            start, end = (int(one[2:]) if is_wp_id(one) else 0 for one in (first, last))
            is_range = 0 < start < end < start + _RANGE_MAX
            numbers = range(start + 1, end) if is_range else ()
            between = (f"WP{number:0{len(first) - 2}}" for number in numbers)
            ids += dict.fromkeys((first, *between, last))
        rest = text[position:]
        if ids and not _NAMES.search(rest) and not _VERB.match(rest):
            for wp_id in ids:
                draft.dependencies.setdefault(wp_id, number)
        elif _NAMES.search(text):
            message = "this names packages, but not as a list"
            self._add(number, draft.wp_id, message, "write it like `- Depends on WP01, WP02`")

    def _add(self, line: int, key: str, message: str, hint: str) -> None:
        self._problems.append(PlanningProblem(self._file, line, key, message, hint))


def _package_heading(line: MarkdownLine) -> re.Match[str] | None:
    heading = _PACKAGE.match(line.text) if 2 <= line.level <= 4 else None
    if heading is None and line.level == 2:
        heading = _BARE_PACKAGE.match(line.text)
    return heading if heading and (heading[2].strip() or _LIKE_AN_ID.search(heading[1])) else None


class Depending(Protocol):
    """A package with dependencies, read from a file or from the log."""

    @property
    def wp_id(self) -> str:
        """The package's id, such as WP01."""
        ...

    @property
    def dependencies(self) -> Sequence[str]:
        """The ids of the packages that have to be done before this one."""
        ...


P = TypeVar("P", bound=Depending)


def in_order(packages: Sequence[P]) -> tuple[P, ...]:
    """Returns packages, each behind its dependencies, otherwise in their own order.

    Raises PlanningError that names a cycle if there is one.
    """
    remaining, ordered = list(packages), list[P]()
    while remaining:
        open_ones = {package.wp_id for package in remaining}
        ready = (one for one in remaining if open_ones.isdisjoint(one.dependencies))
        package = next(ready, None)
        if package is None:
            raise PlanningError(
                "could not order the packages",
                cause=f"they wait for each other: {describe(cycle_in(packages))}",
                hint="take one of these dependencies out",
            )
        remaining.remove(package)
        ordered.append(package)
    return tuple(ordered)


def cycle_in(packages: Sequence[Depending]) -> tuple[str, ...]:
    """Returns a cycle of dependencies by its ids, each depending on the next; none without one.

    It begins with the package that comes first.
    """
    positions = {package.wp_id: position for position, package in enumerate(packages)}
    needs = {one.wp_id: [w for w in one.dependencies if w in positions] for one in packages}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = error.args[1][:0:-1]  # graphlib names each before the one that depends on it
        start = circle.index(min(circle, key=positions.__getitem__))
        return (*circle[start:], *circle[:start])
    return ()


def describe(cycle: Sequence[str]) -> str:
    """Returns a cycle as text: `WP01 → WP02 → WP01`."""
    return " → ".join((*cycle, cycle[0]))
