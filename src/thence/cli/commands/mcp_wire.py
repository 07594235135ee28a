"""The streams of an MCP server before and around the SDK.

The first `initialize` is answered here, for the SDK takes most of a second to import; it handles
the message as well, and its own answer is dropped. The SDK is silent about a message with half of a
surrogate pair, which its parser refuses: that gets an error here.
"""

import io
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Any

# those of the SDK that begin with `initialize`; another one is left to the SDK
PROTOCOL_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
_INVALID_PARAMS = -32602


class Wire:
    """Stands in for sys.stdin and sys.stdout in a block; the first message is read at its begin."""

    def __init__(self, server: Mapping[str, str], instructions: str) -> None:
        self._stdin, self._stdout = sys.stdin, sys.stdout
        self._lock = Lock()
        self._dropped: Any = None
        self._first = self._stdin.buffer.readline()
        message = _parsed(self._first)
        if message.get("method") != "initialize" or not isinstance(message.get("id"), str | int):
            return
        params = message.get("params")
        version = params.get("protocolVersion") if isinstance(params, dict) else None
        if version in PROTOCOL_VERSIONS and not _is_halved(self._first):
            result = {
                "protocolVersion": version,
                "capabilities": {"tools": {"listChanged": False}},
                "serverInfo": server,
                "instructions": instructions,
            }
            self._dropped = message["id"]
            self._write({"jsonrpc": "2.0", "id": self._dropped, "result": result})

    def __enter__(self) -> None:
        """Puts the streams in place."""
        sys.stdin = io.TextIOWrapper(_Lines(self), encoding="utf-8")
        sys.stdout = io.TextIOWrapper(_Messages(self), encoding="utf-8")

    def __exit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        """Puts back those of the process."""
        sys.stdin, sys.stdout = self._stdin, self._stdout

    def line(self) -> bytes:
        """Returns the next message for the SDK, b"" at the end."""
        while line := self._first or self._stdin.buffer.readline():
            self._first = b""
            if not _is_halved(line):
                return line
            text = "half of a surrogate pair is no text; send the whole character, or none"
            error = {"code": _INVALID_PARAMS, "message": text}
            self._write({"jsonrpc": "2.0", "id": _parsed(line).get("id"), "error": error})
        return b""

    def send(self, message: bytes) -> None:
        """Writes a message of the SDK, but for its answer to what was answered already."""
        if self._dropped is not None and _parsed(message).get("id") == self._dropped:
            self._dropped = None
            return
        with self._lock:
            self._stdout.buffer.write(message)
            self._stdout.buffer.flush()

    def _write(self, message: object) -> None:
        with self._lock:
            self._stdout.buffer.write(json.dumps(message).encode() + b"\n")
            self._stdout.buffer.flush()


class _Lines(io.BufferedIOBase):
    """The messages to the SDK, one a read."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        return self._wire.line()


class _Messages(io.BufferedIOBase):
    """The messages of the SDK, each of which is a line."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._rest = wire, b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            self._wire.send(line + b"\n")
        return len(data)


def _parsed(line: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return {}


def _is_halved(line: bytes) -> bool:
    """Reports whether a message has a text with half of a surrogate pair."""
    if b"\\ud" not in line.lower():
        return False
    try:
        json.dumps(_parsed(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
