"""A simulation's event made a draft: never refused, whatever it holds, every repair named."""

from collections.abc import Sequence
from typing import Any

import msgspec

from thence.core.codec import Draft, assemble
from thence.core.payload import is_plain, repair, shorten
from thence.errors import EventTooLarge
from thence.sim.events import TYPED, Event

_encode = msgspec.json.Encoder().encode
_QUOTED = {name: _encode(name) for name in TYPED}
_CUTS_CHARACTERS = (65_536, 4_096, 256)
_LAST_CUT_CHARACTERS = 10_000


def draft_of(event: Event, causes: Sequence[str]) -> Draft:
    """Encodes an event with the causes to name; what JSON can't hold is repaired.

    What would pass 1 MiB has its long texts cut, ever shorter, until it fits.
    """
    members: dict[str, Any] = {
        "simulation_id": event.simulation_id,
        "turn_number": event.turn_number,
    }
    if event.agent_id:
        members["agent_id"] = event.agent_id
    if event.description:
        members["description"] = event.description
    if event.step:
        members["step"] = event.step
    if event.details:
        members["details"] = event.details
    if event.begins or event.ends or event.repairs:
        members = _lasting(event) | members
    quoted = _QUOTED.get(event.event_type)
    if quoted is not None and is_plain(event.details):
        try:
            return assemble(event.event_id, quoted, event.timestamp, _encode(members), causes)
        except (UnicodeEncodeError, EventTooLarge):
            pass
    return _repaired(event, members, causes)


def _lasting(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if event.begins:
        found["begins"] = True
    if event.ends:
        found["ends"] = event.ends
    if event.repairs:
        found["repairs"] = list(event.repairs)
    return found


def _repaired(event: Event, members: dict[str, Any], causes: Sequence[str]) -> Draft:
    known = list(members.pop("repairs", ()))
    event_type, _ = repair(event.event_type)
    members, repairs = repair(members)
    repairs = known + repairs
    for characters_max in (0, *_CUTS_CHARACTERS):
        cut, cuts = shorten(members, characters_max) if characters_max else (members, [])
        try:
            return _assembled(event, event_type, cut, repairs + cuts, causes)
        except EventTooLarge:
            continue
    text = _encode(members.get("details", {})).decode()
    members["details"] = {"cut": text[:_LAST_CUT_CHARACTERS]}
    repairs = [*known, {"path": "details", "was": f"{len(text)} characters of JSON"}]
    return _assembled(event, event_type[: _CUTS_CHARACTERS[-1]], members, repairs, causes)


def _assembled(
    event: Event,
    event_type: str,
    members: dict[str, Any],
    repairs: list[dict[str, str]],
    causes: Sequence[str],
) -> Draft:
    leading = {key: members[key] for key in ("begins", "ends") if key in members}
    body = leading | ({"repairs": repairs[:100]} if repairs else {}) | members
    quoted = _encode(event_type)
    return assemble(event.event_id, quoted, event.timestamp, _encode(body), causes)
