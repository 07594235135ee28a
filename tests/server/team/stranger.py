"""A client of a team's server, written from docs/reference/formats/wire.md and segment.md alone.

It imports nothing of thence.
"""

import gzip
import hashlib
import http.client
import json
import re
import zlib
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlencode


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, whose form is checked."""
        told = self.json
        assert isinstance(told["error"], str)
        assert set(told["problem"]) == {"code", "message", "hint"}
        return str(told["problem"]["code"])


class Client:
    """A client of a server with the tokens of a login; a connection for each request."""

    def __init__(self, address: str) -> None:
        self.host = address.removeprefix("http://")
        self.access = self.refresh = ""
        self.team: str | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Got:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.access:
            given.setdefault("Authorization", f"Bearer {self.access}")
        if self.team is not None:
            given["X-Team-Slug"] = self.team
        connection = http.client.HTTPConnection(self.host, timeout=60)
        with closing(connection):
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            names = {name.lower(): text for name, text in answer.getheaders()}
            data = answer.read()
        if names.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        return Got(answer.status, names, data)

    def post(self, path: str, value: object, **headers: str) -> Got:
        return self.ask("POST", path, json.dumps(value).encode(), **headers)

    def log_in(self, user: str, password: str) -> Any:
        got = self.post("/api/v1/token/", {"username": user, "password": password})
        assert got.status == 200, got.body
        self.access, self.refresh = got.json["access"], got.json["refresh"]
        return got.json

    def push(
        self, log: str, lines: Sequence[bytes], kind: str = "plain", nodes: Sequence[str] = ()
    ) -> Got:
        """Pushes lines as a log does that wrote under some nodes."""
        named = json.dumps(list(nodes)).encode()
        body = b'{"nodes":' + named + b',"events":[' + b",".join(lines) + b"]}"
        path = f"/api/v1/events/batch/?{urlencode({'log': log, 'kind': kind})}"
        return self.ask("POST", path, gzip.compress(body), Content_Encoding="gzip")

    def statuses(
        self, log: str, lines: Sequence[bytes], kind: str = "plain", nodes: Sequence[str] = ()
    ) -> list[str]:
        got = self.push(log, lines, kind, nodes)
        assert got.status == 200, got.body
        return [result["status"] for result in got.json["results"]]

    def page(self, log: str, after: str = "", limit: int = 1000) -> Got:
        query = {"log": log, "limit": limit, **({"after": after} if after else {})}
        return self.ask("GET", f"/api/v1/events?{urlencode(query)}", Accept_Encoding="gzip")

    def pull(self, log: str, limit: int = 1000) -> tuple[list[bytes], str]:
        """Returns all lines of a log as they were sent, and the cursor behind them."""
        taken: list[bytes] = []
        cursor = ""
        while True:
            got = self.page(log, cursor, limit)
            assert got.status == 200, got.body
            taken += split(got.body)
            cursor = got.json["next"]
            if not got.json["more"]:
                return taken, cursor

    def missing(self, log: str, lines: Sequence[bytes]) -> list[bytes]:
        """Returns those of some lines that the server lacks."""
        named = {digest(line).hex(): line for line in lines}
        got = self.post(f"/api/v1/events/missing/?log={log}", {"digests": list(named)})
        assert got.status == 200, got.body
        return [named[name] for name in got.json["digests"]]


def split(body: bytes) -> list[bytes]:
    """Returns the lines of a message as their bytes stand in it."""
    at = body.index(b"[") + 1
    found = []
    while body[at : at + 1] != b"]":
        _, end = json.JSONDecoder().raw_decode(body.decode("latin-1"), at)
        found.append(body[at:end])
        at = end + (body[end : end + 1] == b",")
    return found


def written(
    node: str, seq: int, clock: int, payload: object, event_type: str = "stranger.said"
) -> bytes:
    """Returns a line as segment.md describes it."""
    members = {
        "event_id": f"01K{node.upper()}{seq:011d}",
        "event_type": event_type,
        "event_version": 1,
        "timestamp": "2026-11-20T07:13:00.123456Z",
        "node_id": node,
        "seq": seq,
        "lamport_clock": clock,
        "payload": payload,
    }
    data = json.dumps(members, separators=(",", ":"))[:-1].encode()
    return data + b',"crc":"%08x"}' % zlib.crc32(data)


def digest(line: bytes) -> bytes:
    """Returns D of a line whose members stand in the order of `written`, also of a redacted one."""
    head, _, rest = line[1:].partition(b',"payload":')
    if not rest:
        head, _, rest = line[1:].partition(b',"body_sha256":"')
    seq, clock = re.search(rb',"seq":(\d+),"lamport_clock":(\d+)', head).groups()
    head = re.sub(rb',"seq":\d+,"lamport_clock":\d+', b"", head)
    b = rest[:64]
    if b',"payload":' in line:
        body = b'"payload":' + rest[: rest.rindex(b',"crc":"')]
        b = hashlib.sha256(b"thence body 1\n" + body).hexdigest().encode()
    c = hashlib.sha256(b"thence content 1\n" + head + b"\n" + b).hexdigest().encode()
    return hashlib.sha256(b"thence line 1\n" + seq + b" " + clock + b" " + c).digest()


def redaction(node: str, seq: int, line: bytes) -> bytes:
    """Returns a line that takes the body of another one back."""
    event_id = json.loads(line)["event_id"]
    payload = {"event_id": event_id, "line_sha256": digest(line).hex(), "reason": "a password"}
    return written(node, seq, seq, payload, "log.redacted")
