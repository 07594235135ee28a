"""Digests: what they cover, and what they leave out."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import NODE, WHEN, event_of, line_of, payloads, sealed, texts

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.redaction import Digests, claim_order, digests, redacted, same_event_key
from thence.core.vocabulary import PLAIN
from thence.errors import InvalidEvent

ROOT = Path(__file__).resolve().parents[2]
BODY = ("description", "repairs", "payload", "details", "nonce")
LAST = (
    '{"event_id":"01KAG0QV3J0000000144SGTKJP","event_type":"refund.begun","event_version":1,'
    '"timestamp":"2026-11-20T07:13:00.123456Z","node_id":"3f9ac1d2e4b5","seq":3,"lamport_clock":3,'
    '"stream":"nightly","subject":"order/881","actor":"worker-3","payload":{"amount":12}'
)


def closed(text: str) -> bytes:
    """Close a line with its checksum."""
    return sealed(text.encode())


def line(members: dict[str, object]) -> bytes:
    """Return a line with these members in this order."""
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return closed(text[:-1])


def plainly(members: dict[str, object]) -> Digests:
    """Compute digests from the members, in the words of the format's page."""
    texts = {
        key: json.dumps({key: value}, ensure_ascii=False, separators=(",", ":"))[1:-1]
        for key, value in members.items()
    }
    body = ",".join(text for key, text in texts.items() if key in BODY)
    left_out = {*BODY, "seq", "lamport_clock", "body_sha256"}
    head = ",".join(text for key, text in texts.items() if key not in left_out)
    b = sha256(f"thence body 1\n{body}".encode()).hexdigest()
    b = str(members.get("body_sha256", b))
    c = sha256(f"thence content 1\n{head}\n{b}".encode()).hexdigest()
    numbers = f"{members['seq']} {members['lamport_clock']}"
    d = sha256(f"thence line 1\n{numbers} {c}".encode()).hexdigest()
    return Digests(bytes.fromhex(b), bytes.fromhex(c), bytes.fromhex(d))


needed = {
    "event_id": st.just("01KAG0QV3J0000000144SGTKJP"),
    "event_type": texts.filter(bool),
    "event_version": st.just(1),
    "timestamp": st.just(WHEN),
    "node_id": st.just(NODE),
    "seq": st.integers(1, 2**53 - 1),
    "lamport_clock": st.integers(1, 2**53 - 1),
}
optional = {
    "caused_by": st.lists(texts, min_size=1, max_size=3),
    "begins": st.just(True),
    "ends": texts,
    "source": texts,
    "source_id": texts,
    "correlation_id": texts,
    "repairs": st.just([{"path": "a", "was": "NaN"}]),
    "simulation_id": texts,
    "turn_number": st.integers(0, 9),
    "agent_id": texts,
    "description": texts,
    "step": texts,
    "details": payloads,
    "stream": texts,
    "subject": texts,
    "team_slug": texts,
    "actor": texts,
    "payload": payloads,
    "nonce": st.just("A" * 22),
    "unknown": payloads,
}


@given(st.fixed_dictionaries(needed, optional=optional), st.randoms())
def test_digests_are_those_of_the_members_in_any_order(found, chance):
    ordered = {key: found[key] for key in (*needed, *optional) if key in found}
    names = list(found)
    chance.shuffle(names)
    for members in (ordered, {key: found[key] for key in names}):
        assert digests(line(members)) == plainly(members)


def test_digests_of_the_line_that_the_page_of_the_format_shows():
    page = (ROOT / "docs/reference/formats/segment.md").read_text()
    shown = dict(re.findall(r"^([BCD])  ([0-9a-f]{64})$", page, re.MULTILINE))
    found = digests(closed(LAST))
    assert closed(LAST).decode() in page
    assert {key: value.hex() for key, value in zip("BCD", found, strict=True)} == shown
    assert found == plainly(json.loads(LAST + "}"))


@pytest.mark.parametrize(
    "hidden",
    ['{"payload":{"amount":13}}', '"payload\\":{\\"amount\\":13}"', '[{"seq":9},"}"]'],
)
def test_members_of_the_same_name_deeper_down_count_for_nothing(hidden):
    text = LAST.replace('"stream":"nightly"', f'"zone":{hidden},"stream":"nightly"')
    assert digests(closed(text)) == plainly(json.loads(text + "}"))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (('"seq":3', '"seq":3,"seq":3'), "each once"),
        (
            ('"payload":{"amount":12}', '"payload":{"amount":12},"payload":{"amount":12}'),
            "each once",
        ),
        (('"actor":', '"\\u0061ctor":"x","actor":'), "each once"),
        (('"amount":12', '"amount":\t12'), "below 0x20"),
        (('"actor":', '"\\ud800":1,"actor":'), "not an object of JSON"),
        (('"seq":3,', ""), "no seq"),
        (('"lamport_clock":3,', ""), "no lamport_clock"),
        (('"payload":', f'"body_sha256":"{"0" * 64}","payload":'), "besides body_sha256"),
        (('"payload":{"amount":12}', '"body_sha256":"12"'), "64 hex digits"),
    ],
)
def test_line_that_two_readers_could_take_for_two_is_refused(change, cause):
    text = LAST.replace(*change)
    assert text != LAST
    with pytest.raises(InvalidEvent, match=cause):
        digests(closed(text))


def test_lines_of_one_id_are_one_event_if_they_say_the_same():
    def key(line: bytes) -> bytes:
        event = parse(line, PLAIN)
        assert isinstance(event, Event)
        return same_event_key(event)

    whole = closed(LAST)
    moved = closed(LAST.replace('"seq":3,"lamport_clock":3', '"seq":4,"lamport_clock":5'))
    assert key(whole) == key(moved) == key(redacted(whole))
    assert key(whole) != key(closed(LAST.replace("12}", "13}")))
    foreign = b'{"event_id":"x","event_type":"t","payload":{"a":1,"b":2}}'
    blanks = b'{ "event_type":"t","event_id":"x","payload":{"b":2,"a":1} }'
    assert key(foreign) == key(blanks) != key(foreign.replace(b"2", b"3"))
    twice = LAST.replace('"actor":', '"actor":"x","actor":')
    assert key(closed(twice)) == key(closed(twice)) != key(whole)


@given(st.fixed_dictionaries(needed, optional=optional))
def test_line_with_blanks_between_its_members_has_no_digests(members: dict[str, object]) -> None:
    with pytest.raises(InvalidEvent, match="joined by commas"):
        digests(closed(json.dumps(members)[:-1]))


@given(st.fixed_dictionaries(needed, optional=optional))
def test_redacted_line_keeps_its_head_and_its_digests(members: dict[str, object]) -> None:
    whole = line(members)
    made = redacted(whole)
    event = parse(made, PLAIN)
    assert isinstance(event, Event)
    assert digests(made) == digests(whole)
    assert event.members.pop("body_sha256") == digests(whole).body.hex()
    head = {key: value for key, value in members.items() if key not in BODY}
    kept = event.members.items()
    assert {key: value for key, value in kept if key not in ("crc", "body_sha256")} == head
    assert event.payload == {}
    assert redacted(made) == made


def test_line_that_would_grow_too_long_by_its_redaction_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="no room"):
        redacted(closed(LAST.replace("nightly", "n" * (1024 * 1024 - len(LAST) - 20))))


def test_of_lines_of_one_id_a_verified_one_counts_first_and_then_the_smaller_digest():
    lines = [line_of({"n": n}, event_id="A").rstrip(b"\n") for n in range(9)]
    foreign = event_of(b'{"event_id":"A","event_type":"noted"}')
    ordered = sorted([foreign, *map(event_of, lines)], key=claim_order)
    assert [event.line for event in ordered[:-1]] == sorted(lines, key=lambda x: digests(x).line)
    assert ordered[-1] is foreign
    assert sorted(lines) != sorted(lines, key=lambda x: digests(x).line)
