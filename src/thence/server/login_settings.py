"""What the operator of a team's server sets about logins, read at the door."""

from typing import Literal, NamedTuple

from thence.core.wire.messages import Secret

Claim = Literal["preferred_username", "email"]


class OidcSettings(Secret, frozen=True):
    """A provider of OpenID Connect, and how it knows this server; "" is no secret.

    The claim of its tokens that is the name of a user of this server; an email must be verified.
    """

    issuer: str
    client_id: str
    secret: str = ""
    claim: Claim = "preferred_username"


class LoginSettings(NamedTuple):
    """How people come in; `url` is the address under which clients reach the server, else ""."""

    url: str = ""
    oidc: OidcSettings | None = None
