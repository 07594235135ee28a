"""The sending of spans to an endpoint of OTLP/HTTP, as protobuf.

Batches are bounded in spans and bytes, and each is tried again for a bounded time, as
https://opentelemetry.io/docs/specs/otlp/#otlphttp-response has it. No redirect is followed, so that
headers reach no other host, and no error shows them.
"""

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from thence.errors import InvalidEvent, SyncRefused, needs_extra

SPANS_MAX = 512
BATCH_BYTES_MAX = 4 * 1024 * 1024
WAIT_S = 30.0
_REQUEST_S = 10.0
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.2, 5.0
_ANSWER_BYTES_MAX = 65_536
_WORDS_CHARACTERS_MAX = 300
_LATER = frozenset((429, 502, 503, 504))
# how a google.rpc.Status in protobuf begins
_STATUS = (b"\x08", b"\x12")
_PATH = "/v1/traces"


class SpansSent(NamedTuple):
    """How many spans an endpoint took and rejected, and what it said last."""

    sent: int = 0
    rejected: int = 0
    message: str = ""


def headers_of(text: str | None) -> dict[str, str]:
    """Reads headers as OTEL_EXPORTER_OTLP_HEADERS has them: `a=b,c=d`, values percent-encoded.

    Raises InvalidEvent, without a word of what they say.
    """
    headers = {}
    for number, pair in enumerate(filter(str.strip, (text or "").split(",")), 1):
        name, equals, value = (part.strip() for part in pair.partition("="))
        value = unquote(value)
        is_token = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if not equals or not is_token or not value.isprintable() or not value.isascii():
            cause = f"part {number} is not NAME=VALUE of printable ASCII"
            raise _refused("OTEL_EXPORTER_OTLP_HEADERS", cause)
        headers[name] = value
    return headers


def batches(spans: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yields spans in groups of at most 512, and of 4 MiB unless one alone is larger."""
    batch: list[dict[str, Any]] = []
    size_bytes = 0
    for span in spans:
        span_bytes = len(msgspec.json.encode(span))
        if batch and (len(batch) == SPANS_MAX or size_bytes + span_bytes > BATCH_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(span)
        size_bytes += span_bytes
    if batch:
        yield batch


class Sender:
    """Sends batches to an endpoint, each by a connection of its own, and counts what it took.

    While it does not answer, or says that it can't now, a batch is sent again for `wait_s`
    seconds. It may have taken a batch whose answer was lost: then it gets the same spans twice,
    with the same ids.
    """

    def __init__(self, url: str, headers: Mapping[str, str], wait_s: float = WAIT_S) -> None:
        """Raises InvalidEvent for an address that is none, ExtraMissing without protobuf.

        `place` is the address without a query, which may be a secret.
        """
        is_plain = url.isascii() and url.isprintable() and " " not in url
        try:
            parts = urlsplit(url)
            is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            is_good = is_good and "@" not in parts.netloc
        except ValueError:
            is_good = False
        if not is_good or not is_plain:
            cause = "it is not http://HOST[:PORT][/PATH] without a password"
            raise _refused("the endpoint", cause)
        # without a path it is that of traces
        path = parts.path if parts.path not in ("", "/") else _PATH
        self._url = parts._replace(path=path, fragment="")
        self.place = self._url._replace(query="").geturl()
        words = [word for text in headers.values() for word in text.split()]
        self._secrets = [*headers.values(), *(word for word in words if len(word) >= 8)]
        form = {"Content-Type": "application/x-protobuf"}
        self._headers = {"User-Agent": "thence", **headers, **form}
        self._wait_s = wait_s
        with needs_extra("otel", "what sends spans"):
            from thence.trace.otlp import protobuf
        self._form = protobuf
        self.outcome = SpansSent()

    def send(
        self, trace: dict[str, Any], count: int, pause: Callable[[float], object] = sleep
    ) -> None:
        """Sends one batch of `count` spans, as `trace_of` makes it.

        Raises SyncRefused, `batch_refused` where the endpoint will not take it and
        `server_unreachable` without an answer in time; each tells how many spans it had taken.
        """
        end_s, pause_s = monotonic() + self._wait_s, _PAUSE_MIN_S
        body = self._form.request_of(trace)
        while True:
            status, answer, after_s = self._tried(body)
            if 200 <= status < 300:
                sent, rejected, message = self.outcome
                new_count, text = 0, ""
                with suppress(self._form.DecodeError):  # it was taken, whatever the answer's form
                    new_count, text = self._form.partial_success_of(answer)
                new_count = min(max(new_count, 0), count)
                message = self._said(text.encode(errors="replace")).removeprefix(": ") or message
                self.outcome = SpansSent(sent + count - new_count, rejected + new_count, message)
                return
            cause = f"it answered {status}{self._said(answer)}" if status else answer.decode()
            if status and status not in _LATER:
                raise self._failed("batch_refused", cause, _FIX)
            if monotonic() + (after_s or pause_s) > end_s:
                cause = f"{cause}, for {self._wait_s:g} s"
                raise self._failed("server_unreachable", cause, _AGAIN)
            pause(after_s or pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    def _tried(self, body: bytes) -> tuple[int, bytes, float]:
        """Sends a request once: the status, what was said, the wait asked for; 0 without answer."""
        url = self._url
        make, port = (HTTPSConnection, 443) if url.scheme == "https" else (HTTPConnection, 80)
        target = f"{url.path}?{url.query}" if url.query else url.path
        try:
            host = url.hostname or ""
            with closing(make(host, url.port or port, timeout=_REQUEST_S)) as connection:
                connection.request("POST", target, body, self._headers)
                response = connection.getresponse()
                end_s, answer, part = monotonic() + _REQUEST_S, b"", b"-"
                while part and len(answer) < _ANSWER_BYTES_MAX and monotonic() < end_s:
                    part = response.read1(_ANSWER_BYTES_MAX)
                    answer += part
                after = response.getheader("Retry-After", "")
                after_s = float(after) if after.isascii() and after.isdigit() else 0.0
                if answer.startswith(_STATUS):
                    with suppress(self._form.DecodeError):
                        answer = self._form.message_of(answer).encode()
                return response.status, answer[:_ANSWER_BYTES_MAX], after_s
        except ssl.SSLCertVerificationError as error:
            raise self._failed("server_unreachable", error.verify_message, _CERTIFICATE) from error
        except (OSError, HTTPException) as error:
            return 0, (str(error) or type(error).__name__).encode(errors="replace"), 0.0

    def _said(self, answer: bytes) -> str:
        """Returns the beginning of what an endpoint said, in one line, without our headers."""
        text = " ".join(answer.decode(errors="replace").split())
        for secret in filter(None, self._secrets):
            text = text.replace(secret, "…")
        return f": {text[:_WORDS_CHARACTERS_MAX]}" if text else ""

    def _failed(self, code: str, cause: str, hint: str) -> SyncRefused:
        place = f"to {self.place}, after {self.outcome.sent:,} spans that it took"
        return SyncRefused("could not send spans", place=place, cause=cause, hint=hint, code=code)


_FIX = "look at the address and its headers, and at what the collector logged"
_CERTIFICATE = "for its own certificate: SSL_CERT_FILE=FILE names those to trust"
_AGAIN = "start the collector or correct the address; sending all again keeps the ids"


def _refused(place: str, cause: str) -> InvalidEvent:
    hint = "name it as http://HOST:4318, and headers as OTEL_EXPORTER_OTLP_HEADERS='name=value'"
    return InvalidEvent("could not send spans", place=f"to {place}", cause=cause, hint=hint)
