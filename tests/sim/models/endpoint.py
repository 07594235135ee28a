"""An endpoint of models on this machine, which answers by a script or misbehaves by name.

    with Endpoint(lambda body: body["messages"][-1]["content"]) as endpoint:
        ...  # endpoint.base_url, endpoint.requests, endpoint.in_flight_max

A script takes a request's body and returns the answer's text or a Reply. `Endpoint(fault="html")`
misbehaves by a name of FAULTS, `faults` times, and answers by its script afterwards.
"""

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

TOO_LARGE_BYTES = 64 * 1024 * 1024


class Reply(NamedTuple):
    """What is sent: a status, a body (a mapping as JSON), headers; or bytes as they are."""

    body: Mapping[str, Any] | str | bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {}
    delay_s: float = 0.0
    # sent in place of a response, before the connection ends
    raw: bytes | None = None
    # the connection stays open, and nothing comes any more
    hangs: bool = False
    # seconds between the bytes of the body
    drip_s: float = 0.0


class Received(NamedTuple):
    """A request as it came: its path, its headers in lower case, its body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Script = Callable[[dict[str, Any]], "str | Reply"]


def completion(text: object, **changes: Any) -> dict[str, Any]:
    """Returns the body of a good answer; `changes` are of the message, or its finish_reason."""
    finish_reason = changes.pop("finish_reason", "stop")
    message = {"role": "assistant", "content": text, **changes}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "qwen",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }


def _error(words: str, status: int, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply({"error": {"message": words, "code": "any"}}, status, named)


def _faults() -> dict[str, Reply]:
    good = json.dumps(completion("yes")).encode()
    html = "<html><body>Log in to the network</body></html>"
    call = {"id": "1", "type": "function", "function": {"name": "give", "arguments": "{}"}}
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    return {
        "slow": Reply(good, drip_s=0.002),
        "cut": Reply(completion("I give Ann", finish_reason="length")),
        "429_retry_after": _error("slow down", 429, retry_after="0.2"),
        "429": _error("slow down", 429),
        "503_retry_after": _error("loading", 503, retry_after="0.2"),
        "500": _error("it broke", 500),
        "html": Reply(html, headers={"content-type": "text/html"}),
        "packed": Reply(gzip.compress(good), headers={"content-encoding": "gzip"}),
        "half_json": Reply(good[: len(good) // 2]),
        "prose": Reply(completion('Sure! Here it is: {"a": 1}. Anything else?')),
        "wrong_schema": Reply(completion('{"other": true}')),
        "empty": Reply(completion("")),
        "no_choices": Reply({**completion("yes"), "choices": []}),
        "parts": Reply(completion([{"type": "text", "text": "yes"}])),
        "huge": Reply(raw=head + b"content-length: %d\r\n\r\n" % TOO_LARGE_BYTES + b" " * 2**23),
        "huge_chunked": Reply(
            raw=head
            + b"transfer-encoding: chunked\r\n\r\n"
            + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 128
        ),
        "never": Reply(hangs=True),
        "closing": Reply(raw=b""),
        "closing_midway": Reply(raw=head + b"content-length: 900\r\n\r\n" + good[:50]),
        "doubled": Reply(good + good),
        "broken_unicode": Reply(good.replace(b"yes", b"y\xff\xfes")),
        "lone_surrogate": Reply(good.replace(b"yes", b"y\\ud800s")),
        "two_tool_calls": Reply(
            completion(None, tool_calls=[call, call], finish_reason="tool_calls")
        ),
        "refusal": Reply(completion(None, refusal="I can't help with that.")),
        "wrong_model": _error("the model `qwen` does not exist", 404),
        "redirect": Reply(status=307, headers={"location": "http://other.invalid/v1"}),
        "changed_model": Reply({**completion("yes"), "model": "qwen-2"}),
        "expired_key": _error("the key KEY has expired", 401),
        "bad_request": _error("messages are too long", 400),
        "no_http": Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"),
    }


FAULTS = _faults()


class Endpoint:
    """A server in a thread of its own, on a free port of the loopback interface.

    `requests` are all that came, in their order, over `connections`; `in_flight_max` is how many
    were unanswered at once. With `delay_s` each answer of the script waits for so long. The fault
    ends once `is_well` is set.
    """

    def __init__(
        self,
        script: Script = lambda body: "yes",
        *,
        fault: str | None = None,
        faults: int | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.requests: list[Received] = []
        self.in_flight_max = 0
        self.in_flight = 0
        self.connections = 0
        self.base_url = ""
        self.is_well = False
        self._script = script
        self._fault = FAULTS[fault] if fault else None
        self._faults = faults
        self._delay_s = delay_s
        self._ready = threading.Event()
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event

    def __enter__(self) -> "Endpoint":
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def wait_for(self, requests: int) -> None:
        """Waits until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= requests, 60)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = asyncio.ensure_future(self._converse(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1_000)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._ended.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.transport.abort() if self._ended.is_set() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; returns False where the connection ends with it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): text.strip() for name, _, text in pairs}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
        with self._came:
            self.requests.append(Received(head[0].split()[1], headers, body))
            self._came.notify_all()
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            return await self._send(writer, self._reply(body))
        finally:
            self.in_flight -= 1

    def _reply(self, body: dict[str, Any]) -> Reply:
        if self._fault is not None and self._faults != 0 and not self.is_well:
            self._faults = None if self._faults is None else self._faults - 1
            return self._fault
        answer = self._script(body)
        if isinstance(answer, Reply):
            return answer
        return Reply(completion(answer), delay_s=self._delay_s)

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        await asyncio.sleep(reply.delay_s)
        if reply.hangs:
            await self._ended.wait()
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        content = reply.body
        if isinstance(content, Mapping):
            content = json.dumps(content)
        data = content.encode() if isinstance(content, str) else content
        headers = {"content-type": "application/json", **reply.headers, "content-length": len(data)}
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} Any\r\n{lines}\r\n".encode())
        parts = [data[at : at + 1] for at in range(len(data))] if reply.drip_s else [data]
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(reply.drip_s)
        return True
