"""The feature that a command works on."""

from collections.abc import Sequence
from contextlib import suppress

from thence.errors import PlanningError, Refused
from thence.git.refs import Refs
from thence.work.board.state import Board, FeatureState
from thence.work.names import is_slug, resolve
from thence.work.plan.planning_files import Planning


def choose_feature(
    name: str | None,
    board: Board,
    here: str,
    not_imported: Sequence[str] = (),
    wp_ids: Sequence[str] = (),
) -> FeatureState:
    """Returns the named feature, else that of the folder `here`, else the only possible one.

    That is the only open feature, or the only one that has all packages `wp_ids`. Features in
    `not_imported` have planning files, and nothing in the log. Raises Refused for a feature that is
    not on the board, PlanningError where several are possible or none is open.
    """
    features = board.features
    if name is not None:
        return _feature_named(name, board, not_imported)
    if here in features:
        return features[here]
    remaining = [slug for slug, feature in features.items() if not feature.is_completed]
    if len(remaining) == 1:
        return features[remaining[0]]
    owners = [slug for slug in features if {*wp_ids} <= {*features[slug].packages}]
    if wp_ids and len(owners) == 1:
        return features[owners[0]]
    cause, hint = f"there are {', '.join(remaining)}", "name one with --feature"
    if wp_ids and owners:
        cause = f"{', '.join(wp_ids)}: several features have it, {', '.join(owners)}"
    elif not remaining:
        cause = "there is none that is not completed"
        hint = f"thence work {'finalize-tasks' if not_imported else 'setup-spec TITLE'}"
    raise PlanningError("could not decide which feature is meant", cause=cause, hint=hint)


def not_imported(board: Board, planning: Planning) -> list[str]:
    """Returns the features that have planning files, and whose beginning is not in the log.

    `thence work finalize-tasks` adopts them.
    """
    begun = {slug for slug, feature in board.features.items() if is_begun(feature)}
    begun |= {feature.folder for feature in board.features.values() if feature.folder}
    return [slug for slug in planning.slugs() if is_slug(slug) and slug not in begun]


def is_begun(feature: FeatureState) -> bool:
    """Reports whether the log has the beginning of a feature, or of one of its packages."""
    created = (package.created_event for package in feature.packages.values())
    return any((feature.spec_event, feature.created_event, *created))


def existing_branch(refs: Refs, name: str) -> str:
    """Returns the name of a local branch; raises PlanningError if there is none of this name."""
    if name not in refs.branches:
        raise PlanningError(
            "could not find the branch",
            place=repr(name),
            cause="there is none of this name in the repository",
            hint="name one that is there (git branch --list), or make it first",
        )
    return name


def _feature_named(name: str, board: Board, not_imported: Sequence[str]) -> FeatureState:
    try:
        return board.features[resolve(name, board.features)]
    except Refused:
        renamed = {one.folder: one for one in board.features.values() if one.folder}
        with suppress(Refused):
            return renamed[resolve(name, renamed)]
        slug = resolve(name, [*board.features, *not_imported])
        raise Refused(
            "could not use the feature",
            guard="not_imported",
            place=slug,
            cause="its planning files were never brought into the log",
            hint=f"thence work finalize-tasks --feature {slug}",
        ) from None
