"""The sentence of each kind of event, approved as a whole: `THENCE_APPROVE=1` writes it anew.

`sentences.txt` holds headings, `# title: vocabulary {members that its events share}`, and below
each the events, `type {members}`. Under an event are its sentence and, where they differ, its
sentence in columns (`|`) and its sentence in a tree (`>`).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.events import drafted, event_of, stamped

from thence.core.event import Event
from thence.core.sentences import events
from thence.core.vocabulary import PLAIN, SIM, WORK, Vocabulary

FILE = Path(__file__).parent / "sentences.txt"
ID = "01KAG0QV3J0000000144SGTKJP"
VOCABULARIES = {"plain": PLAIN, "sim": SIM, "work": WORK}
LONG = "x\u202e\n" * 700
HOSTILE = (None, 7, -1, 1.5, True, [], {}, "", [7], [{"path": 7}], {"a": {"b": []}}, LONG, "[{")


def told(event_type: str, members: dict[str, Any], vocabulary: Vocabulary) -> Event:
    return event_of(stamped(drafted(ID, event_type, members), 1, 1), vocabulary)


def inputs(text: str) -> Iterator[tuple[str, Event | None]]:
    """Yields each line that is an input, with its event; headings and blank lines have none."""
    vocabulary, shared = PLAIN, {}
    for row in text.splitlines():
        if row.startswith("#"):
            name, _, members = row.partition(": ")[2].partition(" ")
            vocabulary, shared = VOCABULARIES[name], json.loads(members)
        if row.startswith("#") or not row:
            yield row, None
        elif not row.startswith("    "):
            event_type, brace, members = row.partition(" {")
            yield row, told(event_type, shared | json.loads(brace + members), vocabulary)


def sentences(event: Event) -> Iterator[str]:
    """Yields the lines below an event."""
    vocabulary, end = event.vocabulary, f" [{events.short_id(ID)}]"
    summary = vocabulary.summary(event)
    assert vocabulary.sentence(event) == summary + end
    yield f"    {summary}"
    if (in_columns := vocabulary.in_columns(event)) != summary:
        yield f"    | {in_columns}"


def stored() -> list[Event]:
    return [event for _, event in inputs(FILE.read_text("utf-8")) if event is not None]


@pytest.mark.promise("A4b")
def test_each_sentence_is_as_it_was_approved():
    before = FILE.read_text("utf-8")
    rows: list[str] = []
    for row, event in inputs(before):
        rows += [row, *(sentences(event) if event is not None else ())]
    text = "".join(f"{row.rstrip()}\n" for row in rows)
    if os.environ.get("THENCE_APPROVE"):
        FILE.write_text(text, "utf-8")
    else:
        assert text == before, "look at the difference, then THENCE_APPROVE=1"


def test_each_kind_of_event_has_an_approved_sentence():
    kinds = {event.event_type for event in stored()}
    templates = (events.SIM_SENTENCES, events.WORK_SENTENCES, events.NOTICE_SENTENCES)
    for table in (*templates, events._AGENT_SENTENCES):
        assert not table.keys() - kinds


def test_notices_read_the_same_in_every_vocabulary():
    notices = [event for event in stored() if event.event_type.startswith("log.")]
    for event in notices:
        kind = events.NOTICE_ERROR_TYPES[event.event_type.removeprefix("log.")]
        details = {"details": {**event.payload, "error_type": kind}}
        in_work = told(event.event_type, {"payload": event.payload}, WORK)
        texts = {WORK.summary(in_work), SIM.summary(told("SYSTEM", details, SIM))}
        assert texts == {PLAIN.summary(event)}


def test_members_of_any_form_make_a_short_sentence():
    for event in stored():
        members = json.loads(event.line)
        key, body = event.vocabulary.payload_key, event.payload
        places = body.get("attributes") or body
        for name in places:
            for value in HOSTILE:
                changed = {**places, name: value}
                changed = {**body, "attributes": changed} if "attributes" in body else changed
                whole = {"actor": members.get("actor"), "source": members.get("source")}
                again = told(event.event_type, {**whole, key: changed}, event.vocabulary)
                longest = max(map(len, sentences(again)))
                assert longest <= events.SENTENCE_CHARACTERS_MAX + len("    > ")
