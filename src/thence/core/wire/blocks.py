"""Blocks: by what two replicas find which lines the other lacks.

Of each node and each 1,024 numbers a replica keeps how many lines it holds, and the sum of their
digests modulo 2^256. Equal sums are equal sets of lines, whatever the order of their arrival.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from thence.core.wire.messages import BlockRun
from thence.errors import InvalidEvent

BLOCK_NUMBERS = 1_024
DIGEST_BYTES = 32
_MODULUS = 1 << (8 * DIGEST_BYTES)


class Place(NamedTuple):
    """One block: of a node, by number. Lines without numbers stand under the node ""."""

    node: str
    block: int


class BlockDigest(msgspec.Struct, frozen=True):
    """How many lines a block holds, and the sum of their digests modulo 2^256."""

    count: int = 0
    sum: int = 0

    def plus(self, digest: bytes) -> "BlockDigest":
        """Returns the block with one line more."""
        return self.plus_all((digest,))

    def plus_all(self, digests: Sequence[bytes]) -> "BlockDigest":
        """Returns the block with several lines more."""
        total = self.sum + sum(map(int.from_bytes, digests))
        return BlockDigest(self.count + len(digests), total % _MODULUS)


Blocks = Mapping[Place, BlockDigest]
EMPTY = BlockDigest()


def place_of(node: str, seq: int, digest: bytes) -> Place:
    """Returns the block of a line; `seq` is 0 for a line without numbers."""
    return Place(node, (seq - 1) // BLOCK_NUMBERS) if seq else Place("", digest[0])


def by_node(blocks: Blocks) -> dict[str, tuple[BlockRun, ...]]:
    """Returns blocks in the form of a message."""
    runs: dict[str, list[list[Place]]] = {}
    for place in sorted(blocks):
        own = runs.setdefault(place.node, [])
        if own and own[-1][-1].block + 1 == place.block:
            own[-1].append(place)
        else:
            own.append([place])
    return {node: tuple(_run(blocks, places) for places in own) for node, own in runs.items()}


def _run(blocks: Blocks, places: list[Place]) -> BlockRun:
    counts = {str(p.block): blocks[p].count for p in places if blocks[p].count != BLOCK_NUMBERS}
    sums = b"".join(blocks[place].sum.to_bytes(DIGEST_BYTES) for place in places)
    return BlockRun(places[0].block, sums, counts)


def from_nodes(nodes: Mapping[str, Iterable[BlockRun]]) -> dict[Place, BlockDigest]:
    """Returns the blocks of a message; raises InvalidEvent for sums that can't be split."""
    blocks = {}
    for node, runs in nodes.items():
        for run in runs:
            for number, digest in enumerate(split_digests(run.sums), run.first):
                count = run.counts.get(str(number), BLOCK_NUMBERS)
                blocks[Place(node, number)] = BlockDigest(count, int.from_bytes(digest))
    return blocks


def differing(ours: Blocks, theirs: Blocks) -> list[Place]:
    """Returns the blocks that differ, in order."""
    places = ours.keys() | theirs.keys()
    return sorted(place for place in places if ours.get(place) != theirs.get(place))


def split_digests(joined: bytes) -> Iterator[bytes]:
    """Yields the digests of a message, 32 bytes each; raises InvalidEvent for a broken one."""
    if len(joined) % DIGEST_BYTES:
        raise InvalidEvent("could not read digests", cause="their bytes are no multiple of 32")
    for at in range(0, len(joined), DIGEST_BYTES):
        yield joined[at : at + DIGEST_BYTES]
