"""The section `llm` of a scenario: the endpoints that its agents ask, by name."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

EndpointName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")]
# a key that somebody pastes here has small letters or a dash, and is refused without being shown
VariableName = Annotated[str, Meta(pattern=r"^[A-Z_][A-Z0-9_]{0,99}\Z")]
PositiveCount = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Price = Annotated[float, Meta(ge=0)]


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint: requests go to `{base_url}/chat/completions`.

    `key_env` names the environment variable that holds the key. `timeout_s` are the seconds of
    one request, which is sent again `retries` times at most. Sampling is sent if it is set. The
    limits a minute count requests as they are sent, and tokens as answers report them. Prices are
    per million tokens, in a currency of the user's; without `price_cached` cached tokens cost as
    others.
    """

    base_url: str
    model: Annotated[str, Meta(min_length=1, max_length=500)]
    key_env: VariableName | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1_000)] = 8
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    retries: Annotated[int, Meta(ge=0, le=100)] = 5
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: PositiveCount | None = None
    seed: int | None = None
    requests_per_minute: PositiveCount | None = None
    tokens_per_minute: PositiveCount | None = None
    price_in: Price | None = None
    price_out: Price | None = None
    price_cached: Price | None = None

    def __post_init__(self) -> None:
        scheme, _, rest = self.base_url.partition("://")
        host = rest.partition("/")[0]
        if scheme not in ("http", "https") or not host or {*" ?#"} & {*rest} or "@" in host:
            raise ValueError("base_url is no plain address, such as https://HOST/v1")

    @property
    def terms(self) -> dict[str, Any]:
        """What each request says besides its messages; None for what is not set."""
        names = ("model", "temperature", "top_p", "max_tokens", "seed")
        return {name: getattr(self, name) for name in names}


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `llm`; limits of calls and cost are those of a run, over all its endpoints.

    `default` names the endpoint of agents that name none. `cassette` is a file of recorded answers.
    """

    endpoints: Mapping[EndpointName, EndpointSettings] = {}
    default: EndpointName | None = None
    cassette: str | None = None
    max_calls: Annotated[int, Meta(ge=0)] | None = None
    max_cost: Annotated[float, Meta(ge=0)] | None = None
