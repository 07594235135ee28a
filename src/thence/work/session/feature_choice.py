"""The choice of the feature that a command works on."""

from collections.abc import Sequence

from thence.errors import PlanningError, Refused
from thence.work.board.state import Board, FeatureState
from thence.work.naming import resolve


def choose_feature(
    given: str | None, board: Board, here: str, not_imported: Sequence[str] = ()
) -> FeatureState:
    """Returns the given feature, else that of the folder `here`, else the only open one.

    Features in `not_imported` have planning files, and nothing in the log. Raises Refused for a
    feature that is not on the board, PlanningError where several are possible or none is open.
    """
    known = board.features
    if given is not None:
        return _feature_named(given, board, not_imported)
    if here in known:
        return known[here]
    left = [slug for slug, each in known.items() if not each.is_completed]
    if len(left) == 1:
        return known[left[0]]
    if left:
        raise PlanningError(
            "could not tell which feature is meant",
            cause=f"there are {', '.join(left)}",
            hint="name one with --feature",
        )
    raise PlanningError(
        "could not tell which feature is meant",
        cause="there is none that is not completed",
        hint=f"thence work {'import' if not_imported else 'setup-spec TITLE'}",
    )


def _feature_named(given: str, board: Board, not_imported: Sequence[str]) -> FeatureState:
    try:
        return board.features[resolve(given, board.features)]
    except Refused:
        slug = resolve(given, [*board.features, *not_imported])
        raise Refused(
            "could not use the feature",
            guard="not_imported",
            place=slug,
            cause="its planning files were never brought into the log",
            hint=f"thence work import --feature {slug}",
        ) from None
