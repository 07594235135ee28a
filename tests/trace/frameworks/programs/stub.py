"""OpenAI's chat completions on loopback: a conversation gets one message after another."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130}


def calling(name: str, call_id: str, **arguments: Any) -> dict[str, Any]:
    """Returns a message that calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def _chunks(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for index, call in enumerate(message.get("tool_calls", ())):
        yield {"tool_calls": [{"index": index, **call}]}
    for word in message.get("content", "").split():
        yield {"content": f"{word} "}


@contextmanager
def serving(messages: Sequence[dict[str, Any]], *, in_turn: bool = False) -> Iterator[str]:
    """Serves the messages by how often the assistant has answered; returns the base URL.

    Requests that never hold an answer get them `in_turn`.
    """
    turns = iter(messages)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answers = sum(one["role"] == "assistant" for one in asked["messages"])
            message = next(turns) if in_turn else messages[answers]
            about = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
            finish = "tool_calls" if "tool_calls" in message else "stop"
            self.send_response(200)
            if not asked.get("stream"):
                full = {"role": "assistant", "content": None, **message}
                choice = {"index": 0, "finish_reason": finish, "message": full}
                body = {**about, "object": "chat.completion", "choices": [choice], "usage": USAGE}
                self._send("application/json", json.dumps(body))
                return
            about["object"] = "chat.completion.chunk"
            choices = [
                {"index": 0, "delta": delta, "finish_reason": None} for delta in _chunks(message)
            ]
            choices.append({"index": 0, "delta": {}, "finish_reason": finish})
            lines = [{**about, "choices": [choice]} for choice in choices]
            lines.append({**about, "choices": [], "usage": USAGE})
            text = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
            self._send("text/event-stream", text + "data: [DONE]\n\n")

        def _send(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
