"""Seals and redactions: notices by which a line is proven to be its node's, or taken back.

A `log.seal` is signed by the key of a user's machine and covers up to 1,024 numbers of one node. A
line is authored if a seal covers it, by whatever way it came. A `log.redacted` takes the body of a
line back if a seal covers it whose key may do that. docs/formats/segment.md has the members.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import islice, product
from typing import Any, NamedTuple, Protocol

import msgspec

from thence.core.event import Event
from thence.core.values.digests import same_line_key
from thence.core.wire.blocks import BLOCK_NUMBERS, DIGEST_BYTES

SEAL, REDACTED = "seal", "redacted"
# so many numbers are covered by one seal at most
SEALED_NUMBERS_MAX = BLOCK_NUMBERS
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
# choices of lines that are tried where several lines have the numbers of one seal
_CHOICES_MAX = 64

# the digests (D) of the lines that a number has, by number
NumberedDigests = Mapping[int, Sequence[bytes]]


class LinePlace(NamedTuple):
    """The place of a line among those of its node, and D of it."""

    node_id: str
    seq: int
    digest: bytes


class Seal(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The facts of a `log.seal`: it covers `count` lines of a node with numbers in a range.

    Digests, key and signature are hex. `lines_sha256` is the SHA-256 of the D's, in the order
    of their numbers; `previous` is D of the node's last seal, "" for the first one.
    """

    node_id: str
    first: int
    last: int
    count: int
    lines_sha256: str
    previous: str
    public_key: str
    signature: str = ""

    @property
    def signed_text(self) -> bytes:
        """The bytes that the signature is made of."""
        numbers = f"{self.first} {self.last} {self.count}"
        text = f"{self.node_id} {numbers} {self.lines_sha256} {self.previous or '-'}"
        return b"thence seal 1\n" + text.encode("utf-8", "backslashreplace")

    def facts(self) -> dict[str, Any]:
        """Returns the facts of the notice."""
        facts: dict[str, Any] = msgspec.to_builtins(self)
        return facts

    def covered(self, lines: NumberedDigests, near: Iterable[LinePlace]) -> frozenset[bytes]:
        """Returns the D's of all lines that the seal covers, if it covers any of some lines.

        `lines` are the D's of all lines of the node in the range, `near` those that are asked for.
        A line that is missing leaves all unproven. The signature is not checked.
        """
        digests = {seq: lines[seq] for seq in lines if self.first <= seq <= self.last}
        if len(digests) != self.count:
            return frozenset()
        numbers = sorted(digests)
        for line in near:
            if line.digest not in digests.get(line.seq, ()):
                continue
            choices = product(
                *((line.digest,) if seq == line.seq else digests[seq] for seq in numbers)
            )
            for choice in islice(choices, _CHOICES_MAX):
                if _joined(choice) == self.lines_sha256:
                    return frozenset(choice)
        return frozenset()


class Signer(Protocol):
    """The key of a user's machine."""

    public_key: str

    def sign(self, text: bytes) -> str:
        """Returns the signature of a text, in hex."""
        ...


class Redaction(msgspec.Struct, frozen=True):
    """The facts of a `log.redacted`: the event, D of its line in hex, and why in a few words."""

    event_id: str
    line_sha256: str
    reason: str = ""

    @property
    def digest(self) -> bytes:
        """D of the line that is taken back."""
        return bytes.fromhex(self.line_sha256)


class TeamKeys(msgspec.Struct, frozen=True):
    """The keys of a team: of each claimed node, and those of its admins, in hex."""

    claims: dict[str, str] = {}
    admins: tuple[str, ...] = ()

    def may_redact(self, key: str, node_id: str) -> bool:
        """Reports whether a key may take back a line of a node."""
        return key == self.claims.get(node_id) or key in self.admins


def sealed(
    node_id: str, digests: Sequence[tuple[int, bytes]], previous: bytes, signer: Signer
) -> Seal:
    """Returns the seal over lines of a node, given as number and D in the order of the numbers."""
    seal = Seal(
        node_id,
        digests[0][0],
        digests[-1][0],
        len(digests),
        _joined([digest for _, digest in digests]),
        previous.hex(),
        signer.public_key,
    )
    return msgspec.structs.replace(seal, signature=signer.sign(seal.signed_text))


def sealed_lines(
    lines: Iterable[LinePlace],
    seals: Iterable[Seal],
    numbered: Callable[[Seal], NumberedDigests],
    is_valid: Callable[[Seal], bool],
) -> set[bytes]:
    """Returns D of those lines that valid ones of some seals cover.

    `numbered` returns the D's of all lines in the range of a seal. `is_valid` is asked of seals
    over the numbers of these lines alone: whether the signature is good, and the key one that
    counts.
    """
    places = sorted(lines)
    proven: set[bytes] = set()
    for seal in seals:
        node = seal.node_id
        start = bisect_left(places, (node, seal.first))
        near = places[start : bisect_left(places, (node, seal.last + 1))]
        if near and is_valid(seal):
            covered = seal.covered(numbered(seal), near)
            proven.update(line.digest for line in near if line.digest in covered)
    return proven


def places_of(lines: Mapping[str, Sequence[Event]]) -> dict[str, list[LinePlace]]:
    """Returns the places of the lines of each id; a line without numbers has node ""."""
    return {
        event_id: [
            LinePlace("" if event.is_foreign else event.node_id, event.seq, same_line_key(event))
            for event in group
        ]
        for event_id, group in lines.items()
    }


def outranked(
    lines: Mapping[str, Sequence[LinePlace]], authored: Collection[bytes]
) -> dict[str, set[bytes]]:
    """Returns, of each id with an authored line, D of its other lines: they stand behind it."""
    digests = {event_id: {line.digest for line in group} for event_id, group in lines.items()}
    return {
        event_id: lines_of_id.difference(authored)
        for event_id, lines_of_id in digests.items()
        if not lines_of_id.isdisjoint(authored)
    }


def seal_in(event: Event) -> Seal | None:
    """Returns the seal that a notice holds, None for a broken one; its signature is not checked."""
    try:
        seal = msgspec.convert(event.payload, Seal)
    except (msgspec.ValidationError, ValueError):
        return None
    is_range = 1 <= seal.first <= seal.last < seal.first + SEALED_NUMBERS_MAX
    return seal if is_range and 1 <= seal.count <= SEALED_NUMBERS_MAX else None


def redaction_in(event: Event) -> Redaction | None:
    """Returns the redaction that a notice holds, None for a broken one."""
    try:
        redaction = msgspec.convert(event.payload, Redaction)
        return redaction if len(redaction.digest) == DIGEST_BYTES else None
    except (msgspec.ValidationError, ValueError):
        return None


def is_key(text: str) -> bool:
    """Reports whether a text is a public key in hex."""
    return _KEY.fullmatch(text) is not None


def _joined(digests: Sequence[bytes]) -> str:
    return sha256(b"".join(digests)).hexdigest()
