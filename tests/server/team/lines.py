"""Lines as a log writes them, redactions too, made without one."""

import json
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from thence.core.codec import draft, stamper
from thence.core.event import EventFields
from thence.core.redaction import REDACTED, Redaction, digests
from thence.core.vocabulary import VOCABULARIES

NODE = "00aa11bb22cc"
SECRET = "swordfish"
_AT = "2026-11-20T07:13:00.123456Z"


def _stamped(node: str, seq: int, clock: int, event_id: str, kind: str, **members: Any) -> bytes:
    name = event_id or f"01J{node.upper()}{seq:011d}"
    return stamper(node)([draft(EventFields(name, kind, 1, _AT, **members))], seq, clock)[0][:-1]


def line(number: int, *, node: str = NODE, clock: int | None = None, name: str = "") -> bytes:
    """Returns the line of a node with a number; equal arguments give equal bytes."""
    payload = {"amount": number}
    return _stamped(node, number, clock or number, name, "order.placed", payload=payload)


def lines(count: int, *, node: str = NODE, first: int = 1) -> list[bytes]:
    return [line(number, node=node) for number in range(first, first + count)]


def foreign(number: int, **members: object) -> bytes:
    """Returns the line of another tool, without seq and crc."""
    return json.dumps({"event_id": f"other-{number}", "event_type": "Told", **members}).encode()


def sealed(members: dict[str, object]) -> bytes:
    """Returns a line with any members and a checksum that fits."""
    data = json.dumps(members, separators=(",", ":"))[:-1].encode()
    return data + b',"crc":"%08x"}' % crc32(data)


def halves(whole: list[bytes], size: int) -> Iterator[list[bytes]]:
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


class Node:
    """The lines of one node of a log, numbered one after another."""

    def __init__(self, node: str = NODE, kind: str = "plain", first: int = 1) -> None:
        self.node = node
        self.lines: list[bytes] = []
        self._kind = kind
        self._first = first

    def said(self, text: str = SECRET) -> bytes:
        """Returns the next line, whose payload has a text."""
        return self._line("told", payload={"text": text})

    def redaction(self, target: bytes, event_id: str = "", *, is_caused: bool = True) -> bytes:
        """Returns the next line, a redaction of another one."""
        name = event_id or id_of(target)
        facts = Redaction(name, digests(target).line.hex(), "a password").facts()
        event_type, members = VOCABULARIES[self._kind].notice(REDACTED, facts, {})
        return self._line(event_type, **members, **({"caused_by": (name,)} if is_caused else {}))

    def _line(self, event_type: str, **members: Any) -> bytes:
        seq = self._first + len(self.lines)
        self.lines.append(_stamped(self.node, seq, seq, "", event_type, **members))
        return self.lines[-1]


def id_of(line: bytes) -> str:
    return line[13:].partition(b'"')[0].decode()
