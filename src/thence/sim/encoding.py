"""The encoding of a simulation's event as a draft, with a record of every repair."""

from typing import Any

from thence.core.values.codec import Draft, Members, draft
from thence.core.values.payload import Repair, repair, shorten
from thence.core.values.vocabulary import SIM
from thence.errors import EventTooLarge, InvalidEvent
from thence.sim.events import Event

REPAIRS_MAX = 100
_CUTS_CHARACTERS = (65_536, 4_096, 256)
_LAST_CUT_CHARACTERS = 10_000
# the types of most events; a set look-up costs a tenth of the full check
_NEVER_RESERVED = frozenset(("ACTION", "DECISION", "DETAIL", "MILESTONE", "STATE"))
_MEMBERS = ("ends", "simulation_id", "agent_id", "description", "step", "details")


def draft_of(event: Event, causes: tuple[str, ...], external: tuple[str, ...] = ()) -> Draft:
    """Encodes an event with its causes; values that JSON can't hold are repaired.

    `external` are causes in other logs, as `core.handing` writes them. The long texts of an
    event over 1 MiB are cut, shorter and shorter, until it fits. Raises InvalidEvent for a
    notice, which only the log itself may write.
    """
    if event.event_type not in _NEVER_RESERVED:
        SIM.refuse_reserved(event.event_type, event.details)
    if event.is_plain():
        try:
            return draft(
                Members(
                    event.event_id,
                    event.event_type,
                    1,
                    event.timestamp,
                    causes,
                    external,
                    event.begins,
                    event.ends,
                    repairs=event.repairs,
                    simulation_id=event.simulation_id,
                    turn_number=event.turn_number,
                    agent_id=event.agent_id or None,
                    description=event.description or None,
                    step=event.step or None,
                    details=event.details or None,
                )
            )
        except InvalidEvent:  # repaired below
            pass
    return _repair_draft(event, causes, external)


def _repair_draft(event: Event, causes: tuple[str, ...], external: tuple[str, ...]) -> Draft:
    event_type, _ = repair(event.event_type)
    members = {name: value for name in _MEMBERS if (value := getattr(event, name))}
    members, new_repairs = repair(members)
    repairs = [*event.repairs, *new_repairs]
    for characters_max in (0, *_CUTS_CHARACTERS):
        cut, cuts = shorten(members, characters_max) if characters_max else (members, [])
        try:
            return _draft(event, event_type, cut, repairs + cuts, causes, external)
        except EventTooLarge:
            continue
    text = str(members.pop("details", ""))
    members["details"] = {"cut": text[:_LAST_CUT_CHARACTERS]}
    repairs = [*event.repairs, {"path": "details", "was": f"{len(text)} characters"}]
    return _draft(event, event_type[: _CUTS_CHARACTERS[-1]], members, repairs, causes, external)


def _draft(
    event: Event,
    event_type: str,
    members: dict[str, Any],
    repairs: list[Repair],
    causes: tuple[str, ...],
    external: tuple[str, ...],
) -> Draft:
    return draft(
        Members(
            event.event_id,
            event_type,
            1,
            event.timestamp,
            causes,
            external,
            begins=event.begins,
            repairs=tuple(repairs[:REPAIRS_MAX]),
            turn_number=event.turn_number,
            **members,
        )
    )
