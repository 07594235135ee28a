"""The remarks on packages of a board: where code is, what was forced, who waits, what holds up.

Remarks are sentences for people, equal on a terminal and on a page. Where a package's code is comes
in as the clone at hand sees it.
"""

from collections import defaultdict
from collections.abc import Iterator
from textwrap import shorten

from thence.work.board.move_request import LandingStatus, changed_since, is_closed
from thence.work.board.state import DOING, DONE, FOR_REVIEW, REJECTED, FeatureState, PackageState

_NOTE_CHARACTERS_MAX = 80


def remarks(package: PackageState, code: LandingStatus | None) -> Iterator[str]:
    """Yields the remarks on one package; `code` is where its code is, if that was looked for."""
    if code is not None:
        # of a package in review it goes without saying that its code is on its branch
        usual = "landed" if package.lane == DONE else "missing"
        if code.kind != usual:
            yield code.sentence
        if code.changed_since is not None:
            yield changed_since(code.changed_since)
    if package.blocked:
        yield shorten(package.blocked, _NOTE_CHARACTERS_MAX, placeholder=" …")
    if package.is_approved:
        yield f"approved by {package.approved_by}"
    if package.overruled:
        yield f"forced past {', '.join(package.overruled)}"
    gates = [gate.gate_type for gate in package.gates.values() if not gate.is_passed]
    if gates:
        yield f"gates open: {', '.join(gates)}"


def waits_for(feature: FeatureState, actor: str) -> Iterator[tuple[PackageState, str]]:
    """Yields the packages of a feature that wait for an actor, each with what they wait for.

    That is the actor's own work, what is approved, and what nobody else is to review.
    """
    for package in feature.packages.values():
        is_reviewer = package.reviewer == actor
        is_free = package.reviewer is None and package.agent != actor
        if package.lane == DOING and package.agent == actor:
            yield package, "in doing"
        elif package.is_approved:
            yield package, "approved"
        elif package.lane == FOR_REVIEW and (is_reviewer or is_free):
            yield package, "in review"


def waiting_for(feature: FeatureState) -> dict[str, int]:
    """Returns how many packages wait for each open package, directly or not."""
    dependents: dict[str, set[str]] = defaultdict(set)
    for package in feature.packages.values():
        if package.lane not in (DONE, REJECTED):
            for dependency in package.dependencies:
                if dependency in feature.packages and not is_closed(feature, package, dependency):
                    dependents[dependency].add(package.wp_id)
    counts: dict[str, int] = {}
    for wp_id in dependents:
        waiting, remaining = set[str](), [wp_id]
        while remaining:
            further = dependents.get(remaining.pop(), set()) - waiting
            waiting |= further
            remaining += further
        counts[wp_id] = len(waiting - {wp_id})
    return counts
