"""A server as docs/reference/formats/wire.md describes it, in memory and as plain as can be.

It redacts nothing and knows no logins: what needs these is tried with a real server.

It computes digests by itself from members that Python's json takes apart, so that it is a second
reading of the page. A connection to it has the faults of a network.
"""

import json
import re
from hashlib import sha256
from random import Random

from thence.errors import SyncRefused
from thence.sync.wire.messages import Cursors, EventVerdict, Missing, PulledPage, Results

BEGINNING = Cursors()
_BODY = ("description", "repairs", "payload", "details", "nonce")


def _raw_members(line: bytes) -> list[tuple[str, bytes]]:
    """Split a line of one object into (key, `"key":value`), by trying where each value ends."""
    text = line.decode()
    found, at = [], 1
    decoder = json.JSONDecoder()
    while text[at] != "}":
        key, end = decoder.raw_decode(text, at)
        _, end = decoder.raw_decode(text, end + 1)
        found.append((key, text[at:end].encode()))
        at = end + (text[end] == ",")
    return found


def digest(line: bytes) -> bytes:
    """Return D, or for a line without numbers the digest of its members."""
    members = _raw_members(line)
    keys = [key for key, _ in members]
    if "seq" not in keys:
        sorted_members = json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))
        return sha256(sorted_members.encode()).digest()
    values = {key: text.split(b":", 1)[1] for key, text in members}
    body = b",".join(text for key, text in members if key in _BODY)
    skipped = (*_BODY, "seq", "lamport_clock", "body_sha256", "crc")
    head = b",".join(text for key, text in members if key not in skipped)
    b = sha256(b"thence body 1\n" + body).hexdigest().encode()
    if "body_sha256" in values:
        b = values["body_sha256"].strip(b'"')
    c = sha256(b"thence content 1\n" + head + b"\n" + b).hexdigest().encode()
    numbers = values["seq"] + b" " + values["lamport_clock"]
    return sha256(b"thence line 1\n" + numbers + b" " + c).digest()


class PlainServer:
    """What one team's server holds of one log: lines in the order of their commits."""

    def __init__(self):
        self.lines = []
        self.digests = {}
        self.epoch = "first"
        self.refuse = lambda line: None

    def backup(self):
        """Return a server restored from the state of now: another one answers from here on."""
        copy = PlainServer()
        copy.lines, copy.digests = list(self.lines), dict(self.digests)
        copy.epoch, copy.refuse = self.epoch, self.refuse
        return copy

    def restore(self, backup):
        self.lines, self.digests = backup.lines, backup.digests

    def _cursor(self, number):
        """Return the cursor behind a line: the digests of all lines up to it are in it."""
        if not number:
            return ""
        digests = [found.hex() for found in list(self.digests)[:number]]
        return f"{self.epoch} {number} {sha256(' '.join(digests).encode()).hexdigest()}"

    def _number(self, cursor):
        middle = cursor.split(" ")[1:2]
        number = int(middle[0]) if middle and middle[0].isdecimal() else 0
        if number > len(self.lines) or cursor != self._cursor(number):
            raise SyncRefused("could not pull", cause="another history", code="cursor_unknown")
        return number

    # the four questions

    def page(self, after, seen=""):
        start = self._number(after)
        self._number(seen)
        lines = self.lines[start : start + 1000]
        end = start + len(lines)
        return PulledPage(lines, self._cursor(end), end < len(self.lines))

    def missing(self, digests):
        lacking = [digest.hex() for digest in digests if digest not in self.digests]
        return Missing(tuple(lacking), len(self.lines))

    def batch(self, lines, nodes=(), cursors=BEGINNING):
        before = self._number(cursors.after)
        self._number(cursors.seen)
        is_next = before == len(self.lines)
        verdicts = [self._take(line) for line in lines]
        end = self._cursor(len(self.lines))
        return Results(tuple(verdicts), end if is_next else cursors.after, end)

    def _take(self, line):
        event_id = json.loads(line)["event_id"]
        reason = self.refuse(line)
        if reason:
            return EventVerdict(event_id, "rejected", reason, reason)
        found = digest(line)
        if found in self.digests:
            return EventVerdict(event_id, "duplicate")
        self.digests[found] = line
        self.lines.append(line)
        return EventVerdict(event_id, "success")

    def lines_of(self, digests):
        return [self.digests[one] for one in digests if one in self.digests]


class Connection:
    """A replica's connection to a server, whose requests and answers get lost by chance."""

    def __init__(self, server, random: Random | None = None, lost=0.0):
        self.server = server
        self._random = random or Random(0)
        self._lost = lost
        self.requests = []

    def _asked(self, name, *given):
        self.requests.append(name)
        if self._random.random() < self._lost:
            raise SyncRefused(
                "could not ask", cause="the request got lost", code="server_unreachable"
            )
        answer = getattr(self.server, name)(*given)
        if self._random.random() < self._lost:
            raise SyncRefused(
                "could not ask", cause="the answer got lost", code="server_unreachable"
            )
        return answer

    def page(self, after, seen=""):
        return self._asked("page", after, seen)

    def batch(self, lines, nodes=(), cursors=BEGINNING):
        return self._asked("batch", lines, nodes, cursors)

    def lines(self, digests):
        return self._asked("lines_of", digests)


def line_ids(lines):
    """Return the event ids of lines, in their order."""
    return [re.search(rb'"event_id":"([^"]*)"', line)[1].decode() for line in lines]
