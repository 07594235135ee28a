"""The client of a model's endpoint: one request, one answer, whatever the endpoint does.

It speaks OpenAI's `POST /chat/completions`, without streaming, and `/embeddings`. A key comes from
an environment variable, goes to the endpoint's own address alone, and stands in no error.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

import msgspec
from msgspec.structs import replace

from thence.core.ready import ready
from thence.errors import ThenceError, Words, needs_extra
from thence.sim.models.completions import Completion, Embeddings
from thence.sim.models.limits import ModelsUnavailable, RequestLimits, chance
from thence.sim.models.settings import EndpointSettings
from thence.sim.record.loggers import logger

if TYPE_CHECKING:
    import httpx2

ANSWER_BYTES_MAX = 4 * 1024 * 1024
PAUSE_S_MAX = 60.0
# an endpoint is down after so many calls in a row without an answer, or when none of its answers
# has come for so many times the seconds of a request
FAILED_CALLS_MAX = 5
SILENT_TIMES = 2
_BACKOFFS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_CONNECT_S = 10.0
_WORDS_CHARACTERS_MAX = 200
_SECRET_MIN = 8
_SILENT = frozenset(("connection", "server_error", "timeout", "unreachable"))
# reasons that the next request may not meet; what was paid for is asked again once
_PASSING = _SILENT | {"chance", "no_choices", "not_json", "rate_limited"}
# reasons of answers that were read
_READ = frozenset(("cut", "empty", "refusal"))
# no right, no credit, no such model or address: no other call has it
_FINAL_STATUSES = (401, 402, 403, 404)
_STATUSES = {408: "server_error", 409: "server_error", 429: "rate_limited"}
_SCHEMA_REFUSED = (400, 422)
# a 400 of this answer alone, such as Groq's json_validate_failed, and one that speaks of the format
_CHANCE = re.compile(rb"json_validate_failed|failed_generation", re.IGNORECASE)
_FORMAT = re.compile(r"response.?format|schema|structured|grammar|\bstrict\b", re.IGNORECASE)
_LOADING = 503  # of a model that is not ready yet, which is waited for
_FILTERED = re.compile(r"filter|safety|refus|prohibited|blocklist|guardrail", re.IGNORECASE)
# codes of errors that are judged as if they were the status
_ERROR_STATUSES = range(400, 600)
_HINT = "start it or correct its settings, which the run's config.json holds, then resume"
_INSTRUCTION = "\n\nAnswer with JSON that fits this JSON Schema, and with nothing else:\n"


class ModelRequest(msgspec.Struct, frozen=True):
    """What a model is asked: messages of `role` and `content`, and the answer's JSON Schema.

    `terms` are what this request says besides, such as a seed of its own. With `embeds` it asks for
    the vector of this text instead.
    """

    messages: tuple[Mapping[str, str], ...] = ()
    schema: Mapping[str, Any] | None = None
    terms: Mapping[str, Any] = {}
    embeds: str = ""


SchemaMode = Literal["enforced", "in words", ""]


def sent_messages(request: ModelRequest, mode: SchemaMode) -> Sequence[Mapping[str, str]]:
    """Returns the messages as they are sent; a schema in words stands behind the last one."""
    if mode != "in words" or request.schema is None:
        return request.messages
    *earlier, last = request.messages
    words = _INSTRUCTION + msgspec.json.encode(request.schema).decode()
    return (*earlier, {**last, "content": last["content"] + words})


class Attempt(msgspec.Struct, frozen=True):
    """One request without a usable answer; `status` is that of HTTP, None without one.

    Where an error comes with status 200, `status` is the code of that error, from 400 to 599.

    `reason` is one of bad_request, chance (a fault of this answer alone), connection, cut, empty,
    no_choices, not_json, rate_limited, redirect, refusal, server_error, timeout, too_large,
    unreachable; `detail` says more. `schema_mode` is how the request held the schema, "" for none.
    The next request came `waited_s` later. `answer` is what was paid for before it.
    """

    status: int | None
    reason: str
    waited_s: float = 0.0
    detail: str = ""
    schema_mode: SchemaMode = ""
    answer: "ModelAnswer | None" = None


class ModelAnswer(msgspec.Struct, frozen=True):
    """An answer: its text, the model as the endpoint names it, and what it took.

    Tokens are what the endpoint reports, None where it reports none; so is a cost without tokens or
    prices. `latency_s` is that of the request that was answered, `attempts` are those before it.
    `schema_mode` is how that request held the schema, "" for none.
    """

    text: str
    model: str
    tokens_in: int | None
    tokens_out: int | None
    tokens_cached: int | None
    latency_s: float
    cost: float | None
    attempts: tuple[Attempt, ...] = ()
    schema_mode: SchemaMode = ""


class ModelCallFailed(ThenceError):
    """Error: a model's endpoint gave no answer that can be used to one call.

    `attempts` are the requests that were sent, each with its reason; `answer` is the answer that
    was paid for and can't be used, None if there was none.
    """

    def __init__(
        self,
        operation: str,
        *,
        attempts: Sequence["Attempt"] = (),
        answer: "ModelAnswer | None" = None,
        **words: Unpack[Words],
    ) -> None:
        super().__init__(operation, **words)
        self.attempts = tuple(attempts)
        self.answer = answer


class Budget(msgspec.Struct, kw_only=True):
    """The limits of one run over all its endpoints, and the requests and the cost that are spent.

    `max_calls` counts each request, also one that is sent again. Calls that go on when `max_cost`
    is reached are ended, and paid. `unpriced` counts paid answers of unknown cost: with one of them
    no `max_cost` can be kept.
    """

    max_calls: int | None = None
    max_cost: float | None = None
    requests: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def pay(self, answer: "ModelAnswer") -> None:
        """Counts the cost of an answer."""
        self.cost += answer.cost or 0.0
        self.unpriced += answer.cost is None

    def take_request(self) -> None:
        """Counts a request that is sent; raises `budget_spent` for one beyond the limits."""
        hint = "resume the run with a higher limit, --max-calls or --max-cost"
        if self.max_calls is not None and self.requests >= self.max_calls:
            cause = f"max_calls is {self.max_calls}"
            option = f"--max-calls {2 * self.max_calls or 100}"
        elif self.max_cost is not None and not self.cost < self.max_cost:  # nor of nan
            cause = f"{self.cost:g} is spent, max_cost is {self.max_cost:g}"
            option = f"--max-cost {2 * self.max_cost or 1:g}"
        elif self.max_cost is not None and self.unpriced:
            cause = f"max_cost can't be kept: answers report no tokens ({self.unpriced} so far)"
            option = "--max-cost inf"
            hint = f"let the endpoint report usage, or resume the run with {option}"
        else:
            self.requests += 1
            return
        what, code = "could not ask a model", "budget_spent"
        error = ModelsUnavailable(what, cause=cause, hint=hint, code=code)
        error.option = option
        raise error


_Body = type[Completion] | type[Embeddings]
_decoders: Mapping[_Body, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(ready(kind)) for kind in (Completion, Embeddings)
}


class _Failure(Exception):
    """A request without a usable answer; an `answer` that can't be used was paid for."""

    def __init__(self, attempt: Attempt, wait_s: float | None = None, answer: Any = None) -> None:
        self.attempt, self.wait_s, self.answer = attempt, wait_s, answer


class ModelClient:
    """The client of one endpoint for one run, used from one event loop.

    No more than the endpoint's `concurrency` requests are in flight. Proxies are those of the
    environment, none to this machine.
    """

    def __init__(self, name: str, settings: EndpointSettings, budget: Budget) -> None:
        self.name, self.settings, self._budget = name, settings, budget
        self._key = os.environ.get(settings.key_env or "", "").strip()
        names = [of["env"] for of in settings.headers.values() if not isinstance(of, str)]
        self._variables = {name: os.environ.get(name, "").strip() for name in names}
        texts = [self._key, *self._variables.values()]
        texts += [part for text in texts for part in text.split() if len(part) >= _SECRET_MIN]
        self._secrets = [*filter(None, texts)]
        self._limits = RequestLimits(settings)
        self._transport: httpx2.AsyncHTTPTransport | None = None
        self._calls: set[asyncio.Timeout] = set()
        self._is_in_words = "response_format" in settings.body  # as all schemas go
        self._refusals = 0  # of schemas, since one was taken
        self._failed_calls = 0
        self._silent_since_s: float | None = None
        self._down = self._hint = ""

    def check(self) -> None:
        """Raises a ThenceError if no request can be sent: no key, no package, no prices."""
        with needs_extra("llm", "the model client"):
            import httpx2
        variable, prices = self.settings.key_env, (self.settings.price_in, self.settings.price_out)
        texts = self._variables.items()
        if empty := [name for name, text in texts if not re.fullmatch("[ -~]+", text)]:
            cause, hint = f"{empty[0]} is not set, or holds no header", f"export {empty[0]}=…"
        elif variable and not self._key:
            cause, hint = f"{variable} is not set, which holds its key", f"export {variable}=…"
        elif not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            cause, hint = f"{variable} holds no key", "a key is of ASCII characters without spaces"
        elif self._budget.max_cost is not None and None in prices:
            cause, hint = "max_cost needs its prices", "set its price_in and price_out"
        else:
            try:
                return self._prepare()
            except httpx2.InvalidURL as error:
                cause, hint = f"base_url: {error}", "write it as https://HOST:PORT/v1"
            except (ValueError, ImportError, OSError) as error:  # which may name a proxy's password
                cause = f"the environment's proxy or certificates: {type(error).__name__}"
                hint = "correct HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE"
        raise ThenceError("could not use", place=f"endpoint {self.name}", cause=cause, hint=hint)

    async def ask(self, request: ModelRequest) -> ModelAnswer:
        """Returns the answer to a request.

        A 429 or 503 is asked again after its Retry-After, other passing failures with full jitter,
        an answer that can't be read once at most. A 503 is waited for within `timeout_s`, beside
        the retries. A schema goes as `response_format`; in words once the endpoint has refused
        that. Raises ModelCallFailed, `endpoint_down`, also for a Retry-After
        beyond a minute, `budget_spent`, and what `check` raises.
        """
        if self._transport is None:
            self.check()
        if self._down:
            raise self._stop(self._down)
        if not self._calls:
            self._silent_since_s = None  # an endpoint that nobody asks is not silent
        call, attempts = asyncio.timeout(None), list[Attempt]()
        self._calls.add(call)
        try:
            async with call:
                answer = await self._answer(request, attempts)
        except (TimeoutError, ModelsUnavailable) as error:  # the first one by _stop
            stopped = error if isinstance(error, ModelsUnavailable) else self._stop(self._down)
            stopped.attempts = tuple(attempts)
            raise stopped from None
        finally:
            self._calls.discard(call)
        self._failed_calls = 0
        return answer

    async def close(self) -> None:
        """Closes the connections."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _answer(self, request: ModelRequest, attempts: list[Attempt]) -> ModelAnswer:
        begun_s, retries, refusal = monotonic(), 0, ""
        mode: SchemaMode = "in words" if self._is_in_words else "enforced"
        mode = mode if request.schema is not None else ""
        while True:
            try:
                answer = await self._attempt(request, mode)
            except _Failure as failure:
                attempt = failure.attempt = replace(failure.attempt, schema_mode=mode)
                wait_s, loading_s = failure.wait_s, begun_s + self.settings.timeout_s - monotonic()
                if wait_s is not None and wait_s > PAUSE_S_MAX:
                    cause = f"it asks to wait {wait_s:,.0f} s; {attempt.detail}"
                    raise self._stop(cause, "wait that long, then resume") from None
                is_loading = attempt.status == _LOADING and loading_s > max(0, wait_s or 0)
                is_passing = attempt.reason in _PASSING and retries < self.settings.retries
                is_passing &= not (failure.answer and any(one.answer for one in attempts))
                if mode == "enforced" and attempt.status in _SCHEMA_REFUSED and not is_passing:
                    mode, wait_s = "in words", 0.0
                    refusal = "" if attempt.reason == "chance" else attempt.detail
                elif (is_loading or is_passing) and wait_s is None:
                    most_s = _BACKOFFS_S[min(len(attempts), len(_BACKOFFS_S) - 1)]
                    wait_s = chance.uniform(0, min(most_s, loading_s) if is_loading else most_s)
                elif not (is_loading or is_passing) or wait_s is None:
                    raise self._given_up(attempts, failure) from None
                retries += is_passing and not is_loading
                attempts.append(replace(attempt, waited_s=wait_s, answer=failure.answer))
                await asyncio.sleep(wait_s)
            else:
                # the first refused schema may be of this request alone, unless it names the format
                self._refusals = 0 if mode == "enforced" else self._refusals + bool(refusal)
                is_told = self._refusals > 1 or _FORMAT.search(refusal)
                if refusal and is_told and not self._is_in_words:
                    self._is_in_words = True
                    hint = "it is sent in words instead, as schema_mode of the calls says"
                    logger().warning("schema_refused", endpoint=self.name, cause=refusal, hint=hint)
                return replace(answer, attempts=tuple(attempts), schema_mode=mode)

    async def _attempt(self, asked: ModelRequest, mode: SchemaMode) -> ModelAnswer:
        """Sends one request; raises _Failure, `budget_spent` and `endpoint_down`."""
        import httpx2

        # without what a whole client of httpx2 does besides: 0.14 ms of 0.6
        terms: Any = {"headers": self._headers, "extensions": {"timeout": {"connect": _CONNECT_S}}}
        path = "embeddings" if asked.embeds else "chat/completions"
        request = httpx2.Request("POST", self._urls[path], content=self._body(asked, mode), **terms)
        assert self._transport is not None, "check makes it"
        status, data = None, bytearray()
        async with self._limits.turn():
            self._budget.take_request()
            sent_s = monotonic()
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    response = await self._transport.handle_async_request(request)
                    status = response.status_code
                    try:
                        async for part in response.aiter_raw():
                            data += part
                            if len(data) > ANSWER_BYTES_MAX:
                                detail = f"the answer is longer than {ANSWER_BYTES_MAX:,} bytes"
                                raise _Failure(Attempt(status, "too_large", detail=detail))
                    finally:
                        await response.aclose()
                kind = Embeddings if asked.embeds else Completion
                answer = self._read(response, bytes(data), monotonic() - sent_s, kind)
                self._silent_since_s = None
                return answer
            except TimeoutError:
                detail = f"no whole answer within {self.settings.timeout_s:g} s"
                failure = _Failure(Attempt(status, "timeout", detail=detail))
            except (httpx2.HTTPError, OSError) as error:
                detail = self._words(error) or type(error).__name__
                is_open = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                reason = "connection" if is_open else "unreachable"
                failure = _Failure(Attempt(status, reason, detail=detail))
            except _Failure as unusable:
                failure = unusable
            if status == 200 and failure.attempt.reason in (*_SILENT, "too_large"):
                failure.answer = self._paid({}, monotonic() - sent_s)  # it broke off
        if failure.attempt.reason not in _SILENT:
            self._silent_since_s = None
            raise failure
        self._silent_since_s = self._silent_since_s or sent_s
        silence_s = monotonic() - self._silent_since_s
        if silence_s >= SILENT_TIMES * self.settings.timeout_s:
            self._stop(f"it has not answered for {silence_s:.0f} s; {failure.attempt.detail}")
        raise failure

    def _prepare(self) -> None:
        """Makes what all requests have in common."""
        from urllib.request import getproxies, proxy_bypass

        import httpx2

        base = self.settings.base_url.rstrip("/")
        paths = ("chat/completions", "embeddings")
        self._urls = {path: httpx2.URL(f"{base}/{path}") for path in paths}
        url = self._urls["embeddings"]
        if (url.port or 0) > 65_535:
            raise httpx2.InvalidURL("the port is over 65535")
        proxies = getproxies()
        is_direct = url.host in ("localhost", "127.0.0.1", "::1") or proxy_bypass(url.host)
        proxy = None if is_direct else proxies.get(url.scheme) or proxies.get("all")
        proxy = f"http://{proxy}" if proxy and "://" not in proxy else proxy
        certificates = httpx2.create_ssl_context(verify=url.scheme == "https")
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "thence"}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        texts = self.settings.headers.items()
        self._headers = httpx2.Headers(
            {name: of if isinstance(of, str) else self._variables[of["env"]] for name, of in texts}
        )
        self._headers.update({"Content-Type": "application/json", **headers})
        terms: dict[str, Any] = {"verify": certificates, "proxy": proxy}
        self._transport = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(), **terms)

    def _body(self, request: ModelRequest, mode: SchemaMode) -> bytes:
        if request.embeds:
            return msgspec.json.encode(
                {**self.settings.terms_of_embeddings, "input": request.embeds}
            )
        terms = {**self.settings.terms, **request.terms}
        body: dict[str, Any] = {**terms, "messages": sent_messages(request, mode)}
        if mode == "enforced":
            format_ = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": format_}
        return msgspec.json.encode(body)

    def _read(
        self, response: "httpx2.Response", data: bytes, latency_s: float, kind: _Body
    ) -> ModelAnswer:
        """Reads a response; raises _Failure, and `endpoint_down` where the key is refused."""
        status, headers, completion = response.status_code, response.headers, None
        if status == 200:
            completion = self._content(data, headers, latency_s, kind)
            status = completion if isinstance(completion, int) else status
        if status in _FINAL_STATUSES:
            key = "a request with its headers" if self._secrets else "a request without a key"
            key = f"the key in {self.settings.key_env}" if self._key else key
            raise self._stop(f"it answers {status} to {key}: {self._error_words(data)}".strip(": "))
        if completion is None or isinstance(completion, int):
            reason = "server_error" if status >= 500 else "bad_request"
            reason = _STATUSES.get(status, reason if status >= 400 else "redirect")
            reason = "chance" if status in _SCHEMA_REFUSED and _CHANCE.search(data) else reason
            detail = f"status {status} {self._error_words(data)}".strip()
            raise _Failure(Attempt(status, reason, detail=detail), _retry_after_s(headers))
        members = {"usage": completion.usage, "model": completion.model}
        answer = self._paid(members, latency_s, completion.text)
        refusal, end = self._words(completion.refusal), self._words(completion.unfinished)
        if refusal or _FILTERED.search(end):
            reason, detail = "refusal", f"the model refused {refusal or end}"
        elif end:
            reason, detail = "cut", f"the endpoint says that the answer is not finished: {end}"
            detail += "; max_tokens may be too low"
        elif answer.text.strip():
            return answer
        else:
            reason, detail = "empty", "the answer has no text, and no single tool call"
            if thoughts := len(completion.reasoning):
                detail += f"; it has {thoughts:,} characters of reasoning: see enable_thinking"
        raise _Failure(Attempt(status, reason, detail=detail), answer=answer)

    def _content(
        self, data: bytes, headers: Mapping[str, str], latency_s: float, kind: _Body
    ) -> Completion | Embeddings | int:
        """Returns what a body holds, or the status of the error in its place.

        Raises _Failure for a body that is neither, and was paid for unless it holds an error.
        """
        body: Any = None
        with suppress(ValueError, RecursionError):
            return _decoders[kind].decode(data)  # type: ignore[no-any-return]
        try:
            body = _leniently(data)
            return msgspec.convert(body, ready(kind))
        except msgspec.ValidationError as error:
            members = body if isinstance(body, dict) else {}
            fault = members.get("error")
            code = _whole(fault.get("code")) if isinstance(fault, dict) else None
            if code is not None and code in _ERROR_STATUSES:
                return code
            words = self._error_words(data) if fault else error
            what = "a chat completion with a choice" if kind is Completion else "an embedding"
            detail = self._words(f"the answer is not {what}: {words}")
            reason, answer = "no_choices", None if fault else self._paid(members, latency_s)
        except (ValueError, RecursionError) as error:
            words = self._words(headers.get("content-type", ""))
            detail = f"the answer can't be read as JSON ({words}): {error}"
            reason, answer = "not_json", self._paid({}, latency_s)
        raise _Failure(Attempt(200, reason, detail=detail), answer=answer)

    def _paid(self, body: Mapping[str, Any], latency_s: float, text: str = "") -> ModelAnswer:
        """Returns an answer by the members `usage` and `model` of its body, and counts its cost."""
        usage = body.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        tokens_in: Any = _first_whole(usage.get("prompt_tokens"), usage.get("input_tokens"))
        tokens_out: Any = _first_whole(usage.get("completion_tokens"), usage.get("output_tokens"))
        details = (usage.get("prompt_tokens_details"), usage.get("input_tokens_details"))
        cached: Any = _first_whole(
            *(of.get("cached_tokens") for of in details if isinstance(of, dict))
        )
        model = self._words(body.get("model")) or self.settings.model
        cost, own = None, cast(Any, self.settings)
        if None not in (own.price_in, own.price_out, tokens_in, tokens_out):
            price_cached = own.price_in if own.price_cached is None else own.price_cached
            # cached tokens are some of the prompt's; more than these are counted beside them
            plain = tokens_in if (cached or 0) > tokens_in else tokens_in - (cached or 0)
            cost = plain * own.price_in + (cached or 0) * price_cached + tokens_out * own.price_out
            cost /= 1e6
        answer = ModelAnswer(text, model, tokens_in, tokens_out, cached, latency_s, cost)
        self._budget.pay(answer)
        return answer

    def _error_words(self, data: bytes) -> str:
        """Returns what an endpoint says of an error, if it does so in JSON."""
        body = None
        with suppress(ValueError, RecursionError):
            body = msgspec.json.decode(data)
        body = body[0] if isinstance(body, list) and len(body) == 1 else body
        for name in ("error", "message", "detail"):
            body = body[name] if isinstance(body, dict) and name in body else body
        return self._words(body)

    def _words(self, text: object) -> str:
        """Returns a text from outside in few printable words, without the key and other secrets."""
        words = str(text or "")
        for secret in self._secrets:
            words = words.replace(secret, "…")
        words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
        return words[:_WORDS_CHARACTERS_MAX]

    def _given_up(self, earlier: list[Attempt], failure: _Failure) -> ThenceError:
        """Returns the error of a call that gets no answer."""
        attempts = (*earlier, failure.attempt)
        is_read = failure.attempt.reason in _READ
        self._failed_calls = 0 if is_read else self._failed_calls + 1
        if failure.attempt.reason == "unreachable":
            self._stop(f"no connection to {self.settings.base_url}: {failure.attempt.detail}")
        elif self._failed_calls >= FAILED_CALLS_MAX:
            is_busy = failure.attempt.reason == "rate_limited"
            hint = "wait until it takes requests again, then resume" if is_busy else ""
            self._stop(f"{FAILED_CALLS_MAX} calls in a row failed; {failure.attempt.detail}", hint)
        if self._down:
            earlier.append(replace(failure.attempt, answer=failure.answer))
            return self._stop(self._down)
        requests = f" ({len(attempts)} requests)" if earlier else ""
        return ModelCallFailed(
            "could not get an answer",
            place=f"from endpoint {self.name}",
            cause=failure.attempt.detail + requests,
            hint="correct the endpoint's settings, or let on_agent_error skip the agent",
            attempts=attempts,
            answer=failure.answer,
        )

    def _stop(self, cause: str, hint: str = "") -> ModelsUnavailable:
        """Opens the breaker: calls that go on end at once, and none begins."""
        if not self._down:
            self._down, self._hint = cause, hint or _HINT
        for call in self._calls:
            if not call.expired():
                call.reschedule(asyncio.get_running_loop().time())
        return ModelsUnavailable(
            "could not ask",
            place=f"endpoint {self.name}",
            cause=self._down,
            hint=self._hint,
            code="endpoint_down",
        )


def _leniently(data: bytes) -> Any:
    """Returns the value of a body that is not strict JSON; raises ValueError.

    A byte order mark is skipped, NaN and infinities are null, half a surrogate pair, and bytes that
    are not UTF-8, are U+FFFD.
    """
    value = json.loads(data.decode("utf-8-sig", "replace"), parse_constant=lambda _: None)
    text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return msgspec.json.decode(text.decode("utf-16", "replace"))


def _whole(value: object) -> int | None:
    """Returns a count of JSON, which some endpoints write as 10.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < 2**53 else None


def _first_whole(*values: object) -> int | None:
    """Returns the first count among values that an endpoint may write under several names."""
    return next((count for count in map(_whole, values) if count is not None), None)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds of a header Retry-After (RFC 9110, 10.2.3), None without one."""
    value = headers.get("retry-after", "")
    try:
        wait_s = float(value)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, wait_s)
