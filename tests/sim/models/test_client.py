"""What a model's client makes of an endpoint, of one that misbehaves above all."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any

import pytest
from tests.sim.models.endpoint import FAULTS, Endpoint, Reply, completion
from tests.tiers import tenth

from thence.errors import ThenceError
from thence.sim.models.client import Budget, ModelAnswer, ModelCallFailed, ModelClient, ModelRequest
from thence.sim.models.limits import ModelsUnavailable
from thence.sim.models.settings import EndpointSettings

pytestmark = pytest.mark.promise("O12a")

QUESTION = ModelRequest(({"role": "user", "content": "Do you give?"},))
SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORMED = ModelRequest(QUESTION.messages, SCHEMA)
TIME_S = 60.0
KEY = "sk-secret-0123456789"


def ask(
    endpoint: Endpoint | str,
    request: ModelRequest = QUESTION,
    *,
    asks: int = 1,
    within_s: float | None = TIME_S,
    budget: Budget | None = None,
    pause: Callable[[], None] = lambda: None,
    **settings: Any,
) -> list[ModelAnswer | BaseException]:
    """Asks one question after another, a pause behind each; errors are among the answers."""

    async def run() -> list[ModelAnswer | BaseException]:
        url = endpoint if isinstance(endpoint, str) else endpoint.base_url
        named = EndpointSettings(base_url=url, model="qwen", **settings)
        client = ModelClient("local", named, budget or Budget())
        answers: list[ModelAnswer | BaseException] = []
        try:
            for _ in range(asks):
                try:
                    async with asyncio.timeout(within_s):
                        answers.append(await client.ask(request))
                except (ThenceError, TimeoutError) as error:
                    answers.append(error)
                pause()
        finally:
            await client.close()
        return answers

    return asyncio.run(run())


class Clock:
    """The time of the machine, and what the test lets pass besides."""

    skipped_s = 0.0

    def __call__(self) -> float:
        return monotonic() + self.skipped_s

    def pass_by(self, time_s: float) -> None:
        self.skipped_s += time_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which a client counts the silence of its endpoint."""
    made = Clock()
    monkeypatch.setattr("thence.sim.models.client.monotonic", made)
    return made


def failed(answer: object) -> ModelCallFailed:
    assert isinstance(answer, ModelCallFailed), answer
    return answer


def reasons(attempts: object) -> list[str]:
    return [attempt.reason for attempt in attempts]


# what passes is asked again, and the next answer is good
@pytest.mark.parametrize(
    ("fault", "reason", "status"),
    [
        ("429_retry_after", "rate_limited", 429),
        ("429", "rate_limited", 429),
        ("503_retry_after", "server_error", 503),
        ("500", "server_error", 500),
        ("html", "not_json", 200),
        ("packed", "not_json", 200),
        ("half_json", "not_json", 200),
        ("no_choices", "no_choices", 200),
        ("never", "timeout", None),
        ("closing", "connection", None),
        ("closing_midway", "connection", 200),
        ("doubled", "not_json", 200),
        ("no_http", "connection", None),
    ],
)
@pytest.mark.whole(rows=7)
def test_passing_fault_is_asked_again_and_told_once(fault, reason, status):
    with Endpoint(fault=fault, faults=1) as endpoint:
        (answer,) = ask(endpoint, timeout_s=0.5 if fault == "never" else TIME_S)
    assert isinstance(answer, ModelAnswer), answer
    assert answer.text == "yes"
    attempt, *others = answer.attempts
    assert (attempt.reason, attempt.status) == (reason, status)
    assert attempt.detail
    assert fault != "html" or "text/html" in attempt.detail
    assert fault != "429_retry_after" or attempt.waited_s == 0.2
    if fault == "never":  # a machine that stands still may be late for the next answers too
        assert {other.reason for other in others} <= {"timeout"}
    else:
        assert (others, len(endpoint.requests)) == ([], 2)
    assert endpoint.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("cut", "cut"),
        ("empty", "empty"),
        ("two_tool_calls", "empty"),
        ("refusal", "refusal"),
        ("redirect", "redirect"),
        ("bad_request", "bad_request"),
        ("huge", "too_large"),
        ("huge_chunked", "too_large"),
    ],
)
def test_fault_that_stays_is_not_asked_again(fault, reason):
    with Endpoint(fault=fault) as endpoint:
        (answer,) = ask(endpoint)
    error = failed(answer)
    assert reasons(error.attempts) == [reason]
    assert len(endpoint.requests) == 1
    assert error.hint
    is_paid = fault not in ("redirect", "bad_request")
    assert (error.answer is not None) == is_paid


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("slow", "yes"),
        ("parts", "yes"),
        ("prose", 'Sure! Here it is: {"a": 1}. Anything else?'),
        ("wrong_schema", '{"other": true}'),
        ("changed_model", "yes"),
        ("broken_unicode", "y\ufffd\ufffds"),
        ("lone_surrogate", "y\ufffds"),
    ],
)
def test_what_can_be_read_is_given_as_it_came(fault, text):
    with Endpoint(fault=fault) as endpoint:
        (answer,) = ask(endpoint, FORMED)
    assert isinstance(answer, ModelAnswer), answer
    assert answer.text == text
    assert answer.model == ("qwen-2" if fault == "changed_model" else "qwen")


@pytest.mark.parametrize("fault", ["never", "429", "500", "closing", "slow"])
def test_call_that_is_given_up_leaves_nothing(fault):
    """Neither its only turn at the endpoint nor a task goes on."""

    async def run(url: str) -> ModelAnswer:
        settings = EndpointSettings(base_url=url, model="qwen", concurrency=1, retries=100)
        client = ModelClient("local", settings, Budget())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask(QUESTION), 0.4 if fault != "slow" else 0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        endpoint.is_well = True
        async with asyncio.timeout(TIME_S):
            answer = await client.ask(QUESTION)
        await client.close()
        return answer

    with Endpoint(fault=fault) as endpoint:
        assert asyncio.run(run(endpoint.base_url)).text == "yes"


@pytest.mark.parametrize("value", ["-5", "nan", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_retry_after_of_the_past_is_not_waited_for(value):
    with Endpoint(lambda body: Reply({}, 429, {"retry-after": value})) as endpoint:
        (answer,) = ask(endpoint, retries=1)
    assert [attempt.waited_s for attempt in failed(answer).attempts] == [0, 0]


@pytest.mark.parametrize("value", ["3600", "date", "inf"])
def test_retry_after_beyond_a_minute_stops_all_calls_at_once_and_is_named(value):
    if value == "date":
        value = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    reply = Reply({}, 429, {"retry-after": value})
    with Endpoint(lambda body: reply) as endpoint:
        answers = ask(endpoint, asks=2, within_s=None, retries=1)
        assert len(endpoint.requests) == 1
    assert [answer.code for answer in answers] == ["endpoint_down"] * 2
    assert re.search("it asks to wait (3,600|3,599|inf) s; status 429", str(answers[0]))
    assert "wait that long, then resume" in answers[0].hint


def test_retries_end():
    with Endpoint(fault="closing") as endpoint:
        (answer,) = ask(endpoint, retries=2)
    assert len(failed(answer).attempts) == len(endpoint.requests) == 3
    assert failed(answer).attempts[-1].waited_s == 0


@pytest.mark.parametrize("fault", ["expired_key", "wrong_model", "never", "closing", "500", "html"])
@pytest.mark.whole(rows=3)
def test_dead_endpoint_is_left_alone(fault):
    with Endpoint(fault=fault) as endpoint:
        timeout_s = 0.2 if fault == "never" else TIME_S
        answers = ask(endpoint, asks=8, retries=1, timeout_s=timeout_s, key_env=None)
        requests = len(endpoint.requests)
    assert answers[-1].code == "endpoint_down"
    assert "local" in str(answers[-1])
    of_fault = {"expired_key": 1, "wrong_model": 1, "html": 10}
    assert requests == of_fault.get(fault, requests)
    assert requests <= 10


@pytest.mark.parametrize("fault", ["never", "500"])
def test_call_alone_does_not_wait_for_a_dead_endpoint(fault):
    with Endpoint(fault=fault) as endpoint:
        (answer,) = ask(endpoint, within_s=None, timeout_s=0.2, retries=100)
    assert answer.code == "endpoint_down"
    assert len(endpoint.requests) <= 10


def test_calls_that_go_on_end_with_the_endpoint(monkeypatch):
    """The first request is refused for its key while others wait for an answer."""
    monkeypatch.setenv("LOCAL_KEY", KEY)

    def script(body: dict[str, Any]) -> Reply:
        if "first" in body["messages"][0]["content"]:
            return Reply({"error": {"message": f"bad key {KEY}"}}, 401, delay_s=0.2)
        return Reply(hangs=True)

    async def run(url: str) -> list[Any]:
        named = EndpointSettings(base_url=url, model="qwen", key_env="LOCAL_KEY")
        client = ModelClient("local", named, Budget())
        asked = [
            client.ask(ModelRequest(({"role": "user", "content": text},)))
            for text in ("first", "second", "third")
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        await client.close()
        return answers

    with Endpoint(script) as endpoint:
        answers = asyncio.run(run(endpoint.base_url))
    assert [answer.code for answer in answers] == ["endpoint_down"] * 3
    assert "LOCAL_KEY" in str(answers[0])
    assert KEY not in "".join(map(str, answers))


@pytest.mark.rest
@pytest.mark.parametrize(
    ("first", "second", "retries", "asks"),
    [
        ("500", "429", 1, 6),
        ("html", "empty", 0, 12),
        *tenth([("500", None, 1, 6), ("500", "429", 3, 3), ("html", None, 0, 12)], []),
    ],
)
@pytest.mark.whole
def test_endpoint_that_answers_now_and_then_is_not_down(first, second, retries, asks, clock):
    """A sign of life is one, though no call may get what it can use."""

    def script(body: dict[str, Any]) -> str | Reply:
        number = len(endpoint.requests)
        if number % 2:
            clock.pass_by(1.2 * TIME_S if first == "500" else 0)
            return FAULTS[first]
        return FAULTS[second] if second and (number < 8 or retries == 0) else "yes"

    with Endpoint(script) as endpoint:
        answers = ask(endpoint, asks=asks, timeout_s=TIME_S, retries=retries)
    assert not [answer for answer in answers if isinstance(answer, ModelsUnavailable)]


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        (answer,) = ask(url, retries=1)
    assert answer.code == "endpoint_down"
    assert "config.json" in answer.hint


def test_endpoint_s_own_words_are_told_without_the_key(monkeypatch):
    monkeypatch.setenv("LOCAL_KEY", KEY)
    with Endpoint(lambda body: Reply({"error": {"message": f"too\nlong {KEY}"}}, 400)) as endpoint:
        (answer,) = ask(endpoint, key_env="LOCAL_KEY")
    assert "too long …" in str(failed(answer))
    assert KEY not in repr(failed(answer).attempts)
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"


KEYED = {"key_env": "LOCAL_KEY"}
HEADED = {"headers": {"X-Api-Key": {"env": "LOCAL_KEY"}}}


@pytest.mark.parametrize(
    ("settings", "words", "value"),
    [
        *[(KEYED, "", value) for value in (None, "", " ", "a b", "a\nb", "schlüssel")],
        *[(HEADED, "is not set, or holds no header", v) for v in (None, " ", "a\nb", "schlüssel")],
    ],
)
def test_missing_or_broken_key_is_told_before_the_first_request(
    monkeypatch, settings, words, value
):
    monkeypatch.delenv("LOCAL_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("LOCAL_KEY", value)
    with Endpoint() as endpoint:
        (answer,) = ask(endpoint, **settings)
    assert type(answer) is ThenceError
    assert f"LOCAL_KEY {words}" in answer.cause
    assert "local" in answer.place
    assert value is None or not value.strip() or value not in str(answer)
    assert not endpoint.requests


def test_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Endpoint() as endpoint:
        (answer,) = ask(endpoint)
    assert isinstance(answer, ModelAnswer)


PRICES = {"price_in": 3.0, "price_out": 15.0, "price_cached": 0.3}


@pytest.mark.parametrize(
    ("usage", "tokens", "cost"),
    [
        ({"prompt_tokens": 10.0, "completion_tokens": 5.0}, (10, 5, None), 105e-6),
        ({"input_tokens": 10, "output_tokens": 5}, (10, 5, None), 105e-6),
        (
            {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}},
            (10, 5, 4),
            94.2e-6,
        ),
        # names of both kinds: what is null or missing is taken from the other
        (
            {"prompt_tokens": None, "input_tokens": 10, "completion_tokens": 5},
            (10, 5, None),
            105e-6,
        ),
        ({"prompt_tokens": 10.5, "completion_tokens": 5}, (None, 5, None), None),
        ({"prompt_tokens": 1e300, "completion_tokens": 5}, (None, 5, None), None),
        ({"prompt_tokens": -5, "completion_tokens": 10**30}, (None, None, None), None),
        ([], (None, None, None), None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (0, 0, None), 0.0),
    ],
)
def test_usage_is_read_in_the_forms_that_endpoints_write(usage, tokens, cost):
    body = {**completion("yes"), "usage": usage}
    with Endpoint(lambda _: Reply(body)) as endpoint:
        (answer,) = ask(endpoint, **PRICES)
    assert isinstance(answer, ModelAnswer)
    assert (answer.tokens_in, answer.tokens_out, answer.tokens_cached) == tokens
    assert answer.cost == (cost if cost is None else pytest.approx(cost))


@pytest.mark.parametrize(
    ("tokens_in", "cached", "prices", "cost"),
    [
        (21, 188_086, PRICES, 0.0565638),
        (1_000, 1_200, PRICES, 0.003435),
        (1_000, 1_200, {"price_in": 3.0, "price_out": 15.0}, 0.006675),
        (1_000, 400, {**PRICES, "price_cached": 6.0}, 0.004275),
    ],
)
def test_cached_tokens_beyond_those_of_the_prompt_are_beside_them(tokens_in, cached, prices, cost):
    details = {"cached_tokens": cached}
    usage = {"prompt_tokens": tokens_in, "completion_tokens": 5, "prompt_tokens_details": details}
    body, budget = {**completion("yes"), "usage": usage}, Budget()
    with Endpoint(lambda _: Reply(body)) as endpoint:
        (answer,) = ask(endpoint, budget=budget, **prices)
    assert isinstance(answer, ModelAnswer)
    assert answer.cost == budget.cost == pytest.approx(cost)


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": 20, "completion_tokens": None}, {"total_tokens": 25}]
)
def test_limit_that_the_endpoint_leaves_unknown_stops_the_next_call(usage):
    body = {**completion("yes"), "usage": usage}
    with Endpoint(lambda _: Reply(body)) as endpoint:
        bounded = ask(endpoint, asks=3, budget=Budget(max_cost=1.0), **PRICES)
        free = ask(endpoint, asks=3, **PRICES)
    assert isinstance(bounded[0], ModelAnswer)
    assert [answer.code for answer in bounded[1:]] == ["budget_spent"] * 2
    assert "max_cost" in str(bounded[1])
    assert "no tokens" in str(bounded[1])
    assert "--max-cost inf" in str(bounded[1].hint)
    assert [type(answer) for answer in free] == [ModelAnswer] * 3


# a body is judged as the status that it holds
@pytest.mark.parametrize(
    ("error", "reason", "status", "requests"),
    [
        ("Unexpected endpoint or method. (POST /chat/completions)", "no_choices", 200, 2),
        ({"code": 429, "message": "Provider returned error"}, "rate_limited", 429, 2),
        ({"code": 502, "message": "Bad gateway"}, "server_error", 502, 2),
        ({"code": 400, "message": "Bad thing"}, "bad_request", 400, 1),
        ({"code": 200, "message": "Odd thing"}, "no_choices", 200, 2),
        ({"code": "429", "message": "Text for a code"}, "no_choices", 200, 2),
    ],
)
@pytest.mark.parametrize("choices", [{}, {"choices": None}, {"choices": []}])
def test_error_that_comes_with_status_200_is_that_error(choices, error, reason, status, requests):
    body = {**choices, "error": error}
    with Endpoint(lambda _: Reply(body)) as endpoint:
        (answer,) = ask(endpoint, retries=1)
    attempts = failed(answer).attempts
    assert reasons(attempts) == [reason] * requests
    assert [attempt.status for attempt in attempts] == [status] * requests
    words = error if isinstance(error, str) else error["message"]
    assert words in attempts[0].detail
    assert words in str(answer)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
@pytest.mark.parametrize("is_body", [False, True])
def test_refusal_that_no_other_call_escapes_stops_all_calls(status, is_body):
    error = {"error": {"code": status, "message": "no credits"}}
    with Endpoint(lambda _: Reply(error, 200 if is_body else status)) as endpoint:
        answers = ask(endpoint, asks=3, retries=1)
    assert [answer.code for answer in answers] == ["endpoint_down"] * 3
    assert f"it answers {status} to a request without a key: no credits" in str(answers[0])
    assert len(endpoint.requests) == 1


def test_calls_and_cost_of_a_run_are_bounded():
    with Endpoint() as endpoint:
        answers = ask(endpoint, asks=4, budget=Budget(max_calls=4, requests=1))
        assert answers[3].code == "budget_spent"
        assert len(endpoint.requests) == 3
        prices = {"price_in": 1.0, "price_out": 1.0}
        answers = ask(endpoint, asks=4, budget=Budget(max_cost=50e-6), **prices)
        assert [type(answer) for answer in answers[:2]] == [ModelAnswer] * 2
        assert [answer.code for answer in answers[2:]] == ["budget_spent"] * 2
        (refused,) = ask(endpoint, budget=Budget(max_cost=float("nan")), **prices)
        (answer,) = ask(endpoint, budget=Budget(max_cost=1.0))
        assert "max_cost is nan" in str(refused)
        assert type(answer) is ThenceError
        assert "price_in" in answer.hint


GOOD = json.dumps(completion("yes")).encode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\xef\xbb\xbf" + GOOD, "yes"),
        (GOOD.replace(b'"index": 0', b'"logprob": NaN'), "yes"),
        (GOOD.replace(b'"index": 0', b'"logprob": -Infinity'), "yes"),
        (GOOD.replace(b"yes", b"half \\ud83d of it"), "half \ufffd of it"),
        (GOOD.replace(b"yes", b"whole \\ud83d\\ude00"), "whole \U0001f600"),
        (b"\n \n" + GOOD, "yes"),
        *[(GOOD[:-1] + b', "error": ' + error + b"}", "yes") for error in (b"null", b'""', b"{}")],
    ],
)
def test_body_that_is_not_strict_json_or_has_an_empty_error_is_read_and_paid(body, text):
    budget = Budget(max_cost=1.0)
    with Endpoint(lambda _: Reply(body)) as endpoint:
        (answer,) = ask(endpoint, budget=budget, **PRICES)
    assert isinstance(answer, ModelAnswer), answer
    assert (answer.text, answer.attempts) == (text, ())
    assert budget.cost == pytest.approx(135e-6)


# what may have been paid for, and can't be read
UNREAD = ("half_json", "html", "doubled", "closing_midway", "huge", "packed")


@pytest.mark.parametrize("fault", UNREAD)
def test_answer_that_cannot_be_read_is_paid_with_unknown_tokens_and_asked_once_again(fault):
    with Endpoint(fault=fault) as endpoint:
        (bounded,) = ask(endpoint, budget=Budget(max_cost=1.0), **PRICES)
        count = len(endpoint.requests)
        (free,) = ask(endpoint)
        asked = len(endpoint.requests) - count
    if fault == "huge":  # no other answer would be shorter
        assert (failed(bounded).answer.cost, count, asked) == (None, 1, 1)
        return
    assert (bounded.code, count) == ("budget_spent", 1)
    assert "no tokens (1 so far)" in str(bounded)
    (attempt,) = bounded.attempts
    assert (attempt.answer.tokens_in, attempt.answer.cost) == (None, None)
    assert (len(failed(free).attempts), asked) == (2, 2)


def test_answer_without_a_choice_is_paid_by_its_usage():
    budget = Budget(max_cost=1.0)
    with Endpoint(fault="no_choices") as endpoint:
        (answer,) = ask(endpoint, budget=budget, **PRICES)
    assert reasons(failed(answer).attempts) == ["no_choices"] * 2
    assert len(endpoint.requests) == 2
    assert budget.cost == pytest.approx(2 * 135e-6)


def test_each_request_counts_and_not_each_call():
    budget = Budget(max_calls=4)
    with Endpoint(fault="500") as endpoint:
        answers = ask(endpoint, asks=3, budget=budget, retries=1)
        assert len(endpoint.requests) == 4
    assert [getattr(answer, "code", "") for answer in answers][2] == "budget_spent"


def test_endpoint_that_is_full_is_waited_for_and_not_started():
    with Endpoint(fault="429") as endpoint:
        answers = ask(endpoint, asks=6, retries=0)
    assert answers[-1].code == "endpoint_down"
    assert answers[-1].hint == "wait until it takes requests again, then resume"


def test_empty_answer_names_its_reasoning():
    body = completion("", reasoning_content="Hm. " * 300)
    with Endpoint(lambda _: Reply(body)) as endpoint:
        (answer,) = ask(endpoint)
    assert "1,200 characters of reasoning: see enable_thinking" in str(failed(answer))


def test_httpx2_is_imported_when_a_model_is_asked():
    program = "import sys, thence.sim.models.client; print(*sys.modules)"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "httpx2" not in done.stdout.split()


@pytest.mark.parametrize("status", [405, 413])
def test_request_that_is_refused_for_another_reason_is_not_asked_by_instruction(status):
    with Endpoint(lambda body: Reply({"error": "no"}, status)) as endpoint:
        (answer,) = ask(endpoint, FORMED)
    assert reasons(failed(answer).attempts) == ["bad_request"]
    assert len(endpoint.requests) == 1


def test_name_of_the_model_is_told_in_few_printable_words():
    body = {**completion("yes"), "model": f"q\x1b[31m{'wen' * 200}"}
    with Endpoint(lambda _: Reply(body)) as endpoint:
        (answer,) = ask(endpoint)
    assert isinstance(answer, ModelAnswer)
    assert len(answer.model) == 200
    assert answer.model.isprintable()


@pytest.mark.parametrize("variable", ["ALL_PROXY", "SSL_CERT_FILE"])
def test_environment_that_cannot_be_used_is_told_without_its_password(monkeypatch, variable):
    for name in ("HTTPS_PROXY", "https_proxy", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "gopher://user:secret@proxy.invalid:1")
    (answer,) = ask("https://models.invalid/v1")
    assert type(answer) is ThenceError
    assert variable in answer.hint
    assert "secret" not in str(answer)


def test_proxy_of_the_environment_is_asked_for_other_machines(monkeypatch):
    for name in ("http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Endpoint() as endpoint:
        monkeypatch.setenv("HTTP_PROXY", endpoint.base_url.removesuffix("/v1"))
        (answer,) = ask("http://models.invalid/v1")
        assert isinstance(answer, ModelAnswer), answer
        assert endpoint.requests[0].path == "http://models.invalid/v1/chat/completions"
        monkeypatch.setenv("NO_PROXY", "models.invalid")
        (answer,) = ask("http://models.invalid/v1", retries=0)
        assert "no connection to http://models.invalid/v1" in str(answer)
        assert len(endpoint.requests) == 1


@pytest.mark.rest
def test_time_in_which_nobody_asks_is_no_silence(clock):
    settings = {"timeout_s": TIME_S, "retries": 0, "within_s": None}
    with Endpoint(fault="500") as endpoint:
        errors = ask(endpoint, asks=2, pause=lambda: clock.pass_by(10 * TIME_S), **settings)
    assert [type(error) for error in errors] == [ModelCallFailed] * 2


@pytest.mark.parametrize("fault", ["huge", "huge_chunked"])
def test_connection_of_an_answer_that_is_left_half_read_is_not_waited_for(fault):
    with Endpoint(fault=fault, faults=1) as endpoint:
        first, second = ask(endpoint, asks=2, concurrency=1, timeout_s=30, retries=0)
    assert reasons(failed(first).attempts) == ["too_large"]
    assert isinstance(second, ModelAnswer), second
