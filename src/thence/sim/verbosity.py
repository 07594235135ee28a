"""How much a simulation writes."""

from enum import IntEnum

from thence.errors import InvalidEvent


class VerbosityLevel(IntEnum):
    """How much a simulation writes; each level holds those before it.

    SYSTEM events come with DETAIL, but rejections and retries from DECISION up, and what the
    log notes about itself always.
    """

    MILESTONE = 1
    DECISION = 2
    ACTION = 3
    STATE = 4
    DETAIL = 5


def level_of(verbosity: VerbosityLevel | str) -> VerbosityLevel:
    """Returns the level of a name in any case; a ValueError if there is none of that name."""
    try:
        if isinstance(verbosity, str):
            return VerbosityLevel[verbosity.upper()]
        return VerbosityLevel(verbosity)
    except (KeyError, ValueError) as error:
        names = ", ".join(level.name for level in VerbosityLevel)
        raise InvalidEvent(
            "could not set the verbosity",
            place=repr(verbosity),
            cause="it is no level",
            hint=f"use one of {names}",
        ) from error
