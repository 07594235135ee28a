"""The authorship of lines: which key signed a push, which owns a node, which may redact a line.

A client signs the digests (D) of each batch that it pushes. A line is signed if the key of its
node's owner pushed it; any other one is kept as relayed. A redaction is signed by itself, so that
it counts whoever brings it. docs/reference/formats/wire.md has the forms.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec

from thence.core.event import Event
from thence.core.redaction import Redaction
from thence.sync.wire.messages import DIGEST_BYTES

REDACTED = "redacted"
SIGNATURE_HEADER = "X-Signature"
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIGNATURE = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{128})", re.ASCII)


class Signer(Protocol):
    """The key of a user's machine."""

    public_key: str

    def sign(self, text: bytes) -> str:
        """Returns the signature of a text, in hex."""
        ...


class PushSignature(NamedTuple):
    """The signature of a push and the key that made it, both in hex; nothing of it is checked."""

    public_key: str
    signature: str

    @property
    def header(self) -> str:
        """The value of SIGNATURE_HEADER."""
        return f"{self.public_key} {self.signature}"


class TeamKeys(msgspec.Struct, frozen=True):
    """The keys of a team: of each claimed node, and those of its admins, in hex."""

    claims: dict[str, str] = {}
    admins: tuple[str, ...] = ()

    def may_redact(self, key: str, node_id: str) -> bool:
        """Reports whether a key may take back a line of a node."""
        return key == self.claims.get(node_id) or key in self.admins


def lines_sha256(digests: Sequence[bytes]) -> str:
    """Returns the SHA-256 of the D's of a push, joined in their order, in hex."""
    return sha256(b"".join(digests)).hexdigest()


def push_text(team: str, log: str, digests: Sequence[bytes]) -> bytes:
    """Returns the bytes that the signature of a push is made of."""
    return f"thence push 1\n{team} {log} {lines_sha256(digests)}".encode()


def signed_push(signer: Signer, team: str, log: str, digests: Sequence[bytes]) -> PushSignature:
    """Returns the signature of a push of lines, whose D's are in the order of the lines."""
    return PushSignature(signer.public_key, signer.sign(push_text(team, log, digests)))


def signed_redaction(signer: Signer, event_id: str, digest: bytes, reason: str) -> Redaction:
    """Returns the redaction of a line, given as D, with its signature."""
    redaction = Redaction(event_id, digest.hex(), reason, signer.public_key)
    signature = signer.sign(redaction.signed_text)
    return msgspec.structs.replace(redaction, signature=signature)


def read_signature(header: str) -> PushSignature | None:
    """Returns the signature that a header holds, None for any other text."""
    parts = _SIGNATURE.fullmatch(header)
    return PushSignature(*parts.groups()) if parts else None


def redaction_in(event: Event) -> Redaction | None:
    """Returns the redaction that a notice holds, None for a broken or unsigned one."""
    try:
        redaction = msgspec.convert(event.payload, Redaction)
        is_whole = len(redaction.digest) == DIGEST_BYTES and redaction.signature
        return redaction if is_whole else None
    except (msgspec.ValidationError, ValueError):
        return None


def is_key(text: str) -> bool:
    """Reports whether a text is a public key in hex."""
    return _KEY.fullmatch(text) is not None
