"""The connection of the engine to a server: five questions about one log of a team, two about keys.

An implementation neither retries nor sleeps. Each call raises SyncError: ServerUnreachable,
ServerBusy, NotLoggedIn, SyncRefused, BadAnswer; `page` also CursorUnknown, `batch` BatchRefused.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from thence.core.wire.authorship import Signer, TeamKeys
from thence.core.wire.messages import BlocksAnswer, BlocksRequest, EventVerdict


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

    def batch(
        self, lines: Sequence[bytes], digests: Sequence[bytes] = (), signer: Signer | None = None
    ) -> Sequence[EventVerdict]:
        """Brings lines to the server; the verdicts may be fewer, more, or of other ids.

        With a signer they are signed, by their digests (D) in the order of the lines.
        """
        ...

    def lines(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns those lines that the server holds of these digests (D)."""
        ...

    def signed(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns those of some digests whose lines the owners of their nodes pushed."""
        ...

    def keys(self) -> TeamKeys:
        """Returns the keys of the team."""
        ...

    def claim(self, public_key: str, nodes: Sequence[str]) -> TeamKeys:
        """Claims nodes for a key, those that nobody has claimed; returns the keys of the team."""
        ...
