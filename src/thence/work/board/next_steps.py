"""The next step with a package that waits for a person."""

from collections.abc import Sequence

from thence.core.event import Event
from thence.work.board.attempt import is_closed
from thence.work.board.rounds import Round, rounds_of
from thence.work.board.state import DOING, FOR_REVIEW, PLANNED, FeatureState, PackageState

_WHY_CHARACTERS_MAX = 80


def next_step(feature: FeatureState, package: PackageState, round_: Round | None) -> str | None:
    """Returns what a person can do about a package; None where nothing blocks it.

    `round_` is the state of orchestrators' work on the package, None where none worked on it.
    """
    wp_id, lane = package.wp_id, package.lane
    if not package.has_number:
        return f"thence work renumber {wp_id}"
    if lane not in (PLANNED, DOING, FOR_REVIEW):
        return None
    if round_ is not None and (round_.failures or (round_.return_reason and lane == DOING)):
        retry = f"thence work orchestrate; or go on yourself: thence work implement {wp_id}"
        if lane == DOING:
            retry += " --take-over"
        elif lane == FOR_REVIEW:
            retry = f"thence work orchestrate; or review it, then thence work merge {wp_id}"
        why = round_.feedback.partition("\n")[0][:_WHY_CHARACTERS_MAX]
        tries = sum(round_.failures.values())
        what = f"tries that failed: {tries}" if tries else f"times sent back: {round_.returns}"
        return f"{retry} ({what}; {why})"
    if lane == DOING and package.workspace is None:
        return f"thence work implement {wp_id} makes its worktree"
    if lane == FOR_REVIEW:
        back = f"thence work move-task {wp_id} --to doing --reason TEXT"
        return f"review it, then thence work merge {wp_id}, or send it back: {back}"
    missing = [each for each in package.dependencies if not is_closed(feature, package, each)]
    return f"finish {', '.join(missing)} first" if missing else None


def rounds_in_feature(events: Sequence[Event], slug: str) -> dict[str, Round]:
    """Returns the state of orchestrators' work on the packages of a feature.

    Most projects have no orchestrator; their events need not be sorted.
    """
    is_any = any(event.header.event_type == "WPAssigned" for event in events)
    return rounds_of(events, slug) if is_any else {}
