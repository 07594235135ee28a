"""The check of lines before anything of them is stored."""

from tests.server.team.lines import foreign, line, sealed

from thence.core.codec import close_line
from thence.server.team.sync_service import checked
from thence.sync.wire.messages import BatchRefused

FOREIGN = foreign(1)
WHOLE: dict[str, object] = {
    "event_id": "01J00000000000000000000001",
    "event_type": "told",
    "event_version": 1,
    "timestamp": "2026-11-20T07:13:00.123456Z",
    "node_id": "00aa11bb22cc",
    "seq": 3,
    "lamport_clock": 4,
    "payload": {"a": "ä"},
}
ALTERED: list[dict[str, object]] = [
    {},
    {"seq": 0},
    {"seq": "3"},
    {"seq": 3.5},
    {"seq": 2**53 - 1},
    {"seq": 2**53},
    {"seq": 2**80},
    {"lamport_clock": 0},
    {"lamport_clock": 2**53},
    {"lamport_clock": None},
    {"event_id": 7},
    {"event_type": None},
    {"node_id": ""},
    {"node_id": "ä" * 100},
    {"node_id": 5},
    {"caused_by": "x"},
    {"caused_by": ["a", "b"]},
    {"turn_number": "three"},
    {"subject": [1]},
    {"payload": [[[]]] * 50},
    {"body_sha256": "0" * 64},
]


def deep(levels: int) -> bytes:
    data = b'{"event_id":"a","event_type":"t","seq":1,"lamport_clock":1,"payload":'
    return close_line(data + b"[" * levels + b"]" * levels)[:-1]


def judged(line: bytes, beside: bytes | None) -> object:
    """Returns the row and clock of a line, None if it is refused."""
    try:
        found = checked([line] if beside is None else [line, beside])
    except BatchRefused:
        return None
    return found.rows[0], found.clocks[0]


def test_line_is_judged_alike_in_a_batch_of_checksums_and_in_any_other() -> None:
    bad_text = line(1)[:-18].replace(b'"amount"', b'"\xff"')
    given = [sealed({**WHOLE, **change}) for change in ALTERED]
    given += [sealed({key: WHOLE[key] for key in WHOLE if key != lacking}) for lacking in WHOLE]
    given += [close_line(bad_text)[:-1], deep(150), deep(300), deep(5_000)]
    alone = [judged(each, None) for each in given]
    assert alone == [judged(each, FOREIGN) for each in given]
    taken = [each for each in alone if each is not None]
    assert 5 < len(taken) < len(given) - 5
