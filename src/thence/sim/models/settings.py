"""The section `llm` of a scenario: the endpoints that its agents ask, by name."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

EndpointName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")]
# a key that somebody pastes here has small letters or a dash, and is refused without being shown
VariableName = Annotated[str, Meta(pattern=r"^[A-Z_][A-Z0-9_]{0,99}\Z")]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")]
PositiveCount = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Price = Annotated[float, Meta(ge=0)]
_TERMS = ("model", "temperature", "max_tokens", "seed")
_HEADER, _VARIABLE = re.compile(r"[!-~]([ -~]{0,998}[!-~])?"), re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_SECRET = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_OWN_HEADERS = ("accept-encoding", "content-length", "content-type", "host", "transfer-encoding")


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint: requests go to `{base_url}/chat/completions`, or `/embeddings` of a memory.

    `key_env` names the environment variable that holds the key. `timeout_s` are the seconds of
    one request, which is sent again `retries` times at most. Sampling is sent if it is set, and all
    of `body`; `seed: run` sends a number of the run's seed, the agent and the turn. `headers` are
    texts, or {env: VARIABLE} for secrets. Prices are per million tokens, in any currency; without
    `price_cached` cached tokens cost as others.
    """

    base_url: str
    model: Annotated[str, Meta(min_length=1, max_length=500)]
    key_env: VariableName | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1_000)] = 8
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    retries: Annotated[int, Meta(ge=0, le=100)] = 5
    temperature: Annotated[float, Meta(ge=0)] | None = None
    max_tokens: PositiveCount | None = None
    seed: int | Literal["run"] | None = None
    body: Mapping[str, Any] = {}
    headers: Mapping[HeaderName, Any] = {}
    requests_per_minute: PositiveCount | None = None
    price_in: Price | None = None
    price_out: Price | None = None
    price_cached: Price | None = None

    def __post_init__(self) -> None:
        scheme, _, rest = self.base_url.partition("://")
        host = rest.partition("/")[0]
        if scheme not in ("http", "https") or not host or {*" ?#"} & {*rest} or "@" in host:
            raise ValueError("base_url is not a plain address, such as https://HOST/v1")
        if names := {*self.body} & {*_TERMS, "messages", "stream"}:
            raise ValueError(f"body can't have {min(names)}, which is set next to it or by thence")
        for name, value in self.headers.items():
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"headers can't have {name}, which thence sets")
            is_text = isinstance(value, str) and not _SECRET.search(name)
            variable = value.get("env") if isinstance(value, dict) and len(value) == 1 else None
            if not (_HEADER.fullmatch(value) if is_text else _VARIABLE.fullmatch(variable or "")):
                raise ValueError(f"headers has {name}: write its text, or {{env: VARIABLE}}")

    @property
    def terms(self) -> dict[str, Any]:
        """What each request says besides its messages, and a seed that is not the same for all."""
        terms = {name: getattr(self, name) for name in _TERMS}
        terms["seed"] = None if self.seed == "run" else self.seed
        return {**{name: term for name, term in terms.items() if term is not None}, **self.body}

    @property
    def terms_of_embeddings(self) -> dict[str, Any]:
        """What each request of an embedding says besides its text."""
        return {"model": self.model, **self.body}


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `llm`; limits of calls and cost are those of a run, over all its endpoints.

    `default` names the endpoint of agents that name none. `cassette` is a file of recorded answers.
    """

    endpoints: Mapping[EndpointName, EndpointSettings] = {}
    default: EndpointName | None = None
    cassette: str | None = None
    max_calls: Annotated[int, Meta(ge=0)] | None = None
    max_cost: Annotated[float, Meta(ge=0)] | None = None
