"""What a killed log must still show, judged from its bytes, with nothing of thence's reader.

A problem is told in a sentence; no problem means that the promise was kept.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

Line = tuple[str, dict[str, Any] | None]
Notice = tuple[str, dict[str, Any]]
CRC_BYTES = 18
KINDS = ("recovered", "gap")


def files(folder: Path) -> list[Path]:
    """List the segments, oldest first."""
    return [
        path
        for path in [*sorted(folder.glob("events_*.jsonl")), folder / "events.jsonl"]
        if path.exists()
    ]


def tail(folder: Path) -> tuple[int, bytes]:
    """Return where the last newline of the current segment ends, and what follows it."""
    path = folder / "events.jsonl"
    data = path.read_bytes() if path.exists() else b""
    offset = data.rfind(b"\n") + 1
    return offset, data[offset:]


def is_valid(line: bytes) -> bool:
    return line[-CRC_BYTES:] == b',"crc":"%08x"}' % crc32(line[:-CRC_BYTES])


def events(folder: Path) -> list[Line]:
    """Return the place of each whole line, with its members or None if it is bad."""
    return list(_events(folder))


def _events(folder: Path) -> Iterator[Line]:
    for path in files(folder):
        offset = 0
        for line in path.read_bytes().split(b"\n")[:-1]:
            place = f"{path.name} at {offset}"
            offset += len(line) + 1
            yield place, json.loads(line) if is_valid(line) else None


def problems(
    folder: Path, acknowledged: Collection[str], lines: list[Line] | None = None
) -> list[str]:
    """Judge a log that is whole again: its next writer has appended to it.

    `lines` are its events, for who has read them already.
    """
    found: list[str] = []
    good: list[dict[str, Any]] = []
    for place, members in events(folder) if lines is None else lines:
        if members is None:
            found.append(f"{place}: a line that is not an event")
        else:
            good.append(members)
    found += [f"{path.name} ends in half a line" for path in files(folder) if is_torn(path)]
    times = Counter(members["event_id"] for members in good)
    found += [f"{event_id} stands {n} times" for event_id, n in times.items() if n > 1]
    found += [f"{e} was acknowledged and is lost" for e in acknowledged if e not in times]
    for key in ("seq", "lamport_clock"):
        if [members[key] for members in good] != list(range(1, len(good) + 1)):
            found.append(f"{key} has a gap, a repetition or a step back")
    if len({members["node_id"] for members in good}) > 1:
        found.append("the node changed")
    return found + unreported(folder, good)


def is_torn(path: Path) -> bool:
    data = path.read_bytes()
    return bool(data) and not data.endswith(b"\n")


def unreported(folder: Path, good: list[dict[str, Any]]) -> list[str]:
    """Compare what lies in quarantine with what the notices tell of it, both ways."""
    quarantine = folder / ".thence/quarantine"
    there = {path.name: path.stat().st_size for path in quarantine.glob("*")}
    told = {}
    found = []
    for kind, facts in filter(None, map(notice, good)):
        if kind == "recovered":
            told[Path(facts["quarantine"]).name] = facts["bytes"]
        elif kind not in KINDS:
            found.append(f"a notice tells of {kind}, which no kill brings about")
    return found + mistold(there, told)


def mistold(there: Mapping[str, int], told: Mapping[str, int]) -> list[str]:
    """Compare the sizes of what lies in quarantine, by names, with what notices tell."""
    found = [f"{name} lies in quarantine untold" for name in there.keys() - told.keys()]
    found += [f"a notice tells of {name}, which is gone" for name in told.keys() - there.keys()]
    return found + [
        f"{name} has {there[name]} bytes, its notice says {told[name]}"
        for name in told.keys() & there.keys()
        if told[name] != there[name]
    ]


def notices(lines: list[Line]) -> list[Notice]:
    """Return what a log tells of itself, in order: of which kind, with its facts."""
    return [told for _, members in lines if members and (told := notice(members))]


def notice(members: dict[str, Any]) -> Notice | None:
    """Return the kind of a notice with its facts, None of any other event."""
    event_type = members["event_type"]
    of = {"opening": members["source_id"]} if "source_id" in members else {}
    if event_type.startswith("log."):
        return event_type.removeprefix("log."), members.get("payload", {}) | of
    details = members.get("details", {}) | of
    error_type = details.get("error_type", "") if event_type == "SYSTEM" else ""
    return (error_type.removeprefix("log_"), dict(details)) if error_type else None
