"""Many causes gathered by notices, so that a line names at most 32."""

from collections.abc import Callable, Sequence

from thence.core.values.codec import CAUSES_MAX, Draft

JoinNotice = Callable[[Sequence[str]], Draft]


def join(causes: tuple[str, ...], notice: JoinNotice) -> tuple[list[Draft], tuple[str, ...]]:
    """Returns the notices to write before an event, and the causes that the event names.

    ceil(n/32) notices name 32 of n causes each, and again, until at most 32 remain; up to
    32 causes stand as they are, without a notice.
    """
    notices: list[Draft] = []
    remaining = causes
    while len(remaining) > CAUSES_MAX:
        groups = [remaining[n : n + CAUSES_MAX] for n in range(0, len(remaining), CAUSES_MAX)]
        layer = [notice(group) for group in groups]
        notices += layer
        remaining = tuple(draft.event_id for draft in layer)
    return notices, remaining
