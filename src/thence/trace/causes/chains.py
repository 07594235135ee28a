"""The causes of an event in one line, also those of which one is likely."""

from collections.abc import Callable

from thence.core.event import Event
from thence.errors import EventNotFound
from thence.log.open import Log

CHAIN_MAX = 50


def held(log: Log, event_id: str) -> Event | None:
    """Returns an event of a log, None if it is not there."""
    try:
        return log.get(event_id)
    except EventNotFound:
        return None


def chain_of(
    event: Event, get: Callable[[str], Event | None], *, is_certain: bool = False
) -> tuple[Event, ...]:
    """Returns an event, its first cause, that one's, up to an event without; at most CHAIN_MAX.

    Of several causes of which one is likely, what they have in common follows; `is_certain` ends
    there.
    """
    chain = [event]
    while len(chain) < CHAIN_MAX:
        header = chain[-1].header
        ids = header.caused_by or header.inferred_causes
        causes = list(filter(None, map(get, ids[:CHAIN_MAX])))
        if not header.caused_by and len(causes) > 1:
            first, *others = [chain_of(cause, get, is_certain=True) for cause in causes]
            common = (event for event in first if all(event in other for other in others))
            return tuple(chain if is_certain else (*chain, *common))
        if not causes or causes[0] in chain:
            break
        chain.append(causes[0])
    return tuple(chain)
