"""The options of `server run` about logins."""

import re
from collections.abc import Callable
from functools import wraps

import click

from thence.server.login_settings import LoginSettings

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
    @wraps(command)
    def with_settings(url: str, **rest: object) -> None:
        command(logins=LoginSettings(url), **rest)

    return with_settings
