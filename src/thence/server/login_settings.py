"""What the operator of a team's server sets about logins, read at the door."""

from typing import NamedTuple


class LoginSettings(NamedTuple):
    """How people come in; `url` is the address under which clients reach the server, else ""."""

    url: str = ""
