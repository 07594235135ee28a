"""The options of `server run` about logins."""

import re
from collections.abc import Callable
from functools import wraps
from typing import get_args

import click

from thence.cli.output import current
from thence.server.login_settings import Claim, LoginSettings, OidcSettings

_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


def _address(context: click.Context, option: click.Parameter, text: str | None) -> str:
    if text and not _URL.fullmatch(text):
        raise click.BadParameter("it is no address such as https://thence.example")
    return (text or "").rstrip("/")


def login_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options to a command, which gets them as one value, `logins`."""

    @click.option(
        "--url",
        metavar="URL",
        callback=_address,
        help="The address under which clients reach the server, which invitations name.",
    )
    @click.option(
        "--oidc-issuer",
        metavar="URL",
        help="Let people log in by this provider of OpenID Connect; it needs --url.",
    )
    @click.option(
        "--oidc-client",
        metavar="ID",
        help="The provider's name for this server; THENCE_OIDC_SECRET holds the secret.",
    )
    @click.option(
        "--oidc-claim",
        type=click.Choice(get_args(Claim)),
        default="preferred_username",
        help="What the provider tells that is a user's name here; else preferred_username.",
    )
    @wraps(command)
    def with_settings(
        url: str,
        oidc_issuer: str | None,
        oidc_client: str | None,
        oidc_claim: Claim,
        **rest: object,
    ) -> None:
        oidc = None
        if oidc_issuer or oidc_client:
            if not (oidc_issuer and oidc_client and url):
                raise click.UsageError("--oidc-issuer, --oidc-client and --url are given together")
            secret = current().settings.oidc_secret or ""
            oidc = OidcSettings(oidc_issuer, oidc_client, secret, oidc_claim)
        command(logins=LoginSettings(url, oidc), **rest)

    return with_settings
