"""`thence work add-history`: adds an entry to a package's history."""

from thence.errors import PlanningError
from thence.work.journal.store import WorkEvent
from thence.work.naming import wp_id_of
from thence.work.result import CommandResult
from thence.work.session.lane_moves import check_written, package_of
from thence.work.session.session import Session


def add_history(
    session: Session, given: str, text: str, *, kind: str = "note", feature: str | None = None
) -> CommandResult:
    """Appends an entry to a package's history.

    Raises Refused, PlanningError for an empty entry, and what the append raises.
    """
    session.look()
    found = session.feature(feature, given)
    package = package_of(found, wp_id_of(given))
    if not text.strip():
        raise PlanningError(
            f"could not keep the {kind} on",
            place=f"{found.slug}/{package.wp_id}",
            cause="it says nothing",
            hint=f"thence work add-history {package.wp_id} 'what there is to say'",
        )
    payload = {
        "wp_id": package.wp_id,
        "entry_type": kind,
        "entry_content": text,
        "author": session.current_actor(),
    }
    session.append(WorkEvent("HistoryAdded", payload, found.slug))
    check_written(session)
    data = {"feature_slug": found.slug, "wp_id": package.wp_id, "entry_type": kind}
    return session.result(data, [f"{kind} on {package.wp_id} of {found.slug} kept"])
