"""Seals and redactions: notices by which a line is proven to be its node's, or taken back.

A `log.seal` is signed by the key of a user's machine and covers up to 1,024 numbers of one node. A
line is authored if a seal covers it, by whatever way it came. A `log.redacted` takes the body of a
line back if a seal covers it whose key may do that. docs/formats/segment.md has the members.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice, product
from typing import Any, Protocol

import msgspec

from thence.core.event import Event
from thence.core.wire.blocks import BLOCK_NUMBERS, DIGEST_BYTES

SEAL, REDACTED = "seal", "redacted"
# so many numbers are covered by one seal at most
SEALED_NUMBERS_MAX = BLOCK_NUMBERS
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
# choices of lines that are tried where several lines have the numbers of one seal
_CHOICES_MAX = 64

# the digests (D) of the lines that a number has, by number
NumberedDigests = Mapping[int, Sequence[bytes]]


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
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def spans(self, node_id: str, seq: int) -> bool:
        """Reports whether the seal covers a number, if it is valid."""
        return self.node_id == node_id and self.first <= seq <= self.last

    def covers(self, lines: NumberedDigests, seq: int, digest: bytes) -> bool:
        """Reports whether a line of the sealed node, with this number and D, is one of the sealed.

        `lines` are the D's of all lines of the node in the range. One that is missing leaves all
        unproven. The signature is not checked.
        """
        known = {number: lines[number] for number in lines if self.first <= number <= self.last}
        if digest not in known.get(seq, ()) or len(known) != self.count:
            return False
        known[seq] = (digest,)
        choices = product(*(known[number] for number in sorted(known)))
        wanted = self.lines_sha256
        return any(_joined(found) == wanted for found in islice(choices, _CHOICES_MAX))


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
        found = msgspec.convert(event.payload, Redaction)
        return found if len(found.digest) == DIGEST_BYTES else None
    except (msgspec.ValidationError, ValueError):
        return None


def is_key(text: str) -> bool:
    """Reports whether a text is a public key in hex."""
    return _KEY.fullmatch(text) is not None


def _joined(digests: Sequence[bytes]) -> str:
    return sha256(b"".join(digests)).hexdigest()
