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
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from thence.core.clock import microseconds, timestamp_of
from thence.core.json_values import is_utf8
from thence.errors import PlanningError
from thence.git.landed import Reviewed
from thence.git.locks import PLANNING, locked
from thence.git.refs import tip_of
from thence.work.board.state import (
    APPROVED,
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
from thence.work.plan.frontmatter import Fields, read
from thence.work.plan.planning_files import Planning
from thence.work.plan.tasks import PlannedPackage, parse
from thence.work.session.feature_choice import not_imported
from thence.work.session.package_code import LandingCheck
from thence.work.session.session import Session

SOURCE = "kitty-specs"
_STATUS = "status.events.jsonl"
_MISSION = "software-dev"
_FILE = re.compile(r"(WP[0-9]{2,4})(?![0-9A-Za-z])")
_BLOCKED, _APPROVED = "blocked", "approved"
# spec-kitty's lanes that have other names here
_LANES: Mapping[str, str] = {
    "claimed": DOING,
    "in_progress": DOING,
    _BLOCKED: DOING,
    "in_review": FOR_REVIEW,
    _APPROVED: FOR_REVIEW,
    "canceled": REJECTED,
    "cancelled": REJECTED,
}
_LANDED = "it was done before the log began"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_MAX = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class Unread(NamedTuple):
    """A part that could not be read, and the reason; `line` counts from 1, 0 for a whole file."""

    file: str
    line: int
    reason: str


class LastMove(NamedTuple):
    """The move that set a package's lane; `lane_name` is spec-kitty's own name for the lane.

    `at` is in an event's form, empty if unknown.
    """

    lane_name: str
    actor: str = NOBODY
    at: str = ""
    reason: str = ""
    event_id: str = ""


class AdoptedPackage(NamedTuple):
    """A package as its files show it."""

    wp_id: str
    title: str
    dependencies: tuple[str, ...]
    move: LastMove
    ticked: tuple[tuple[str, str], ...]

    @property
    def lane(self) -> str:
        """The lane; planned for an unknown one."""
        lane = _LANES.get(self.move.lane_name, self.move.lane_name)
        return lane if lane in LANES else PLANNED

    @property
    def is_approved(self) -> bool:
        """True if a reviewer has approved the package, which is not done yet."""
        return self.move.lane_name == _APPROVED


class AdoptedFeature(NamedTuple):
    """A feature as its files show it, and the parts that could not be read."""

    slug: str
    title: str
    mission: str
    target_branch: str
    created_at: str
    packages: tuple[AdoptedPackage, ...]
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
        for slug in not_imported(session.board, session.planning):
            if slug in slugs:
                feature = read_feature(session.planning, slug)
                renamed = renamed_from(session, feature)
                if renamed is not None:
                    session.append(_renaming(renamed, slug))
                    session.warnings.append(f"{slug} is {renamed.name}, renamed")
                else:
                    session.append(*_events_of(session, feature))
                counts[slug] = len(feature.packages)
                unread += feature.unread
    return counts, unread


def renamed_from(session: Session, feature: AdoptedFeature) -> FeatureState | None:
    """Returns the feature of the board that a folder was renamed from, None if it is a new one.

    That is the only one that has just these packages, and whose folder the checked-out branch had
    and has no more.
    """
    packages = {(package.wp_id, package.title) for package in feature.packages}
    features: list[FeatureState] = []
    for one in session.board.features.values():
        path = session.planning.path(one.slug)
        if (
            packages
            and packages == {(package.wp_id, package.title) for package in one.packages.values()}
            and not session.planning.names(None, path)
            and session.project.main.git.ask("log", "-1", "--format=%H", "HEAD", "--", path).out
        ):
            features.append(one)
    return features[0] if len(features) == 1 else None


def _renaming(feature: FeatureState, folder: str) -> WorkEvent:
    payload = {
        "feature_slug": feature.slug,
        "feature_number": digits_of(feature.slug),
        "target_branch": feature.target_branch,
        "wp_count": len(feature.packages),
        "folder": folder,
    }
    causes = (feature.created_event,) if feature.created_event else ()
    return WorkEvent("FeatureCreated", payload, feature.slug, causes)


def read_feature(planning: Planning, slug: str) -> AdoptedFeature:
    """Reads a feature in the main working tree.

    The target branch is that of meta.json, else the default branch if that has the files, else the
    one that is checked out.
    """
    unread: list[Unread] = []

    def read_file(path: str) -> bytes | None:
        try:
            return planning.read(None, path)
        except PlanningError as error:
            unread.append(Unread(_as_text(path), 0, error.cause))
            return None

    meta = _meta(read_file(planning.path(slug, "meta.json")), slug, unread)
    path = planning.path(slug, "tasks.md")
    data = read_file(path)
    tasks = parse(data, path) if data is not None else None
    unread += [Unread(one.file, one.line, one.message) for one in tasks.problems] if tasks else []
    planned = {package.wp_id: package for package in tasks.packages} if tasks else {}
    fields: dict[str, Fields] = {}
    moves: dict[str, LastMove] = {}
    for name, folder in planning.package_files(None, slug):
        data = read_file(name)
        if data is None:
            continue
        wp_id, own = _package_fields(_as_text(name), data, unread)
        if not wp_id:
            continue
        if wp_id in fields:
            unread.append(Unread(_as_text(name), 0, f"{wp_id} has another file"))
            continue
        fields[wp_id] = own
        lane = one_line(own.text("lane")) or folder or PLANNED
        moves[wp_id] = LastMove(lane, one_line(own.text("agent")) or NOBODY)
        _check_lane(lane, _as_text(name), 1, unread)
    path = planning.path(slug, _STATUS)
    moves |= _last_moves(read_file(path) or b"", path, unread)
    packages = tuple(
        _package(wp_id, planned.get(wp_id), fields.get(wp_id), moves.get(wp_id))
        for wp_id in sorted({*planned, *moves}, key=lambda name: (len(name), name))
    )
    titles = (one_line(meta.get(key)) for key in ("friendly_name", "name", "title"))
    return AdoptedFeature(
        slug,
        next(filter(None, titles), "") or name_of(slug).replace("-", " "),
        one_line(meta.get("mission") or meta.get("mission_type")) or _MISSION,
        one_line(meta.get("target_branch")) or planning.branch_of(slug),
        written_time(one_line(meta.get("created_at"))),
        packages,
        tuple(sorted(unread)),
    )


def _events_of(session: Session, feature: AdoptedFeature) -> list[WorkEvent]:
    """Returns the events that bring a feature into the log.

    A lane that lines of other tools have set counts, not that of the files.
    """
    slug = feature.slug
    known = session.board.features.get(slug)

    def event(
        event_type: str, key: str, payload: Mapping[str, Any], cause: str | None, move: LastMove
    ) -> WorkEvent:
        return WorkEvent(
            event_type,
            payload,
            slug,
            (cause,) if cause else (),
            actor=move.actor,
            source=SOURCE,
            source_id=f"{slug}/{key}",
            timestamp=move.at or None,
        )

    begun = LastMove(PLANNED, at=feature.created_at)
    spec = {"feature_slug": slug, "title": feature.title, "mission": feature.mission}
    created = {
        "feature_slug": slug,
        "feature_number": digits_of(slug),
        "target_branch": feature.target_branch,
        "wp_count": len(feature.packages),
        "created_at": feature.created_at or None,
    }
    events = [event("SpecCreated", "spec", spec, None, begun)]
    events.append(event("FeatureCreated", "created", created, events[0].event_id, begun))
    for package in feature.packages:
        wp_id, move = package.wp_id, package.move
        payload: dict[str, Any] = {"wp_id": wp_id, "title": package.title, "feature_slug": slug}
        payload["dependencies"] = list(package.dependencies)
        first = event("WPCreated", f"{wp_id}/created", payload, events[1].event_id, begun)
        events.append(first)
        for subtask, text in package.ticked:
            payload = {"work_package_id": wp_id, "subtask_index": subtask, "subtask_text": text}
            key = f"{subtask}/done"
            events.append(event("SubtaskCompleted", key, payload, first.event_id, begun))
        present = known.packages.get(wp_id) if known else None
        if package.lane == PLANNED or (present is not None and present.lane_event):
            continue
        payload = {"wp_id": wp_id, "previous_status": PLANNED, "new_status": package.lane}
        payload |= {"changed_by": move.actor, "feature_slug": slug, "reason": move.reason or None}
        last = event("WPStatusChanged", f"{wp_id}/lane", payload, first.event_id, move)
        events.append(last)
        if package.lane == DONE:
            payload = {"wp_id": wp_id, "how": "stated", "reason": _LANDED}
            events.append(event("WPLanded", f"{wp_id}/landed", payload, last.event_id, move))
        if move.lane_name in (_BLOCKED, _APPROVED):
            kind = "review" if package.is_approved else "note"
            remark = APPROVED if package.is_approved else f"{_BLOCKED}: {move.reason}".rstrip(": ")
            payload = {"wp_id": wp_id, "entry_type": kind, "entry_content": remark}
            payload["author"] = move.actor
            events.append(event("HistoryAdded", f"{wp_id}/remark", payload, last.event_id, move))
        if package.is_approved and (code := _reviewed_code(session, feature, wp_id)):
            payload = reviewed_payload(wp_id, code)
            events.append(event("WPReviewed", f"{wp_id}/reviewed", payload, last.event_id, move))
    return events


def _reviewed_code(session: Session, feature: AdoptedFeature, wp_id: str) -> Reviewed | None:
    """Returns the code of an approved package, if its branch is here or on a remote."""
    tip = tip_of(session.refs, branch_of(feature.slug, wp_id))
    if tip is None or feature.target_branch not in session.refs.branches:
        return None
    uuid, target = session.project.uuid, feature.target_branch
    check = LandingCheck(
        session, FeatureState(project_uuid=uuid, slug=feature.slug, target_branch=target)
    )
    code, _ = check.reviewed_at(PackageState(wp_id=wp_id, subject=""), tip)
    return code


def one_line(value: object) -> str:
    """Returns a text on one line; empty for any other value."""
    return " ".join(value.split()) if isinstance(value, str) and is_utf8(value) else ""


def written_time(text: str) -> str:
    """Returns a written time in an event's form; empty for what is none, or before 1970."""
    us = microseconds(text)
    if us is None or not 0 <= us <= _US_MAX:
        return ""
    return timestamp_of(_EPOCH + timedelta(microseconds=us))


def _package(
    wp_id: str, planned: PlannedPackage | None, fields: Fields | None, move: LastMove | None
) -> AdoptedPackage:
    title = one_line(fields.text("title")) if fields else ""
    listed = fields.values.get("dependencies") if fields else None
    names = [str(name) for name in listed] if isinstance(listed, list) else []
    names = names or (list(planned.dependencies) if planned else [])
    return AdoptedPackage(
        wp_id,
        title or (one_line(planned.title) if planned else "") or wp_id,
        tuple(dict.fromkeys(filter(is_wp_id, names))),
        move or LastMove(PLANNED),
        tuple((one.id, one.text) for one in planned.subtasks if one.is_done) if planned else (),
    )


def _meta(data: bytes | None, slug: str, unread: list[Unread]) -> dict[str, Any]:
    if data is None:
        return {}
    try:
        values = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        unread.append(Unread(f"kitty-specs/{slug}/meta.json", line, f"it is not JSON: {error}"))
        return {}
    if not isinstance(values, dict):
        unread.append(Unread(f"kitty-specs/{slug}/meta.json", 1, "it is not a JSON object"))
        return {}
    return values


def _package_fields(file: str, data: bytes, unread: list[Unread]) -> tuple[str, Fields]:
    """Returns a file's package, empty if it is that of none, and its fields."""
    fields = Fields({}, "")
    try:
        fields = read(data, file)
    except PlanningError as error:
        line = error.problems[0]["line"] if error.problems else 1
        unread.append(Unread(file, line if isinstance(line, int) else 1, error.cause))
    name = PurePosixPath(file).name
    named = _FILE.match(name)
    wp_id = fields.text("work_package_id") or (named[1] if named else "")
    if is_wp_id(wp_id):
        return wp_id, fields
    if wp_id or name.upper().startswith("WP"):
        unread.append(Unread(file, 1, f"{wp_id or name!r} is not a package's id"))
    return "", fields


def _check_lane(lane: str, file: str, line: int, unread: list[Unread]) -> None:
    if lane not in LANES and lane not in _LANES:
        unread.append(Unread(file, line, f"unknown lane {lane!r:.80}"))


def _last_moves(data: bytes, file: str, unread: list[Unread]) -> dict[str, LastMove]:
    """Returns each package's last move in a status.events.jsonl, by time and event_id.

    Other objects, such as annotations, are passed over.
    """
    last: dict[str, LastMove] = {}
    for wp_id, move in _moves(data, file, unread):
        former = last.get(wp_id)
        if former is None or (former.at, former.event_id) < (move.at, move.event_id):
            last[wp_id] = move
    return last


def _moves(data: bytes, file: str, unread: list[Unread]) -> Iterator[tuple[str, LastMove]]:
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            values = json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            unread.append(Unread(file, number, "the line is not a JSON object"))
            continue
        wp_id, lane = one_line(values.get("wp_id")), one_line(values.get("to_lane"))
        at = written_time(one_line(values.get("at")) or one_line(values.get("timestamp")))
        if not wp_id or not lane:
            continue
        if not is_wp_id(wp_id) or not at:
            reason = "the line has no time" if is_wp_id(wp_id) else f"{wp_id!r:.80} is no package"
            unread.append(Unread(file, number, reason))
            continue
        _check_lane(lane, file, number, unread)
        actor = values.get("actor")
        if isinstance(actor, dict):
            actor = actor.get("tool") or actor.get("name")
        reason = one_line(values.get("reason"))
        event_id = one_line(values.get("event_id"))
        yield wp_id, LastMove(lane, one_line(actor) or NOBODY, at, reason, event_id)


def _as_text(path: str) -> str:
    """Returns a path as text; bytes that are no UTF-8 are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")
