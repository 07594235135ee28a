"""Lines as a log writes them, made without one."""

import json
from collections.abc import Iterator
from zlib import crc32

from thence.core.codec import draft, stamper
from thence.core.event import EventFields

NODE = "00aa11bb22cc"


def line(number: int, *, node: str = NODE, clock: int | None = None, name: str = "") -> bytes:
    """Returns the line of a node with a number; equal arguments give equal bytes."""
    event_id = name or f"01J{node.upper()}{number:011d}"
    members = EventFields(
        event_id, "order.placed", 1, "2026-11-20T07:13:00.123456Z", payload={"amount": number}
    )
    return stamper(node)([draft(members)], number, clock or number)[0][:-1]


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
