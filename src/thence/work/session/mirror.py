"""Lanes and ticks in planning files, for people and other tools; updated where a file has them.

The changes stay in the main working tree until the next commit. A package's file without a `lane:`
line never gets one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from thence.errors import PlanningError, WorkError
from thence.work.board.state import FeatureState
from thence.work.day_lines import Splice
from thence.work.plan.frontmatter import read, with_field
from thence.work.plan.package_files import file_of
from thence.work.project.options import read_options
from thence.work.vcs.commits import write_files
from thence.work.vcs.repository import operation_under_way

if TYPE_CHECKING:
    from thence.work.session.session import Session


def is_mirrored(session: "Session", feature: FeatureState) -> bool:
    """Reports whether planning files show lanes and ticks: by the options, else by the files."""
    chosen = read_options(session.project).mirror
    return chosen if chosen is not None else any(_lanes(session, feature))


def mirror(session: "Session", feature: FeatureState) -> None:
    """Writes the packages' lanes into their files, as far as the files show lanes."""
    if not is_mirrored(session, feature) or operation_under_way(session.main.git_dir):
        return  # the next move writes the missing lanes
    changes = {}
    for path, shown, lane in _lanes(session, feature):
        if shown != lane:
            changes[path] = _lane_of(lane, path)
    write_files(session.main, changes)


def _lanes(session: "Session", feature: FeatureState) -> Iterator[tuple[str, str, str]]:
    """Yields the files that show a lane, with that lane and the one that the package is in."""
    files = [path for path, _ in session.planning.package_files(None, feature.slug)]
    for package in feature.packages.values():
        path = file_of(feature, package, files, lambda each: session.planning.read(None, each))
        data = session.planning.read(None, path) if path else None
        if data is None:
            continue
        try:
            shown = read(data, path).text("lane")
            with_field(data, "lane", package.lane, path)
        except PlanningError as error:
            note = f"{error.place}: its lane was not written: {error.cause}"
            session.warnings += [note] if note not in session.warnings else []
            continue
        if shown:
            yield path, shown, package.lane


def _lane_of(lane: str, path: str) -> Splice:
    def splice(data: bytes | None) -> bytes | None:
        if data is None:
            return None
        try:
            return with_field(data, "lane", lane, path)
        except WorkError:  # the user's unfinished change that can't be read
            return data

    return splice
