"""The connection of the engine to a server: four questions about one log of a team, two about keys.

An implementation neither retries nor sleeps. Each call raises SyncError: ServerUnreachable,
ServerBusy, NotLoggedIn, SyncRefused, BadAnswer; `page` also CursorUnknown, `batch` BatchRefused.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from thence.core.wire.messages import BlocksAnswer, BlocksRequest, EventVerdict
from thence.core.wire.seals import TeamKeys


class TakenPage(NamedTuple):
    """A page of lines, without newlines; `next` is the cursor behind them."""

    lines: Sequence[bytes]
    next: str
    more: bool


class Transport(Protocol):
    """The questions to a server about one log; docs/formats/wire.md has their limits."""

    def page(self, after: str) -> TakenPage:
        """Returns the lines behind a cursor; "" is the beginning."""
        ...

    def blocks(self, request: BlocksRequest) -> BlocksAnswer:
        """Returns the blocks that differ on the server."""
        ...

    def batch(self, lines: Sequence[bytes]) -> Sequence[EventVerdict]:
        """Brings lines to the server; the verdicts may be fewer, more, or of other ids."""
        ...

    def lines(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns those lines that the server holds of these digests (D)."""
        ...

    def keys(self) -> TeamKeys:
        """Returns the keys of the team."""
        ...

    def claim(self, public_key: str, nodes: Sequence[str]) -> TeamKeys:
        """Claims nodes for a key, those that nobody has claimed; returns the keys of the team."""
        ...
