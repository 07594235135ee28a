"""A server as docs/formats/wire.md describes it, in memory and as plain as can be.

It computes digests by itself from members that Python's json takes apart, so that it is a second
reading of the page. A connection to it has the faults of a network.
"""

import json
import re
from hashlib import sha256
from random import Random

from thence.core.values.digests import redacted
from thence.core.wire.authorship import TeamKeys
from thence.core.wire.messages import BlockPlace, BlocksAnswer, DifferingBlock, EventVerdict
from thence.errors import CursorUnknown, ServerUnreachable
from thence.signing import is_signed
from thence.sync.client import TakenPage

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
        self.lines, self.digests, self.epoch = backup.lines, backup.digests, self.epoch + "'"
        self.own, self.redactions = backup.own, backup.redactions

    def _places(self):
        places = {}
        for found, line in self.digests.items():
            members = json.loads(line)
            seq = members.get("seq")
            place = ("", found[0]) if seq is None else (members["node_id"], (seq - 1) // 1024)
            places.setdefault(place, set()).add(found)
        return places

    # the four questions

    def page(self, after):
        start = 0
        if after:
            epoch, _, number = after.partition(" ")
            start = int(number)
            if epoch != self.epoch or start > len(self.lines):
                raise CursorUnknown("could not pull", cause="another history")
        lines = self.lines[start : start + 1000]
        end = start + len(lines)
        return TakenPage(lines, f"{self.epoch} {end}" if end else after, end < len(self.lines))

    def blocks(self, request):
        theirs = {}
        for node, runs in request.nodes.items():
            for run in runs:
                for index in range(len(run.sums) // 32):
                    block = run.first + index
                    total = run.sums[32 * index : 32 * index + 32]
                    theirs[node, block] = (run.counts.get(str(block), 1024), total)
        ours = {
            place: (
                len(found),
                (sum(map(int.from_bytes, found)) % 2**256).to_bytes(32),
            )
            for place, found in self._places().items()
        }
        differing = [
            DifferingBlock(*place, b"".join(self._places().get(place, ())))
            for place in sorted(ours.keys() | theirs.keys())
            if ours.get(place) != theirs.get(place)
            and (request.after is None or place > (request.after.node, request.after.block))
        ]
        last = differing[1] if len(differing) > 2 else None
        following = BlockPlace(last.node, last.block) if last else None
        end = f"{self.epoch} {len(self.lines)}" if self.lines else ""
        relayed = [
            digest
            for digest, line in self.digests.items()
            if digest not in self.own and request.key == self._owner(line) is not None
        ]
        return BlocksAnswer(tuple(differing[:2]), following, end, b"".join(relayed))

    def _owner(self, line):
        return self.claims.get(json.loads(line).get("node_id", ""))

    def batch(self, lines, digests=(), signer=None):
        assert signer is None or list(digests) == [digest(line) for line in lines]
        key = signer.public_key if signer else ""
        refused = [line for line in lines if not self._may_come(line, key)]
        found = [self._take(line, line in refused) for line in lines]
        if signer:
            self.own.update(digest(line) for line in lines if self._owner(line) == key)
        return found

    def _may_come(self, line, key):
        """Carry out a line if it is a redaction; return False for one that is refused."""
        members = json.loads(line)
        if members["event_type"] != "log.redacted" or digest(line) in self.digests:
            return True
        facts = members["payload"]
        named = bytes.fromhex(facts["line_sha256"])
        text = f"thence redaction 1\n{facts['event_id']} {facts['line_sha256']}".encode()
        if "signature" in facts and is_signed(facts["public_key"], facts["signature"], text):
            key = facts["public_key"]
        target = self.digests.get(named)
        owner = self._owner(target or line)
        head = json.loads(target) if target else {"seq": 1, "event_type": ""}
        can_be = "seq" in head and not head["event_type"].startswith("log.")
        if target is None and "signature" in facts:
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
            raise ServerUnreachable("could not ask", cause="the request got lost")
        answer = getattr(self.server, name)(*given)
        if self._random.random() < self._lost:
            raise ServerUnreachable("could not ask", cause="the answer got lost")
        return answer

    def page(self, after):
        return self._asked("page", after)

    def blocks(self, request):
        return self._asked("blocks", request)

    def batch(self, lines, digests=(), signer=None):
        return self._asked("batch", lines, digests, signer)

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
