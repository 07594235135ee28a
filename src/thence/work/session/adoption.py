"""Features that were planned before the log, in the form of spec-kitty: what their files say now.

A feature's packages are in tasks.md, have a file in tasks/, or both. The lane of a package is that
of its last line in status.events.jsonl, an object with `wp_id`, `to_lane`, `at` and `event_id`.
Without such a line it is the `lane` among the fields of its file, else the folder that the file is
in, else planned. Spec-kitty's lanes are mapped to those of thence. No history is read.

A feature is adopted once: from then on the log says how it goes. Each event of an adoption has a
`source_id` that is the same in every clone. Errors do not end the reading: what could not be read
is returned beside the rest.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from thence.core.clock import microseconds, timestamp_at
from thence.core.json_values import is_utf8
from thence.errors import PlanningError
from thence.git.locks import PLANNING, locked
from thence.git.refs import tip_of
from thence.work.board.state import (
    APPROVED,
    BLOCKED,
    DOING,
    DONE,
    FOR_REVIEW,
    LANES,
    NOBODY,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)
from thence.work.board.transitions import reviewed_payload
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, digits_of, is_wp_id, name_of
from thence.work.plan.package_files import Fields, read
from thence.work.plan.planning_files import Planning
from thence.work.plan.tasks import PlannedPackage, parse
from thence.work.session.package_code import LandingCheck
from thence.work.session.session import Session
from thence.work.session.snapshot import Snapshot

SOURCE = "kitty-specs"
_STATUS = "status.events.jsonl"
_MISSION = "software-dev"
_FILE = re.compile(r"(WP[0-9]{2,4})(?![0-9A-Za-z])")
# spec-kitty's lanes that have other names here
_LANES: Mapping[str, str] = {
    "claimed": DOING,
    "in_progress": DOING,
    BLOCKED: DOING,
    "in_review": FOR_REVIEW,
    APPROVED: FOR_REVIEW,
    "canceled": REJECTED,
    "cancelled": REJECTED,
}
_LANDED = "it was done before the log began"


class Unread(NamedTuple):
    """A part that could not be read, and the reason; `line` counts from 1, 0 for a whole file."""

    file: str
    line: int
    reason: str


class LastMove(NamedTuple):
    """The move that set a package's lane; `lane_name` is spec-kitty's own name for the lane.

    `at` is in an event's form, empty if unknown.
    """

    lane_name: str = PLANNED
    actor: str = NOBODY
    at: str = ""
    reason: str = ""
    event_id: str = ""

    @property
    def lane(self) -> str:
        """The lane; planned for an unknown one."""
        lane = _LANES.get(self.lane_name, self.lane_name)
        return lane if lane in LANES else PLANNED


class AdoptedFeature(NamedTuple):
    """A feature as its files show it, with its packages' last moves, and what could not be read."""

    slug: str
    title: str
    mission: str
    target_branch: str
    created_at: str
    packages: tuple[PlannedPackage, ...]
    moves: Mapping[str, LastMove]
    unread: tuple[Unread, ...]


def adopt(session: Session, slugs: Sequence[str]) -> tuple[dict[str, int], list[Unread]]:
    """Brings features into the log, as their files show them now.

    A folder with the packages of a feature whose own folder is gone is that feature, renamed.
    Returns the number of each feature's packages, and the parts that could not be read. Features
    that another command has brought in meanwhile are left out. Raises what the append raises, and
    GitFailed.
    """
    counts: dict[str, int] = {}
    unread: list[Unread] = []
    with locked(session.project.shared_folder / PLANNING):
        session.refresh()
        for slug in session.snapshot.not_imported():
            if slug in slugs:
                feature = read_feature(session.planning, slug)
                renamed = renamed_from(session.snapshot, feature)
                if renamed is not None:
                    payload = {
                        "feature_slug": renamed.slug,
                        "feature_number": digits_of(renamed.slug),
                        "target_branch": renamed.target_branch,
                        "wp_count": len(renamed.packages),
                        "folder": slug,
                    }
                    causes = (renamed.created_event,) if renamed.created_event else ()
                    session.append(WorkEvent("FeatureCreated", payload, renamed.slug, causes))
                    session.warnings.append(f"{slug} is {renamed.name}, renamed")
                else:
                    session.append(*_events_of(session.snapshot, feature))
                counts[slug] = len(feature.packages)
                unread += feature.unread
    return counts, unread


def renamed_from(snapshot: Snapshot, feature: AdoptedFeature) -> FeatureState | None:
    """Returns the feature of the board that a folder was renamed from, None if it is a new one.

    That is the only one that has just these packages, and whose folder the checked-out branch had
    and has no more.
    """

    def is_it(known: FeatureState) -> bool:
        path, git = snapshot.planning.path(known.slug), snapshot.project.main.git
        return (
            {(one.wp_id, one.title) for one in known.packages.values()} == packages
            and not snapshot.planning.names(None, path)
            and bool(git.ask("log", "-1", "--format=%H", "HEAD", "--", path).out)
        )

    packages = {(one.wp_id, one.title) for one in feature.packages}
    before = [*filter(is_it, snapshot.board.features.values() if packages else ())]
    return before[0] if len(before) == 1 else None


def read_feature(planning: Planning, slug: str) -> AdoptedFeature:
    """Reads a feature in the main working tree.

    The target branch is that of meta.json, else the default branch if that has the files, else the
    one that is checked out.
    """
    files = _Files(planning)
    meta = next((values for _, values in files.objects(planning.path(slug, "meta.json"))), {})
    path = planning.path(slug, "tasks.md")
    tasks = parse(files.read(path), path)
    # without a tasks.md there is no problem of it
    problems = tasks.problems if planning.read(None, path) is not None else ()
    files.unread += [Unread(one.file, one.line, one.message) for one in problems]
    planned = {package.wp_id: package for package in tasks.packages}
    fields: dict[str, Fields] = {}
    moves: dict[str, LastMove] = {}
    for name, folder in planning.package_files(None, slug):
        wp_id, own = files.package(name)
        if wp_id in fields:
            files.skip(name, 0, f"{wp_id} has another file")
        elif wp_id:
            fields[wp_id] = own
            lane = one_line(own.text("lane")) or folder or PLANNED
            moves[wp_id] = LastMove(lane, one_line(own.text("agent")) or NOBODY)
            files.check_lane(lane, name, 1)
    moves |= files.last_moves(planning.path(slug, _STATUS))
    packages = list[PlannedPackage]()
    for wp_id in sorted({*planned, *moves}, key=lambda name: (len(name), name)):
        plan = planned.get(wp_id, PlannedPackage(wp_id, wp_id))
        own = fields.get(wp_id, Fields({}, ""))
        listed = own.values.get("dependencies")
        needs = [str(name) for name in listed] if isinstance(listed, list) else []
        title = one_line(own.text("title")) or one_line(plan.title) or wp_id
        needed = tuple(dict.fromkeys(filter(is_wp_id, needs or plan.dependencies)))
        packages.append(plan._replace(title=title, dependencies=needed))
    titles = (one_line(meta.get(key)) for key in ("friendly_name", "name", "title"))
    return AdoptedFeature(
        slug,
        next(filter(None, titles), "") or name_of(slug).replace("-", " "),
        one_line(meta.get("mission") or meta.get("mission_type")) or _MISSION,
        one_line(meta.get("target_branch")) or planning.branch_of(slug),
        written_time(one_line(meta.get("created_at"))),
        tuple(packages),
        moves,
        tuple(sorted(files.unread)),
    )


class _Files:
    """The files of a feature that is adopted; `unread` are the parts that could not be read."""

    def __init__(self, planning: Planning) -> None:
        self._planning = planning
        self.unread: list[Unread] = []

    def skip(self, path: str, line: int, reason: str) -> None:
        """Adds a part that could not be read; bytes of its path that are no UTF-8 are replaced."""
        self.unread.append(Unread(os.fsencode(path).decode("utf-8", "replace"), line, reason))

    def read(self, path: str) -> bytes:
        """Returns the bytes of a file; none where it is not there, or can't be read."""
        try:
            return self._planning.read(None, path) or b""
        except PlanningError as error:
            self.skip(path, 0, error.cause)
            return b""

    def objects(self, path: str, *, is_lines: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the JSON object of a file, or those of its lines, each with its line."""
        data = self.read(path).removeprefix(b"\xef\xbb\xbf")
        for number, raw in enumerate(data.split(b"\n") if is_lines else (data,), 1):
            try:
                values = json.loads(raw) if raw.strip() else {}
            except (ValueError, RecursionError):
                values = None
            if isinstance(values, dict):
                yield number, values
            else:
                self.skip(path, number, "it is not a JSON object")

    def package(self, path: str) -> tuple[str, Fields]:
        """Returns a file's package, empty if it is that of none, and its fields."""
        fields, name = Fields({}, ""), PurePosixPath(path).name
        try:
            fields = read(self.read(path), path)
        except PlanningError as error:
            line = error.problems[0]["line"] if error.problems else 1
            self.skip(path, line if isinstance(line, int) else 1, error.cause)
        named = _FILE.match(name)
        wp_id = fields.text("work_package_id") or (named[1] if named else "")
        if is_wp_id(wp_id):
            return wp_id, fields
        if wp_id or name.upper().startswith("WP"):
            self.skip(path, 1, f"{wp_id or name!r} is not a package's id")
        return "", fields

    def check_lane(self, lane: str, path: str, line: int) -> None:
        """Adds a lane that nobody knows."""
        if lane not in LANES and lane not in _LANES:
            self.skip(path, line, f"unknown lane {lane!r:.80}")

    def last_moves(self, path: str) -> dict[str, LastMove]:
        """Returns each package's last move in a status.events.jsonl, by time and event_id.

        Other objects, such as annotations, are passed over.
        """
        last: dict[str, LastMove] = {}
        for number, values in self.objects(path, is_lines=True):
            wp_id, lane, reason, event_id = (
                one_line(values.get(key)) for key in ("wp_id", "to_lane", "reason", "event_id")
            )
            if not wp_id or not lane:
                continue
            at = written_time(one_line(values.get("at")) or one_line(values.get("timestamp")))
            if not is_wp_id(wp_id):
                self.skip(path, number, f"{wp_id!r:.80} is not a package")
            elif not at:
                self.skip(path, number, "the line has no time")
            else:
                self.check_lane(lane, path, number)
                actor = values.get("actor")
                if isinstance(actor, dict):
                    actor = actor.get("tool") or actor.get("name")
                move = LastMove(lane, one_line(actor) or NOBODY, at, reason, event_id)
                last[wp_id] = max(
                    move, last.get(wp_id, move), key=lambda one: (one.at, one.event_id)
                )
        return last


def _events_of(snapshot: Snapshot, feature: AdoptedFeature) -> list[WorkEvent]:
    """Returns the events that bring a feature into the log.

    A lane that lines of other tools have set counts, not that of the files.
    """
    slug, events = feature.slug, list[WorkEvent]()
    known = snapshot.board.features.get(slug)

    def add(kind: str, key: str, cause: str, move: LastMove, payload: Mapping[str, Any]) -> str:
        event = WorkEvent(
            kind,
            payload,
            slug,
            (cause,) if cause else (),
            actor=move.actor,
            source=SOURCE,
            source_id=f"{slug}/{key}",
            timestamp=move.at or None,
        )
        events.append(event)
        return event.event_id

    begun = LastMove(at=feature.created_at)
    payload: dict[str, Any] = {"feature_slug": slug, "title": feature.title}
    spec = add("SpecCreated", "spec", "", begun, payload | {"mission": feature.mission})
    payload = {
        "feature_slug": slug,
        "feature_number": digits_of(slug),
        "target_branch": feature.target_branch,
        "wp_count": len(feature.packages),
        "created_at": feature.created_at or None,
    }
    created = add("FeatureCreated", "created", spec, begun, payload)
    for wp_id, title, subtasks, dependencies in feature.packages:
        move = feature.moves.get(wp_id, LastMove())
        payload = {"wp_id": wp_id, "title": title, "feature_slug": slug}
        payload["dependencies"] = list(dependencies)
        first = add("WPCreated", f"{wp_id}/created", created, begun, payload)
        for subtask in (one for one in subtasks if one.is_done):
            payload = {"work_package_id": wp_id, "subtask_index": subtask.id}
            payload["subtask_text"] = subtask.text
            add("SubtaskCompleted", f"{subtask.id}/done", first, begun, payload)
        present = known.packages.get(wp_id) if known else None
        if move.lane == PLANNED or (present is not None and present.lane_event):
            continue
        payload = {"wp_id": wp_id, "previous_status": PLANNED, "new_status": move.lane}
        payload |= {"changed_by": move.actor, "feature_slug": slug, "reason": move.reason or None}
        last = add("WPStatusChanged", f"{wp_id}/lane", first, move, payload)
        if move.lane == DONE:
            payload = {"wp_id": wp_id, "how": "stated", "reason": _LANDED}
            add("WPLanded", f"{wp_id}/landed", last, move, payload)
        if move.lane_name in (BLOCKED, APPROVED):
            kind, remark = "note", f"{BLOCKED}: {move.reason}".rstrip(": ")
            if move.lane_name == APPROVED:
                kind, remark = "review", APPROVED
            payload = {"wp_id": wp_id, "entry_type": kind, "entry_content": remark}
            payload["author"] = move.actor
            add("HistoryAdded", f"{wp_id}/remark", last, move, payload)
        # the code of an approved package, if its branch is here or on a remote
        tip, target = tip_of(snapshot.refs, branch_of(slug, wp_id)), feature.target_branch
        if move.lane_name != APPROVED or tip is None or target not in snapshot.refs.branches:
            continue
        state = FeatureState(project_uuid=snapshot.project.uuid, slug=slug, target_branch=target)
        package = PackageState(wp_id=wp_id, subject="")
        code, _ = LandingCheck(snapshot, state).reviewed_at(package, tip)
        if code:
            add("WPReviewed", f"{wp_id}/reviewed", last, move, reviewed_payload(wp_id, code))
    return events


def one_line(value: object) -> str:
    """Returns a text on one line; empty for any other value."""
    return " ".join(value.split()) if isinstance(value, str) and is_utf8(value) else ""


def written_time(text: str) -> str:
    """Returns a written time in an event's form; empty for what is none, or before 1970."""
    us = microseconds(text)
    with suppress(OverflowError):  # it is beyond the year 9999
        return timestamp_at(us) if us is not None and us >= 0 else ""
    return ""
