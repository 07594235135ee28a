"""A client as other tools have one: it brings a queue of events in batches, and takes none.

It is written for the published batch endpoint, with the standard library alone, and knows nothing
of logs, lines or digests.
"""

import gzip
import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

BATCH_EVENTS_MAX = 1_000


class BatchClient:
    """A user's queue of events for a server; `failed` are those that go again, with the reason."""

    def __init__(self, url: str, ca_file: str) -> None:
        self._url = urlsplit(url)
        self._context = ssl.create_default_context(cafile=ca_file)
        self._tokens: dict[str, Any] = {}
        self.queue: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}

    def log_in(self, username: str, password: str) -> None:
        status, answer = self._post(
            "/api/v1/token/", {"username": username, "password": password}, is_packed=False
        )
        if status != 200:
            raise PermissionError(answer["error"])
        self._tokens = answer

    def send(self) -> int:
        """Sends a batch; takes what was delivered off the queue and returns how many that are."""
        batch = self.queue[:BATCH_EVENTS_MAX]
        status, answer = self._post("/api/v1/events/batch/", {"events": batch})
        if status == 400:
            assert isinstance(answer["error"], str)
            self.failed = {each["event_id"]: each["error"] for each in answer["details"]}
            return 0
        if status != 200:
            raise ConnectionError(answer["error"])
        delivered = set()
        for result in answer["results"]:
            if result["status"] in ("success", "duplicate"):
                delivered.add(result["event_id"])
            else:  # rejected, and whatever a later server says
                reason = result.get("error_message") or result.get("error") or result["status"]
                self.failed[result["event_id"]] = reason
        self.queue = [event for event in self.queue if event["event_id"] not in delivered]
        return len(delivered)

    def _post(self, path: str, value: object, is_packed: bool = True) -> tuple[int, Any]:
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json"}
        if is_packed:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        if self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens['access']}"
        host, port = self._url.hostname, self._url.port
        connection = http.client.HTTPSConnection(
            host or "", port, timeout=60, context=self._context
        )
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()
