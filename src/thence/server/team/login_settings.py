"""What the operator of a team's server sets, read at the boundary."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal, NamedTuple

from thence.sync.wire.messages import Secret

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


class TeamSettings(Secret, frozen=True, kw_only=True):
    """The settings that the operator of a team's server makes.

    The audit log and the folders that answer questions are in the folder `data`, else beside the
    database's file. Host names are not
    checked unless `allowed_hosts` lists the accepted ones, without ports. The
    `metrics_token` gives the counts of the whole server at `/metrics`.
    """

    data: Path | None = None
    allowed_hosts: Collection[str] | None = None
    metrics_token: str | None = None
    logins: LoginSettings = LoginSettings()
