"""Passwords as argon2id stores them.

A check takes tens of milliseconds and 64 MiB: the caller bounds how many run at once.
"""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()
# no password has this hash; it costs what that of a user costs
_NOBODY = _hasher.hash("no user has this name")


def hashed(password: str) -> str:
    """Returns the stored form of a password."""
    return _hasher.hash(password)


def is_right(stored: str | None, password: str) -> bool:
    """Reports whether a password is the stored one; without one it takes the same time."""
    try:
        return _hasher.verify(stored or _NOBODY, password) and stored is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
