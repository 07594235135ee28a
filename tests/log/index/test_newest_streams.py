"""The newest streams of a log with their events, as a page of sessions asks for them."""

from pathlib import Path

import thence
from thence.core.new_event import HostEvent
from thence.log.index.overview import newest_streams

TYPES = ("prompt", "call", "call.failed")


def test_newest_streams_come_first_each_with_its_newest_events_in_order(tmp_path: Path) -> None:
    with thence.open(tmp_path / "log") as log:
        for stream in ("a", "b", "a", "c"):
            kinds = ("prompt", "call", "call.failed", "other", "call")
            log.append_many([HostEvent(kind, {"s": stream}, stream=stream) for kind in kinds])
        log.append_many([HostEvent("prompt"), HostEvent("call", stream="without")])
        events = list(log.read())
        index = log.index()

        def asked(streams_max: int, events_max: int, prompts: int = 9):
            streams, read = newest_streams(
                index, TYPES, streams_max, events_max, {"prompt": prompts}
            )
            return {one.name: (one.events, one.is_cut) for one in streams}, read

        every = {
            stream: [
                (arrival, event.event_type, event.event_type == "call.failed")
                for arrival, event in enumerate(events, 1)
                if event.stream == stream and event.event_type in TYPES
            ]
            for stream in "abc"
        }
        streams, read = asked(9, 99)
        assert [*streams] == ["c", "a", "b"]
        assert streams == {name: (rows, False) for name, rows in every.items()}
        assert read == {
            arrival: events[arrival - 1]
            for rows in every.values()
            for arrival, kind, _ in rows
            if kind == "prompt"
        }
        streams, read = asked(2, 5, prompts=1)
        assert streams == {"c": (every["c"], False), "a": (every["a"][-5:], True)}
        assert [*read] == [every["c"][0][0], every["a"][4][0]]
