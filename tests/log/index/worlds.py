"""Logs made for tests of the index: random lines, in random order of arrival, true or not."""

import msgspec
from hypothesis import strategies as st
from tests.events import causal_graphs, drafted, stamped, ulids

NODES = ("1" * 12, "2" * 12, "3" * 12)
MISSING = "U" * 26  # no ULID holds this letter
TYPES = ("noted", "MILESTONE", "order.failed", "STATE", "ACTION", "DECISION", "SYSTEM")
SUBJECTS = ("a", "b", None)


@st.composite
def untrue_lines(draw: st.DrawFn) -> list[bytes]:
    """Draws lines that name any others: later ones, themselves, circles, what isn't there.

    Some are other tools' lines. Clocks and numbers say nothing of the causes.
    """
    ids = draw(st.lists(ulids, min_size=1, max_size=14, unique=True))
    seqs = dict.fromkeys(NODES, 0)
    lines = []
    for event_id in ids:
        named = draw(st.lists(st.sampled_from([*ids, MISSING]), max_size=3))
        subject = draw(st.sampled_from(SUBJECTS))
        members: dict[str, object] = {"subject": subject} if subject else {}
        event_type = draw(st.sampled_from(TYPES))
        if draw(st.booleans()):
            node = draw(st.sampled_from(NODES))
            seqs[node] += draw(st.integers(1, 2))
            made = drafted(event_id, event_type, members, named)
            lines.append(stamped(made, seqs[node], draw(st.integers(1, 9)), node))
        else:
            said = {"event_id": event_id, "event_type": event_type, "caused_by": named, **members}
            said["timestamp"] = draw(st.sampled_from(["", "1", "2026-11-20T07:13:00Z"]))
            lines.append(msgspec.json.encode(said) + b"\n")
    return lines


@st.composite
def true_lines(draw: st.DrawFn) -> list[bytes]:
    """Draws lines as several logs that read each other write them."""
    lines = []
    for event in draw(causal_graphs()):
        subject = draw(st.sampled_from(SUBJECTS))
        members = {"subject": subject} if subject else {}
        made = drafted(event.event_id, draw(st.sampled_from(TYPES)), members, event.caused_by)
        lines.append(stamped(made, event.seq, event.lamport_clock, event.node_id))
    return lines


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[bytes]]:
    """Draws the lines of a log, some left out, some doubled, in the order and batches they come."""
    lines = draw(untrue_lines() | true_lines())
    if lines:
        lines = [line for line in lines if draw(st.integers(0, 9))] + draw(
            st.lists(st.sampled_from(lines), max_size=2)
        )
    lines = draw(st.permutations(lines))
    cuts = sorted(draw(st.lists(st.integers(0, len(lines)), max_size=2)))
    return [lines[a:b] for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
