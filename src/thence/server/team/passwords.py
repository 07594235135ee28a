"""Passwords as argon2id stores them.

A check takes tens of milliseconds and 64 MiB: the caller bounds how many run at once.
"""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """Returns the stored form of a password."""
    return _hasher.hash(password)


@cache
def nobodys() -> str:
    """Returns what stands for the password of a user who is unknown; a check of it costs the same.

    It is made at the first call.
    """
    return hashed("no user has this name")


def is_right(stored: str | None, password: str) -> bool:
    """Reports whether a password is the stored one; without one it takes the same time."""
    try:
        return _hasher.verify(stored or nobodys(), password) and stored is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
