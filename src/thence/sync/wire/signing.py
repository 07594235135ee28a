"""Signatures of pushes, by Ed25519: the key of this user's machine, and the check of any key's.

The key lies in the user's config folder, in a file that only the user can read. It is made once,
and is the same for all logs of the user on this machine. PyNaCl is imported when it is needed.
"""

import os
from contextlib import suppress
from pathlib import Path

from thence.errors import SyncRefused, ThenceError
from thence.files import file_lock, read_private, replace_file
from thence.log.files.disk import config_folder

KEY_FILE = "signing.key"
_LOCK = "signing.lock"
_WAIT_S = 30.0
_SEED_BYTES = 32


class SigningKey:
    """The key of this user's machine."""

    def __init__(self, seed: bytes) -> None:
        from nacl.signing import SigningKey as Ed25519Key

        self._key = Ed25519Key(seed)
        self.public_key: str = bytes(self._key.verify_key).hex()

    def sign(self, text: bytes) -> str:
        """Returns the signature of a text, in hex."""
        return self._key.sign(text).signature.hex()

    def __repr__(self) -> str:
        return f"SigningKey({self.public_key})"


def is_signed(public_key: str, signature: str, text: bytes) -> bool:
    """Reports whether a signature is that of a key, both in hex, over a text."""
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(bytes.fromhex(public_key)).verify(text, bytes.fromhex(signature))
    except (ValueError, TypeError, CryptoError):
        return False
    return True


def user_folder() -> Path:
    """Returns this user's config folder, which may be missing; raises SyncRefused without one."""
    folder = config_folder()
    if folder is None:
        raise SyncRefused(
            "could not find your config folder",
            cause="neither HOME nor XDG_CONFIG_HOME is set",
            hint="set HOME, then try again",
            code="sync_error",
        )
    return folder


def known_key(folder: Path | None = None) -> SigningKey | None:
    """Returns the key in a config folder, by default this user's; None while there is none.

    Raises SyncRefused for a file that is no key, or that others can read.
    """
    path = _key_path(folder)
    try:
        content = read_private(path, 4 * _SEED_BYTES)
    except ThenceError as error:
        raise _failure(path, error.cause) from error
    if content is None:
        return None
    text, is_open = content
    if is_open:
        raise _failure(path, "others than you may read it", f"make it yours: chmod 600 {path}")
    with suppress(ValueError):  # the cause would quote the key
        seed = bytes.fromhex(text.decode("ascii", "replace").strip())
        if len(seed) == _SEED_BYTES:
            return SigningKey(seed)
    raise _failure(path, "it is not a key")


def own_key(folder: Path | None = None) -> SigningKey:
    """Returns the key in a config folder, made if it is missing; raises SyncRefused."""
    key = known_key(folder)
    if key is not None:
        return key
    path = _key_path(folder)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file_lock(path.with_name(_LOCK), _WAIT_S, mode=0o600):
            key = known_key(folder)  # another process may just have made one
            if key is None:
                seed = os.urandom(_SEED_BYTES)
                replace_file(path, seed.hex().encode() + b"\n", 0o600)
                key = SigningKey(seed)
    except SyncRefused:
        raise
    except ThenceError as error:
        raise _failure(path, error.cause, error.hint) from error
    except OSError as error:
        raise _failure(path, error.strerror or str(error)) from error
    return key


def _key_path(folder: Path | None) -> Path:
    return (folder or user_folder()) / KEY_FILE


def _failure(path: Path, cause: object, hint: str = "") -> SyncRefused:
    return SyncRefused(
        "could not use your key",
        place=path,
        cause=cause,
        hint=hint or "move it away: a new one is made, and an admin can give it your nodes",
        code="sync_error",
    )
