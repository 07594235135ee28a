"""A server as docs/reference/formats/wire.md describes it, in memory and as plain as can be.

It computes digests by itself from members that Python's json takes apart, so that it is a second
reading of the page. A connection to it has the faults of a network.
"""

import json
import re
from hashlib import sha256
from random import Random

from thence.core.redaction import redacted
from thence.errors import SyncRefused
from thence.sync.client import TakenPage
from thence.sync.wire.messages import Cursors, EventVerdict, Missing, NodeOwner, Results

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
        self.owners, self.admins = {}, set()  # the login of each node
        self.redactions = {}  # by the digest of the line: the logins that brought one
        self.refuse = lambda line: None

    def backup(self):
        """Return a server restored from the state of now: another one answers from here on."""
        copy = PlainServer()
        copy.lines, copy.digests = list(self.lines), dict(self.digests)
        copy.epoch, copy.refuse = self.epoch, self.refuse
        copy.redactions = {digest: set(one) for digest, one in self.redactions.items()}
        return copy

    def restore(self, backup):
        self.lines, self.digests = backup.lines, backup.digests
        self.redactions = backup.redactions

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
        return TakenPage(lines, self._cursor(end), end < len(self.lines))

    def missing(self, digests):
        lacking = [digest.hex() for digest in digests if digest not in self.digests]
        return Missing(tuple(lacking), len(self.lines))

    def _may_redact(self, login, line):
        owner = self.owners.get(json.loads(line).get("node_id"))
        return login != "" and (login == owner or login in self.admins)

    def batch(self, lines, nodes=(), cursors=BEGINNING, login=""):
        before = self._number(cursors.after)
        self._number(cursors.seen)
        is_next = before == len(self.lines)
        for node in nodes if login else ():
            self.owners.setdefault(node, login)
        refused = [line for line in lines if not self._may_come(line, login)]
        verdicts = [self._take(line, login, line in refused) for line in lines]
        end = self._cursor(len(self.lines))
        return Results(tuple(verdicts), end if is_next else cursors.after, end)

    def _may_come(self, line, login):
        """Carry out a line if it is a redaction; return False for one that is refused."""
        members = json.loads(line)
        if members["event_type"] != "log.redacted":
            return True
        named = bytes.fromhex(members["payload"]["line_sha256"])
        target = self.digests.get(named)
        if target is None:
            self.redactions.setdefault(named, set()).add(login)
            return True
        head = json.loads(target)
        can_be = "seq" in head and not head["event_type"].startswith("log.")
        if b'"body_sha256"' in target:
            return True
        if not can_be or not self._may_redact(login, target):
            return digest(line) in self.digests
        self.lines[self.lines.index(target)] = self.digests[named] = redacted(target)
        self.redactions.setdefault(named, set()).add(login)
        return True

    def _take(self, line, login, is_refused):
        event_id = json.loads(line)["event_id"]
        if is_refused:
            return EventVerdict(event_id, "rejected", "not yours", "redaction_refused")
        reason = self.refuse(line)
        if reason:
            return EventVerdict(event_id, "rejected", reason, reason)
        found = digest(line)
        if found in self.digests:
            return EventVerdict(event_id, "duplicate")
        is_redacted = any(self._may_redact(one, line) for one in self.redactions.get(found, ()))
        if is_redacted and b'"log.redacted"' not in line:
            line = redacted(line) if b'"seq":' in line else line
        elif b'"body_sha256"' in line and not self._may_redact(login, line):
            return EventVerdict(event_id, "rejected", "no body", "body_missing")
        self.digests[found] = line
        self.lines.append(line)
        return EventVerdict(event_id, "success")

    def node_owner(self, node, login=""):
        owner = self.owners.get(node)
        return NodeOwner(owner, login != "" and (login == owner or login in self.admins))

    def lines_of(self, digests):
        return [self.digests[one] for one in digests if one in self.digests]


class Connection:
    """A login's connection to a server, whose requests and answers get lost by chance."""

    def __init__(self, server, random: Random | None = None, lost=0.0, login=""):
        self.server = server
        self._login = login
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
        return self._asked("batch", lines, nodes, cursors, self._login)

    def lines(self, digests):
        return self._asked("lines_of", digests)

    def node_owner(self, node):
        return self._asked("node_owner", node, self._login)


def line_ids(lines):
    """Return the event ids of lines, in their order."""
    return [re.search(rb'"event_id":"([^"]*)"', line)[1].decode() for line in lines]
