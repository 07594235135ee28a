"""`thence work status`: the board, as a replay of the log."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from thence.errors import GitFailed, ThenceError
from thence.work.board import as_json
from thence.work.desk import Desk
from thence.work.naming import resolve
from thence.work.overlaps import Overlap, at_work, overlaps, sentence
from thence.work.result import Result
from thence.work.state import (
    DONE,
    LANES,
    Board,
    FeatureState,
    PackageState,
)

_TITLE_CHARACTERS_MAX = 60
_Forecast = Mapping[str, Sequence[Overlap]]


def status(desk: Desk, feature: str | None) -> Result:
    """Returns the board, of one feature if one is named; planning files add packages as planned.

    Raises Refused for a feature that is not there.
    """
    desk.look()
    board = desk.with_existing()
    if feature is not None:
        slug = resolve(feature, board.features)
        board = Board(board.project_uuid, {slug: board.features[slug]}, board.conflicts)
    forecast = {slug: _forecast(desk, each) for slug, each in board.features.items()}
    told: dict[str, Any] = as_json(board)
    for each, found in zip(told["features"], forecast.values(), strict=True):
        each["overlaps"] = [overlap._asdict() for overlap in found]
    return desk.result(told, list(_lines(board, forecast)))


def _forecast(desk: Desk, feature: FeatureState) -> Sequence[Overlap]:
    """Returns which packages at work will meet when they are merged, as far as git can tell."""
    packages = at_work(feature)
    if len(packages) < 2 or desk.project.repo is None:
        return ()
    with suppress(ThenceError):  # no target, and no branch is checked out
        target = desk.target_of(feature)
        try:
            return overlaps(desk.repo, target, packages)
        except GitFailed as error:
            desk.notes.append(f"overlaps of {feature.slug} were not looked for: {error.cause}")
    return ()


def _lines(board: Board, forecast: _Forecast) -> Iterator[str]:
    if not board.features:
        yield "the board is empty"
        yield 'next: thence work setup-spec "what the feature is"'
    for number, (slug, feature) in enumerate(board.features.items()):
        if number:
            yield ""
        yield from _feature_lines(board, feature)
        yield from (f"  {sentence(each)}" for each in forecast[slug])


def _feature_lines(board: Board, feature: FeatureState) -> Iterator[str]:
    packages = feature.packages.values()
    done = sum(package.lane == DONE for package in packages)
    title = f"  {feature.title}" if feature.title else ""
    yield f"{feature.slug}{title}  ({done} of {len(packages)} done)"
    unknown = sorted({package.lane for package in packages} - {*LANES})
    for lane in (*LANES, *unknown):
        for package in packages:
            if package.lane == lane:
                yield f"  {lane:<10}  {_package_line(package)}"
    for conflict in board.conflicts:
        if conflict.is_open and feature.is_about(conflict.subject):
            kept = conflict.winner.event_id if conflict.winner else "all of them"
            sure = ", provisional" if conflict.is_provisional else ""
            name = conflict.subject.rpartition("/")[2]
            yield f"  conflict on {name}: {conflict.rule} keeps {kept}{sure}"


def _package_line(package: PackageState) -> str:
    told = f"{package.wp_id}  {package.title[:_TITLE_CHARACTERS_MAX]}".rstrip()
    more = []
    if package.agent and package.lane not in ("planned", DONE):
        more.append(package.agent)
    if package.open_claim:
        more.append("its worktree is not there yet")
    if package.dependencies and package.lane == "planned":
        more.append(f"after {', '.join(package.dependencies)}")
    gates = [gate for gate in package.gates.values() if not gate.is_passed]
    if gates:
        more.append(f"gates open: {', '.join(gate.gate_type for gate in gates)}")
    return f"{told}  ({'; '.join(more)})" if more else told
