"""The messages of an MCP server on their way to the SDK and from it.

The first `initialize` is answered here, for the SDK takes most of a second to import; it gets the
message as well, and its own answer is dropped. About a message with half of a surrogate pair, which
its parser refuses, the SDK is silent: that gets an error here.
"""

import io
import json
from contextlib import suppress
from threading import Lock
from typing import Any, BinaryIO

# those of the SDK that begin with `initialize`; the SDK answers for any other
PROTOCOL_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
_INVALID_PARAMS = -32602
_HALVED = "half of a surrogate pair is not text: send the whole character, or none"


class Wire(io.BufferedIOBase):
    """The buffer of both stdin and stdout for the SDK; `greeting` answers the first message."""

    name = "mcp"

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO, greeting: dict[str, Any]) -> None:
        self._stdin, self._stdout, self._lock = stdin, stdout, Lock()
        self._dropped, self._rest = None, b""
        self._first = stdin.readline()
        message = _parsed(self._first)
        params = message.get("params")
        version = params.get("protocolVersion") if isinstance(params, dict) else None
        is_begin = message.get("method") == "initialize" and version in PROTOCOL_VERSIONS
        if is_begin and isinstance(message.get("id"), str | int) and not _is_halved(self._first):
            self._dropped = message["id"]
            self._answer(self._dropped, result={"protocolVersion": version, **greeting})

    def readable(self) -> bool:
        """Returns True."""
        return True

    def writable(self) -> bool:
        """Returns True."""
        return True

    def read1(self, size: int = -1, /) -> bytes:
        """Returns the next message for the SDK, b"" at the end."""
        while line := self._first or self._stdin.readline():
            self._first = b""
            if not _is_halved(line):
                return line
            error = {"code": _INVALID_PARAMS, "message": _HALVED}
            self._answer(_parsed(line).get("id"), error=error)
        return b""

    def write(self, data: Any, /) -> int:
        """Writes messages of the SDK, but for its answer to what was answered already."""
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            if self._dropped is not None and _parsed(line).get("id") == self._dropped:
                self._dropped = None
            else:
                self._send(line)
        return len(data)

    def _answer(self, number: Any, **members: object) -> None:
        self._send(json.dumps({"jsonrpc": "2.0", "id": number, **members}).encode())

    def _send(self, line: bytes) -> None:
        with self._lock:
            self._stdout.write(line + b"\n")
            self._stdout.flush()


def _parsed(line: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        message = json.loads(line)
        return message if isinstance(message, dict) else {}
    return {}


def _is_halved(line: bytes) -> bool:
    """Reports whether a message has a text with half of a surrogate pair."""
    if b"\\ud" in line.lower():
        try:
            json.dumps(_parsed(line), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return True
    return False
