"""The verbosity of a simulation's log."""

from enum import IntEnum

from thence.errors import InvalidEvent


class VerbosityLevel(IntEnum):
    """The level up to which events are written; each level includes those before it.

    SYSTEM events are written at DETAIL, but rejections, retries and changes of the agents from
    DECISION up, and failures and notices of the log itself always.
    """

    MILESTONE = 1
    DECISION = 2
    ACTION = 3
    STATE = 4
    DETAIL = 5


def level_of(verbosity: VerbosityLevel | str) -> VerbosityLevel:
    """Returns the level with a name, in any case; raises ValueError for another name."""
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
