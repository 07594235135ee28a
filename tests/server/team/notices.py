"""Redactions as a log writes them."""

from collections.abc import Mapping
from typing import Any

from tests.server.team.lines import NODE

from thence.core.codec import draft, stamper
from thence.core.event import EventFields
from thence.core.redaction import REDACTED, Redaction, digests
from thence.core.vocabulary import VOCABULARIES

SECRET = "swordfish"


class Node:
    """The lines of one node of a log, numbered one after another."""

    def __init__(self, node: str = NODE, kind: str = "plain", first: int = 1) -> None:
        self.node = node
        self.lines: list[bytes] = []
        self._kind = kind
        self._first = first

    def said(self, text: str = SECRET) -> bytes:
        """Returns the next line, whose payload has a text."""
        return self._line("told", {"payload": {"text": text}})

    def redaction(self, target: bytes, event_id: str = "", *, is_caused: bool = True) -> bytes:
        """Returns the next line, a redaction of another one."""
        name = event_id or id_of(target)
        facts = Redaction(name, digests(target).line.hex(), "a password").facts()
        return self._notice(REDACTED, facts, **({"caused_by": (name,)} if is_caused else {}))

    def _notice(self, kind: str, facts: Mapping[str, Any], **more: Any) -> bytes:
        event_type, members = VOCABULARIES[self._kind].notice(kind, facts, {})
        return self._line(event_type, {**members, **more})

    def _line(self, event_type: str, members: Mapping[str, Any]) -> bytes:
        seq = self._first + len(self.lines)
        made = EventFields(
            f"01J{self.node.upper()}{seq:011d}",
            event_type,
            1,
            "2026-11-20T07:13:00.123456Z",
            **members,
        )
        self.lines.append(stamper(self.node)([draft(made)], seq, seq)[0][:-1])
        return self.lines[-1]


def id_of(line: bytes) -> str:
    return line[13:].partition(b'"')[0].decode()
