"""`thence work accept`: moves packages that are reviewed and merged to done."""

from collections.abc import Sequence

from msgspec.structs import replace

from thence.errors import PlanningError
from thence.work.board.dependencies import in_order
from thence.work.board.move_attempt import Facts
from thence.work.board.state import DONE, FOR_REVIEW, FeatureState, PackageState
from thence.work.naming import wp_id_of
from thence.work.result import CommandResult
from thence.work.session.lane_moves import check_written, facts_of, move_all, package_of
from thence.work.session.mirror import mirror
from thence.work.session.package_code import code_of
from thence.work.session.session import Session


def accept(
    session: Session,
    given: Sequence[str],
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    is_local: bool = False,
    landed: str | None = None,
    no_code: str | None = None,
) -> CommandResult:
    """Moves packages from for_review to done, in the order in which they depend on each other.

    Without names all packages in for_review are checked: those that may be done are moved, and the
    others are reported with the guard's reason. A named package that may not be done raises
    Refused; packages before it have been moved then. Code that is in the target and not in its
    upstream counts with `is_local`. For one named package `landed` names the commit of the target
    that brought it, and `no_code` is the reason that it has no code.
    """
    if landed or no_code:
        _check_one(given)
    session.look()
    chosen_feature = session.feature(feature, *given)
    slug = chosen_feature.slug
    chosen = _chosen(chosen_feature, [wp_id_of(name) for name in given])
    requests: dict[str, Facts] = {}
    for package in chosen:
        facts = facts_of(
            session, chosen_feature, package.wp_id, DONE, reason=reason, is_forced=is_forced
        )
        code = code_of(session, chosen_feature, package, landed, no_code, reason)
        requests[package.wp_id] = replace(facts, is_local=is_local, code=code)
    moves, refused = move_all(session, slug, DONE, requests, is_strict=bool(given))
    accepted = [move.wp_id for move in moves]
    if accepted:
        check_written(session)
        mirror(session, session.board.features[slug])
    if given and refused:
        raise next(iter(refused.values()))
    kept = {wp_id: f"{error.cause}; {error.hint}" for wp_id, error in refused.items()}
    data = {
        "feature_slug": slug,
        "accepted": accepted,
        "kept": [{"wp_id": wp_id, "reason": why} for wp_id, why in kept.items()],
    }
    lines = [f"{wp_id} of {slug} is done" for wp_id in accepted]
    lines += [f"{wp_id} stays in review: {why}" for wp_id, why in kept.items()]
    if all(each.lane == DONE for each in session.board.features[slug].packages.values()):
        lines.append(f"all of {slug} is done")
    return session.result(data, lines, exit_code=1 if kept and not accepted else 0)


def _check_one(given: Sequence[str]) -> None:
    if len(given) != 1:
        raise PlanningError(
            "could not accept",
            cause="--landed and --no-code are said of one package",
            hint="name it: thence work accept WP01 --landed COMMIT",
        )


def _chosen(feature: FeatureState, given: Sequence[str]) -> tuple[PackageState, ...]:
    if given:
        return in_order([package_of(feature, wp_id) for wp_id in given])
    in_review = [each for each in feature.packages.values() if each.lane == FOR_REVIEW]
    if not in_review:
        lanes_now = ", ".join(f"{each.wp_id} {each.lane}" for each in feature.packages.values())
        raise PlanningError(
            "could not accept",
            place=feature.slug,
            cause=f"no package is in for_review: {lanes_now or 'it has none'}",
            hint="thence work status",
        )
    return in_order(in_review)
