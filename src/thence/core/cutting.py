"""The cutting of large values out of a draft: its line keeps the beginning of each.

What is cut out goes with the draft as its bodies. Maps are looked through at any depth; a list is
one value with all that it holds.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from thence.core.bodies import Body, BodyEntry, as_bytes, body_of, parts_of, pointer_part
from thence.core.codec import Draft, encode, refuse_too_large
from thence.core.event import decoded, raw_members
from thence.core.json_values import shorten
from thence.core.vocabulary import Vocabulary

BODIES_FROM = 1024
# a smaller value would take more room in its line, by its digest, than it gives up
BODIES_FROM_MIN = 256
PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
_PREVIEW_CHARACTERS = 120
_PREVIEW_BYTES_MAX = 512


def without_bodies(
    item: Draft, vocabulary: Vocabulary, at_least: int, payload: Mapping[str, Any] | None = None
) -> Draft:
    """Returns a draft whose texts and lists of `at_least` bytes are its bodies, texts in parts.

    Those of a host whose lines stay whole are none. The payload is a draft's last member; `payload`
    is its value, where the caller has it. Raises EventTooLarge for a line over 1 MiB that is left.
    """
    sign, key = vocabulary.cuts_lines_with, vocabulary.payload_key
    if len(item.tail) < at_least or sign is None or sign not in item.tail:
        refuse_too_large(item.event_id, len(item.head) + len(item.tail))
        return item
    if payload is None:
        payload = decoded(_raw(item, key))
    entries: list[BodyEntry] = []
    bodies: list[Body] = []
    cut = _cut(payload, "", at_least, entries, bodies)
    if bodies:
        size = memoryview(_raw(item, key)).nbytes
        tail = b'%b%b,"bodies":%b' % (item.tail[:-size], encode(cut), encode(entries))
        item = Draft(item.event_id, item.head, tail, tuple(bodies))
    refuse_too_large(item.event_id, len(item.head) + len(item.tail))
    return item


def line_bytes(payload: Mapping[str, Any], at_least: int = BODIES_FROM) -> int:
    """Returns the bytes of a payload that stay in its line when its large values are cut out."""
    entries: list[BodyEntry] = []
    return len(encode(_cut(payload, "", at_least, entries, []))) + len(encode(entries))


def _raw(item: Draft, key: str) -> msgspec.Raw:
    """Returns the bytes of a draft's payload, its last member."""
    return raw_members(b"{%b}" % item.tail[1:]).get(key, msgspec.Raw(b"{}"))


def _cut(
    mapping: Mapping[str, Any],
    pointer: str,
    at_least: int,
    entries: list[BodyEntry],
    bodies: list[Body],
) -> Mapping[str, Any]:
    """Returns a map with its large values cut, itself if there are none; extends the lists."""
    changed: dict[str, Any] = {}
    for key, value in mapping.items():
        preview: Any = None
        if isinstance(value, str):
            if len(value) * 4 < at_least:  # UTF-8 takes 4 bytes a character at most
                continue
            data = as_bytes(value)
            preview = value[:_PREVIEW_CHARACTERS]
        elif isinstance(value, (list, tuple)):
            data = as_bytes(value, encode)
            if len(data) >= at_least:
                # the last item with its texts cut, or the beginning of its JSON
                last, _ = shorten(value[-1], _PREVIEW_CHARACTERS)
                text = b"" if isinstance(last, (str, int, float)) else encode(last)
                is_short = len(text) <= _PREVIEW_BYTES_MAX
                preview = [last if is_short else text.decode()[:_PREVIEW_CHARACTERS]]
        elif isinstance(value, Mapping):
            inner = _cut(value, pointer + pointer_part(key), at_least, entries, bodies)
            if inner is not value:
                changed[key] = inner
            continue
        if preview is not None and len(data) >= at_least:
            for part in parts_of(value, data):
                body = body_of(part)
                bodies.append(body)
                entries.append(BodyEntry(pointer + pointer_part(key), body.digest, len(part)))
            changed[key] = preview
    return {**mapping, **changed} if changed else mapping
