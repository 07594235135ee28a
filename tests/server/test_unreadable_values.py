"""Answers go on behind a large value that can't be read, and name its place in the payload."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.server.listening import heard
from tests.server.serving import serving

import thence
from thence.core.codec import close_line
from thence.log.files.segment import BODIES
from thence.server.app import create_app

COUNT = 8
# the event of which the value is lost, and the one whose value has no place in its payload
LOST, MISPLACED = 3, 5
LARGE = [f"{number} {'x' * 2_000}" for number in range(COUNT)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the log `mail`, of which two of eight values can't be read."""
    folder = tmp_path / "root" / "mail"
    with thence.open(folder, bodies_from=1_024) as log:
        cause = None
        for number, text in enumerate(LARGE):
            payload = {"number": number, "in": {"text": text}}
            cause = log.append("told", payload, caused_by=cause)
    bodies = folder / BODIES
    pieces = bodies.read_bytes().splitlines(keepends=True)
    bodies.write_bytes(b"".join(pieces[:LOST] + pieces[LOST + 1 :]))
    segment = folder / "events.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    (at,) = (n for n, line in enumerate(lines) if b'"number":%d' % MISPLACED in line)
    data = lines[at][: -len(',"crc":"00000000"}\n')].replace(b'["/in/text",', b'["/nope/x",')
    lines[at] = close_line(data)
    segment.write_bytes(b"".join(lines))
    shutil.rmtree(folder / ".thence" / "index", ignore_errors=True)
    return folder.parent


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    with TestClient(create_app(root)) as client:
        yield client


def check(events: list[dict[str, Any]]) -> None:
    """Sees that all events are there, and that each says which value can't be read."""
    told = [event for event in events if event["event_type"] == "told"]
    assert [event["payload"]["number"] for event in told] == list(range(COUNT))
    named = {event["payload"]["number"]: event.get("unreadable") for event in told}
    assert {number for number, pointers in named.items() if pointers} == {LOST, MISPLACED}
    assert (named[LOST], named[MISPLACED]) == (["/in/text"], ["/nope/x"])
    for event in told:
        number = event["payload"]["number"]
        text = event["payload"]["in"]["text"]
        is_whole = number not in (LOST, MISPLACED)
        assert text == LARGE[number] if is_whole else LARGE[number].startswith(text)
        assert "bodies" not in event


@pytest.mark.promise("Q5")
def test_pages_and_lines_go_on_behind_values_that_cannot_be_read(client: TestClient) -> None:
    got = client.get("/logs/mail/events")
    assert got.status_code == 200, got.text
    check(got.json()["events"])
    paged: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/logs/mail/events", params={"limit": 2, **cursor}).json()
        paged += page["events"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    check(paged)
    whole = client.get("/logs/mail/events.ndjson")
    check([json.loads(line) for line in whole.text.splitlines()])


def ids(client: TestClient) -> list[str]:
    events = client.get("/logs/mail/events").json()["events"]
    return [event["event_id"] for event in events if event["event_type"] == "told"]


@pytest.mark.promise("Q5")
def test_one_event_and_its_causes_say_which_value_cannot_be_read(client: TestClient) -> None:
    names = ids(client)
    one = client.get(f"/logs/mail/events/{names[LOST]}").json()
    assert one["unreadable"] == ["/in/text"]
    cone = client.get(f"/logs/mail/causality/{names[4]}?depth=20").json()
    check([*cone["upstream"][::-1], cone["event"], *cone["downstream"]])
    why = client.get(f"/logs/mail/why/{names[-1]}")
    assert why.status_code == 200
    check(sorted(why.json()["chain"], key=lambda event: event["payload"]["number"]))


@pytest.mark.promise("Q5")
def test_stream_goes_on_behind_values_that_cannot_be_read(root: Path) -> None:
    with serving(root) as server:
        count = len(server.client.get("/logs/mail/events").json()["events"])
        check([json.loads(one.data) for one in heard(server, "/logs/mail/events/live", count)])


@pytest.mark.promise("Q5")
@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("in.text~7", [7]),
        ("in.text~xx", range(COUNT)),  # of what can't be read the beginning counts
        ("number=3", [3]),
    ],
)
def test_condition_is_judged_where_a_value_cannot_be_read(client, condition, numbers):
    got = client.get("/logs/mail/events", params={"where": condition})
    assert got.status_code == 200, got.text
    assert [event["payload"]["number"] for event in got.json()["events"]] == list(numbers)


def test_page_of_an_event_shows_the_beginning_and_says_so(client: TestClient) -> None:
    names = ids(client)
    for number, pointer in ((LOST, "/in/text"), (MISPLACED, "/nope/x")):
        page = client.get(f"/runs/mail/events/{names[number]}")
        assert page.status_code == 200, page.text
        assert f"Only the beginning of a large value can be read: {pointer}" in page.text
        assert LARGE[number][:50] in page.text
    assert "Only the beginning" not in client.get(f"/runs/mail/events/{names[0]}").text
    page = client.get("/runs/mail")
    assert page.status_code == 200, page.text
