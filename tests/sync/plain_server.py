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
from thence.sync.wire.messages import Cursors, EventVerdict, Missing, Results
from thence.sync.wire.signatures import TeamKeys
from thence.sync.wire.signing import is_signed

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
        self.claims, self.admins = {}, set()
        self.own = set()  # digests of the lines that the owner of their node pushed
        self.redactions = {}  # by the digest of the line: the key
        self.refuse = lambda line: None

    def backup(self):
        """Return a server restored from the state of now: another one answers from here on."""
        copy = PlainServer()
        copy.lines, copy.digests = list(self.lines), dict(self.digests)
        copy.epoch, copy.refuse = self.epoch, self.refuse
        copy.own, copy.redactions = set(self.own), dict(self.redactions)
        return copy

    def restore(self, backup):
        self.lines, self.digests = backup.lines, backup.digests
        self.own, self.redactions = backup.own, backup.redactions

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

    def page(self, after, seen="", key=""):
        start = self._number(after)
        self._number(seen)
        lines = self.lines[start : start + 1000]
        end = start + len(lines)
        relayed = [
            digest
            for digest, line in self.digests.items()
            if digest not in self.own and key == self._owner(line) is not None
        ]
        return TakenPage(lines, self._cursor(end), end < len(self.lines), relayed)

    def missing(self, digests):
        lacking = [digest.hex() for digest in digests if digest not in self.digests]
        return Missing(tuple(lacking), len(self.lines))

    def _owner(self, line):
        return self.claims.get(json.loads(line).get("node_id", ""))

    def batch(self, lines, digests=(), signer=None, cursors=BEGINNING):
        before = self._number(cursors.after)
        self._number(cursors.seen)
        is_next = before == len(self.lines)
        verdicts = self._verdicts(lines, digests, signer)
        end = self._cursor(len(self.lines))
        return Results(tuple(verdicts), end if is_next else cursors.after, end)

    def _verdicts(self, lines, digests, signer):
        assert signer is None or list(digests) == [digest(line) for line in lines]
        key = signer.public_key if signer else ""
        refused = [line for line in lines if not self._may_come(line)]
        found = [self._take(line, line in refused) for line in lines]
        if signer:
            self.own.update(digest(line) for line in lines if self._owner(line) == key)
        return found

    def _may_come(self, line):
        """Carry out a line if it is a redaction; return False for one that is refused."""
        members = json.loads(line)
        if members["event_type"] != "log.redacted" or digest(line) in self.digests:
            return True
        facts = members["payload"]
        named = bytes.fromhex(facts["line_sha256"])
        text = f"thence redaction 1\n{facts['event_id']} {facts['line_sha256']}".encode()
        key = facts.get("public_key", "")
        if not is_signed(key, facts.get("signature", ""), text):
            return False
        target = self.digests.get(named)
        owner = self._owner(target or line)
        head = json.loads(target) if target else {"seq": 1, "event_type": ""}
        can_be = "seq" in head and not head["event_type"].startswith("log.")
        if target is None:
            owner = key
        if named not in self.redactions and (key not in {owner, *self.admins} or not can_be):
            return False
        self.redactions.setdefault(named, key)
        if target is not None and b'"body_sha256"' not in target:
            form = redacted(target)
            self.lines[self.lines.index(target)] = self.digests[named] = form
        return True

    def _take(self, line, is_refused):
        event_id = json.loads(line)["event_id"]
        if is_refused:
            return EventVerdict(event_id, "rejected", "not yours", "redaction_refused")
        reason = self.refuse(line)
        if reason:
            return EventVerdict(event_id, "rejected", reason, reason)
        found = digest(line)
        if found in self.digests:
            return EventVerdict(event_id, "duplicate")
        is_own_or_admins = self.redactions.get(found) in {self._owner(line), *self.admins}
        if found in self.redactions and is_own_or_admins and b'"log.redacted"' not in line:
            line = redacted(line) if b'"seq":' in line else line
        elif b'"body_sha256"' in line:
            return EventVerdict(event_id, "rejected", "no body", "body_missing")
        self.digests[found] = line
        self.lines.append(line)
        return EventVerdict(event_id, "success")

    def signed(self, digests):
        return [digest for digest in digests if digest in self.own]

    def keys(self):
        return TeamKeys(dict(self.claims), tuple(self.admins))

    def claim(self, public_key, nodes):
        for node in nodes:
            self.claims.setdefault(node, public_key)
        return self.keys()

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

    def page(self, after, seen="", key=""):
        return self._asked("page", after, seen, key)

    def batch(self, lines, digests=(), signer=None, cursors=BEGINNING):
        return self._asked("batch", lines, digests, signer, cursors)

    def lines(self, digests):
        return self._asked("lines_of", digests)

    def signed(self, digests):
        return self._asked("signed", digests)

    def keys(self):
        return self._asked("keys")

    def claim(self, public_key, nodes):
        return self._asked("claim", public_key, nodes)


def line_ids(lines):
    """Return the event ids of lines, in their order."""
    return [re.search(rb'"event_id":"([^"]*)"', line)[1].decode() for line in lines]
