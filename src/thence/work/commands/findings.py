"""`thence work errors` and `thence work conflicts`: what was refused, what can't both stand."""

from msgspec import to_builtins

from thence.work.board import conflict_json
from thence.work.desk import Desk
from thence.work.result import Result

CONFLICTS_FOUND = 3


def errors(desk: Desk, limit: int) -> Result:
    """Returns the last refusals, the newest first."""
    found = desk.errors.recent(limit, desk.notes.append)
    data = {"errors": [to_builtins(record) for record in found]}
    lines = []
    for record in found:
        lines.append(f"{record.timestamp[:19]}  {record.error_type}  {record.attempted_operation}")
        lines.append(f"  {record.reason}")
        if remedy := record.context.get("remedy"):
            lines.append(f"  next: {remedy}")
    return desk.result(data, lines or ["nothing was refused"])


def conflicts(desk: Desk, is_all: bool) -> Result:
    """Returns the conflicts that are open, or all that ever were. Open ones give exit code 3."""
    desk.look()
    found = [each for each in desk.board.conflicts if is_all or each.is_open]
    data = {"conflicts": [{**conflict_json(each), "open": each.is_open} for each in found]}
    lines = []
    for each in found:
        feature, _, name = each.subject.rpartition("/")
        state = "open" if each.is_open else "resolved"
        sure = ", provisional" if each.is_provisional else ""
        lines.append(f"{feature.rpartition('/')[2]}/{name}: {state}, by {each.rule}{sure}")
        for event in each.events:
            kept = "kept  " if each.winner and event.event_id == each.winner.event_id else "passed"
            lines.append(f"  {kept}  {event.event_id}  {event.actor}  {event.event_type}")
    is_open = any(each.is_open for each in found)
    result = desk.result(data, lines or ["no conflicts"])
    code = CONFLICTS_FOUND if is_open else 0
    return Result(result.events, result.data, result.lines, result.notes, code)
