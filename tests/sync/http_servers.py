"""Small servers on free loopback ports, as threads: one keeps to the wire, one does not."""

import gzip
import json
import socket
import threading
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import msgspec

from thence.errors import SyncRefused
from thence.sync.wire.messages import Cursors, joined

USERS = {"ada": "blue whale", "ben": "red fox"}
TEAM = "atlas"
BOMB = gzip.compress(b" " * 200_000_000, 1)
HTML = b"<html><body>Please accept the terms of this network</body></html>"


class TeamServer:
    """Logins, and the four questions about logs, answered by `logs[name]` as far as there is one.

    `overrides[path]` is the (status, headers, body) of all answers to a path, or makes it; without
    a status the connection ends.
    """

    def __init__(self, make_log=None):
        self.logs = defaultdict(make_log) if make_log else {}
        self.team = TEAM
        self.overrides = {}
        self.requests = []
        self.access = {}
        self.refresh = {}
        self.refreshes = 0
        self.kinds = {}
        self._count = 0
        self._mutex = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def paths(self):
        return [path for _, path, _, _, _ in self.requests]

    def expire(self):
        """Make the server forget all access tokens."""
        self.access.clear()

    def tokens(self, user):
        with self._mutex:
            self._count += 1
            access, refresh = f"access-{user}-{self._count}", f"refresh-{user}-{self._count}"
            self.access[access] = self.refresh[refresh] = user
        return {
            "access": access,
            "refresh": refresh,
            "access_lifetime": 900,
            "refresh_lifetime": 86_400,
            "team_slug": self.team,
        }

    def answer(self, method, path, query, headers, body):
        """Return status, headers and body."""
        self.requests.append((method, path, query, headers, body))
        if path in self.overrides:
            found = self.overrides[path]
            return found() if callable(found) else found
        if path.startswith("/api/v1/token/"):
            return self._login(path.removeprefix("/api/v1/token/"), json.loads(body))
        if headers.get("Authorization", "").removeprefix("Bearer ") not in self.access:
            return problem(401, "not_logged_in")
        if headers.get("X-Team-Slug") != self.team:
            return problem(403, "no_such_team")
        if not path.startswith("/api/v1/events"):
            return problem(404, "not_found")
        self.kinds[query["log"]] = query["kind"]
        if query["log"] not in self.logs and not isinstance(self.logs, defaultdict):
            return problem(404, "log_unknown")
        return self._ask(path.removeprefix("/api/v1/"), query, body, self.logs[query["log"]])

    def _login(self, path, given):
        if path == "":
            if USERS.get(given["username"]) != given["password"]:
                return problem(401, "bad_login", f"no: {given['password']}")
            return told(200, self.tokens(given["username"]))
        user = self.refresh.pop(given["refresh"], None)
        if path == "revoke/":
            return told(200, {})
        self.refreshes += 1
        return told(200, self.tokens(user)) if user else problem(401, "bad_refresh")

    def _ask(self, path, query, body, log):
        if path == "events":
            try:
                page = log.page(query.get("after", ""), query.get("seen", ""))
            except SyncRefused as refused:
                return problem(409, refused.code)
            return 200, JSON, joined(page.lines, next=page.next, more=page.more)
        if path == "events/batch/":
            batch = msgspec.json.decode(body, type=_Events)
            lines = [bytes(each) for each in batch.events]
            cursors = Cursors(query.get("after", ""), query.get("seen", ""))
            try:
                return told(200, log.batch(lines, batch.nodes, cursors))
            except SyncRefused as refused:
                return problem(409, refused.code)
        digests = [bytes.fromhex(each) for each in json.loads(body)["digests"]]
        if path == "events/missing/":
            return told(200, log.missing(digests))
        return 200, JSON, b'{"events":[' + b",".join(log.lines_of(digests)) + b"]}"


class _Events(msgspec.Struct):
    events: list[msgspec.Raw]
    nodes: list[str] = []


JSON = {"Content-Type": "application/json"}


def told(status, value):
    return status, JSON, msgspec.json.encode(value)


def problem(status, code, text="no"):
    return told(status, {"error": text, "problem": {"code": code, "message": text, "hint": ""}})


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def _serve(self):
            found = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            query = dict(parse_qsl(found.query))
            status, headers, answer = server.answer(
                self.command, found.path, query, dict(self.headers), body
            )
            with suppress(ConnectionError):
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                self.wfile.flush()

        do_GET = do_POST = _serve

        def log_message(self, *_):
            """Leave stderr to the test."""

    return Handler


class HostileServer:
    """A socket that answers all with `answer`.

    `then` is "close", "hold" (say nothing more), "drip" (the answer, byte by byte, for ever),
    "handshake" (a TLS handshake, byte by byte), or "flood" (the answer, then `part` for ever).
    What it does for ever ends with it alone, or by the limit of its client.
    """

    def __init__(self, answer, then="close", part=b""):
        self.answer, self.then, self.part = answer, then, part
        self.asked = threading.Event()
        self._connections = []
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self._threads:
            each.join()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection):
        with connection, suppress(OSError):
            if self.then == "handshake":
                connection.recv(65536)
                self._drip(connection)
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(65536)
                if not part:
                    return
                head += part
            self.head = head
            self.asked.set()
            if self.then == "drip":
                self._drip(connection)
            else:
                connection.sendall(self.answer)
                while self.then == "flood" and not self._ended.is_set():
                    connection.sendall(self.part)
                if self.then == "hold":
                    self._ended.wait()
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):  # bytes that are not read would end it by a reset
                    continue

    def _drip(self, connection):
        at = 0
        while not self._ended.wait(0.02):
            connection.sendall(self.answer[at % len(self.answer) :][:1])
            at += 1


def whole(status, body, *headers, kind="application/json"):
    """Return an answer's bytes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body
