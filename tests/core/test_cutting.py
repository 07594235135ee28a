"""Large values cut out of a draft and put back: the payload is what it was."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import WHEN, drafted

from thence.core.bodies import BodyEntry, BodyMissing, entries_of, put_back
from thence.core.codec import Draft, draft, unnumbered, without_bodies
from thence.core.event import Event, EventFields, decoded
from thence.core.vocabulary import PLAIN, SIM, WORK

AT_LEAST = 256

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=400)
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False) | st.text("é😀x", max_size=500),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text("a~/", max_size=3), inner),
    max_leaves=60,
)
# as tracers write prompts, also with a bracket too many or too few
json_texts = st.builds(
    lambda value, indent, begin, end: json.dumps(value, indent=indent)[begin : end or None],
    st.lists(values, max_size=9) | st.dictionaries(st.text(max_size=3), values, max_size=5),
    st.sampled_from((None, 1)),
    st.sampled_from((0, 0, 1)),
    st.sampled_from((0, 0, -1)),
)
payloads = st.dictionaries(st.text("ab~/é", max_size=4), values | json_texts, max_size=6)


class Kept:
    """The bodies of a draft, as a log would have them."""

    def __init__(self, item: Draft) -> None:
        self._data = {body.digest: body.data for body in item.bodies}

    def value(self, digest: str, size: int) -> bytes:
        assert len(self._data[digest]) == size
        return self._data[digest]


def cut(payload: dict[str, Any], given: dict[str, Any] | None = None) -> Draft:
    item = draft(EventFields("-", "t", 1, WHEN, payload=payload))
    return without_bodies(item, PLAIN, AT_LEAST, given)


def members_of(item: Draft) -> dict[str, Any]:
    return decoded(item.head + item.tail + b"}")


@given(payloads, st.booleans())
def test_payload_that_was_cut_is_put_back_whole(payload, is_given):
    item = cut(payload, payload if is_given else None)
    members = members_of(item)
    entries = entries_of(members)
    assert len(entries) == len(item.bodies)
    whole = members.get("payload", {})
    put_back(whole, entries, Kept(item), decoded)
    assert msgspec.json.encode(whole) == msgspec.json.encode(payload)
    longest = max([len(text) for text in texts(members_of(item).get("payload", {}))], default=0)
    assert longest < AT_LEAST


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def test_event_of_a_draft_has_its_values():
    event = unnumbered(cut({"text": "x" * 300, "n": 1}), PLAIN)
    assert event.payload == {"text": "x" * 300, "n": 1}
    assert event.cut_payload == {"text": "x" * 120, "n": 1}
    with pytest.raises(BodyMissing):
        _ = Event(event.line, None, PLAIN).payload


def test_list_keeps_its_last_item_with_its_texts_cut():
    payload = {"m": [*("x" * 300 for _ in range(3)), {"role": "user", "content": "y" * 300}]}
    assert members_of(cut(payload))["payload"] == {"m": [{"role": "user", "content": "y" * 120}]}
    payload = {"m": [{str(number): "y" * 100 for number in range(20)}]}
    (preview,) = members_of(cut(payload))["payload"]["m"]
    assert preview.startswith('{"0":"yyy')
    assert len(preview) == 120


def test_text_that_is_json_is_kept_in_parts_that_end_where_its_lists_do():
    messages, ends = [], set()
    before = [b"", b""]
    for turn in range(30):
        messages.append({"role": "user", "content": f"{turn} ".ljust(400, "x")})
        asked = json.dumps({"model": "m", "messages": messages, "temperature": 1})
        payload = {"attributes": {"gen_ai.input.messages": json.dumps(messages), "input": asked}}
        one, end_of_one, other, end_of_other = [body.data for body in cut(payload).bodies]
        assert (one + end_of_one).decode() == json.dumps(messages)
        assert (other + end_of_other).decode() == asked
        assert [one.startswith(before[0]), other.startswith(before[1])] == [True, True]
        before = [one, other]
        ends |= {end_of_one, end_of_other}
    assert ends == {b"]", b'], "temperature": 1}'}


def test_size_is_that_of_the_bytes():
    assert not cut({"t": "é" * 127}).bodies
    assert cut({"t": "é" * 128}).bodies
    assert cut({"t": ["x"] * 64}).bodies == cut({"t": ("x",) * 64}).bodies != ()


@pytest.mark.parametrize(("vocabulary", "is_cut"), [(PLAIN, True), (SIM, False), (WORK, False)])
def test_host_decides_whether_its_lines_are_cut(vocabulary, is_cut):
    item = drafted("-", "t", {vocabulary.payload_key: {"t": "x" * 300}}, (), WHEN)
    assert bool(without_bodies(item, vocabulary, AT_LEAST).bodies) is is_cut


def test_entries_that_are_none_count_for_nothing():
    assert entries_of({"bodies": [["/a", "b"]]}) == []
    assert entries_of({"bodies": [["/a", "b", 3]]}) == []
    assert entries_of({"bodies": [["/a", "b" * 64, 3]]}) == [BodyEntry("/a", "b" * 64, 3)]
    assert entries_of({}) == []
