"""A model that answers by scripts, on loopback.

It speaks Anthropic's Messages API, OpenAI's Responses and Chat Completions APIs, and Gemini's, all
by server-sent events. The newest text of the conversation with `SCRIPT:name` in it names the
script. A script is a sequence of steps: a text ends the turn, a list of calls asks for these calls.
The ids of calls hold script and step, so that the server keeps no state: an agent that asks again
gets the same answer.
"""

import contextlib
import itertools
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Call = tuple[str, Mapping[str, Any]]  # the tool, and its input
Step = str | Sequence[Call]
Answer = tuple[str, str] | tuple[str, str, Mapping[str, Any]]  # a text, or an id with a call
_SCRIPT = re.compile(r"SCRIPT:([\w-]+)")
_numbers = itertools.count()  # Claude Code takes messages of one id for one
_NO_SCRIPT = "I have nothing to do."


def call_id(script: str, at: int, place: int) -> str:
    """Returns the id of a call: its script, the number of its step, its place in that."""
    return f"call_{script}_{at}_{place}"


class Model(ThreadingHTTPServer):
    """The server; `scripts` may change while it runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripts: dict[str, Sequence[Step]] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, name="model", daemon=True).start()

    def answer(self, texts: Sequence[tuple[str, str]]) -> list[Answer]:
        """Returns the next step of the script that a conversation follows.

        `texts` are its items in order: ("text", …) of a user, ("id", …) of each call.
        """
        names = [name for kind, text in texts if kind == "text" for name in _SCRIPT.findall(text)]
        script = names[-1] if names else ""
        ids = [text.split("_") for kind, text in texts if kind == "id"]
        at = max((int(words[2]) + 1 for words in ids if words[1] == script), default=0)
        step = self.scripts[script][at] if script in self.scripts else _NO_SCRIPT
        if isinstance(step, str):
            return [("text", step)]
        return [(call_id(script, at, place), *call) for place, call in enumerate(step)]


class _Handler(BaseHTTPRequestHandler):
    server: Model
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answers a request for the next message; all else has an empty answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        request = json.loads(body) if body.startswith(b"{") else {}
        if path.endswith("/messages"):
            texts = [*_texts_of_messages(request["messages"])]
            self._stream(_messages_events(self._answer(request, texts)))
        elif path.endswith("/responses"):
            texts = [*_texts_of_items(request["input"])]
            self._stream(_responses_events(self._answer(request, texts)))
        elif path.endswith("/completions"):
            texts = [*_texts_of_chat(request["messages"])]
            self._stream(_chat_chunks(self._answer(request, texts)))
        elif path.endswith(":streamGenerateContent"):
            texts = [*_texts_of_contents(request["contents"])]
            self._stream(_contents(self._answer(request, texts)))
        else:
            self._send("application/json", b'{"input_tokens": 10}')

    def _answer(self, request: Mapping[str, Any], texts: Sequence[tuple[str, str]]) -> list[Answer]:
        """Returns the step; agents ask for titles and the like without tools."""
        return self.server.answer(texts) if request.get("tools") else [("text", "A title")]

    def do_GET(self) -> None:
        """Answers that there is nothing."""
        self._send("application/json", b'{"data": [], "models": []}')

    do_HEAD = do_GET

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, events: Iterator[Mapping[str, Any]]) -> None:
        lines = []
        for event in events:
            lines += [f"event: {event['type']}\n"] if "type" in event else []
            lines.append(f"data: {json.dumps(event)}\n\n")
        self._send("text/event-stream", "".join(lines).encode())

    def handle(self) -> None:
        """Answers requests until the agent closes the connection, or is killed."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing."""


def _texts_of_messages(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for message in messages:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "text" and message["role"] == "user":
                yield "text", block["text"]
            elif block["type"] == "tool_use":
                yield "id", block["id"]


def _texts_of_items(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for item in items:
        if item.get("type", "message") == "message" and item.get("role") == "user":
            yield from (("text", part.get("text", "")) for part in item["content"])
        elif "call_id" in item:
            yield "id", item["call_id"]


def _texts_of_chat(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for message in messages:
        if message["role"] == "user":
            content = message["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            yield from (("text", part.get("text", "")) for part in parts)
        yield from (("id", call["id"]) for call in message.get("tool_calls") or ())


def _texts_of_contents(contents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for part in (part for content in contents for part in content["parts"]):
        if "functionResponse" in part:
            yield "id", part["functionResponse"]["id"]
        else:
            yield "text", part.get("text", "")


def _messages_events(answer: Sequence[Answer]) -> Iterator[Mapping[str, Any]]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    message: dict[str, Any] = {"id": f"msg_{next(_numbers)}", "type": "message"}
    message |= {"role": "assistant"}
    message |= {"content": [], "model": "stub", "stop_reason": None, "usage": usage}
    yield {"type": "message_start", "message": message}
    for index, one in enumerate(answer):
        if len(one) == 2:
            block: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": one[1]}
        else:
            block = {"type": "tool_use", "id": one[0], "name": one[1], "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(one[2])}
        yield {"type": "content_block_start", "index": index, "content_block": block}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "end_turn" if len(answer[0]) == 2 else "tool_use"
    yield {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}
    yield {"type": "message_stop"}


def _responses_events(answer: Sequence[Answer]) -> Iterator[Mapping[str, Any]]:
    name = f"resp_{next(_numbers)}"
    yield {"type": "response.created", "response": {"id": name}}
    for index, one in enumerate(answer):
        if len(one) == 2:
            parts = [{"type": "output_text", "text": one[1], "annotations": []}]
            item = {"type": "message", "role": "assistant", "content": parts}
        elif one[1] == "apply_patch":
            item = {"type": "custom_tool_call", "call_id": one[0], "name": one[1]}
            item |= {"input": one[2]["input"]}
        else:
            namespace, _, tool = one[1].rpartition(".")
            item = {"type": "function_call", "call_id": one[0], "name": tool}
            item |= {"namespace": namespace} if namespace else {}
            item |= {"arguments": json.dumps(one[2])}
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    yield {"type": "response.completed", "response": {"id": name, "usage": usage}}


def _chat_chunks(answer: Sequence[Answer]) -> Iterator[Mapping[str, Any]]:
    calls, text = [], None
    for index, one in enumerate(answer):
        if len(one) == 2:
            text = one[1]
        else:
            function = {"name": one[1], "arguments": json.dumps(one[2])}
            calls.append({"index": index, "id": one[0], "type": "function", "function": function})
    delta = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    chunk = {"id": f"chat_{next(_numbers)}", "object": "chat.completion.chunk", "model": "stub"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    yield {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    reason = "tool_calls" if calls else "stop"
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    yield {**chunk, "choices": [choice], "usage": usage}


def _contents(answer: Sequence[Answer]) -> Iterator[Mapping[str, Any]]:
    parts: list[dict[str, Any]] = []
    for one in answer:
        if len(one) == 2:
            parts.append({"text": one[1]})
        else:
            parts.append({"functionCall": {"id": one[0], "name": one[1], "args": one[2]}})
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    yield {"candidates": [candidate], "usageMetadata": usage}
