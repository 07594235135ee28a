"""Events made for tests: JSON values of every kind, drafts, lines, causal graphs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from hypothesis import strategies as st

from thence.core.codec import Draft, draft, parse, stamper
from thence.core.event import Event, EventFields
from thence.core.ids import IdSource
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import current_path
from thence.log.open import Log
from thence.log.read.opening import prepare
from thence.log.read.reader import lines

NODE = "3f9ac1d2e4b5"
OTHER_NODE = "a0b1c2d3e4f5"
WHEN = "2026-11-20T07:13:00.123456Z"

new_id = IdSource(1_700_000_000_000_000_000, lambda: 0, 0xABCDE).new_id

texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "\x00\x01\x1f\x7f\x80\u2028\u2029",
        '"\\/\b\f\n\r\t',
        ',"crc":"00000000"}',
        '"seq":7,"lamport_clock":9',
        "\ufeff\ufffe\U0010ffff\U0001f980",
        "e\u0301 ßﬁ ﷺ",
        "line\nline",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
payloads = st.dictionaries(texts, json_values, max_size=5)


def drafted(
    event_id: str,
    event_type: str,
    members: Mapping[str, Any],
    causes: Sequence[str] = (),
    timestamp: str = WHEN,
) -> Draft:
    """Drafts an event of these members."""
    return draft(EventFields(event_id, event_type, 1, timestamp, tuple(causes), **members))


def stamped(item: Draft, seq: int, lamport_clock: int, node_id: str = NODE) -> bytes:
    """Stamps one draft."""
    return stamper(node_id)([item], seq, lamport_clock)[0]


def sealed(body: bytes) -> bytes:
    """Closes a line with its checksum, whatever it holds."""
    return b'%b,"crc":"%08x"}' % (body, crc32(body))


def line_of(
    payload: Mapping[str, Any] | None = None,
    *,
    event_id: str = "",
    event_type: str = "noted",
    node_id: str = NODE,
    seq: int = 1,
    lamport_clock: int = 1,
    causes: Sequence[str] = (),
) -> bytes:
    """Makes the line of a plain event, newline included."""
    members = {"payload": payload} if payload else {}
    made = drafted(event_id or new_id(), event_type, members, causes)
    return stamped(made, seq, lamport_clock, node_id)


def foreign_log(folder: Path, *events: Mapping[str, Any]) -> None:
    """Make a log of events as another tool writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(event)}\n" for event in events)
    (folder / "events.jsonl").write_text(text)


def event_of(line: bytes, vocabulary: Vocabulary = PLAIN) -> Event:
    """Reads a line, newline or not, that must hold an event."""
    event = parse(line.rstrip(b"\n"), vocabulary)
    assert isinstance(event, Event), event
    return event


def by_type(log: Log) -> dict[str, Event]:
    """Returns the latest event of each type."""
    return {event.event_type: event for event in log.read()}


def notices(log: Log, kind: str) -> list[Event]:
    return [event for event in log.events() if event.event_type == f"log.{kind}"]


def stored(folder: Path) -> list[bytes]:
    """Returns all lines of a log, repeated ids too, sorted."""
    return sorted(line.data for line in lines(OS_DISK, folder, PLAIN))


@st.composite
def causal_graphs(draw: st.DrawFn) -> list[Event]:
    """Draws events of up to three nodes that witness each other, as a log would number them.

    An event names earlier ones; its clock is past that of all that its node has seen.
    """
    nodes = [f"{digit}" * 12 for digit in "123"]
    clocks = dict.fromkeys(nodes, 0)
    seqs = dict.fromkeys(nodes, 0)
    events: list[Event] = []
    for event_id in draw(st.lists(ulids, max_size=16, unique=True)):
        node = draw(st.sampled_from(nodes))
        chosen = draw(st.lists(st.sampled_from(events), max_size=4, unique=True)) if events else []
        seqs[node] += 1
        clocks[node] = 1 + max([clocks[node], *(event.lamport_clock for event in chosen)])
        line = line_of(
            event_id=event_id,
            node_id=node,
            seq=seqs[node],
            lamport_clock=clocks[node],
            causes=[event.event_id for event in chosen],
        )
        events.append(event_of(line))
    return events


# ids in any order at all: nothing may lean on their being in order of creation
ulids = st.integers(0, 2**128 - 1).map(
    lambda number: "".join(
        "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> 5 * place & 31] for place in range(25, -1, -1)
    )
)


def large_log(folder: Path, events: int) -> Path:
    """Make a log of so many events of 1.5 KB, without an index."""
    prepare(OS_DISK, folder, PLAIN)
    payload = {"text": "x" * 1_300}
    drafts = [
        draft(EventFields(new_id(), "noted", 1, WHEN, payload=payload)) for _ in range(events)
    ]
    current_path(folder).write_bytes(b"".join(stamper(NODE)(drafts, 1, 1)))
    return folder
