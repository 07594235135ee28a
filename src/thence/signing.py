"""Signatures of pushes, by Ed25519: the key of this user's machine, and the check of any key's.

The key lies in the user's config folder, in a file that only the user can read. It is made once,
and is the same for all logs of the user on this machine. PyNaCl is imported when it is needed.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from thence.errors import SyncError
from thence.log.storage.disk import config_folder

KEY_FILE = "signing.key"
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
    """Returns this user's config folder, which may be missing yet; raises SyncError without one."""
    folder = config_folder()
    if folder is None:
        raise SyncError(
            "could not find your config folder",
            cause="neither HOME nor XDG_CONFIG_HOME is set",
            hint="set HOME, then try again",
        )
    return folder


def known_key(folder: Path | None = None) -> SigningKey | None:
    """Returns the key in a config folder, by default this user's; None while there is none.

    Raises SyncError for a file that is no key, or that others can read.
    """
    path = _key_path(folder)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failure(path, error.strerror or str(error)) from error
    try:
        mode = os.fstat(descriptor).st_mode
        text = os.read(descriptor, 4 * _SEED_BYTES) if stat.S_ISREG(mode) else b""
    finally:
        os.close(descriptor)
    if mode & 0o077:
        raise _failure(path, "others than you may read it", f"make it yours: chmod 600 {path}")
    with suppress(ValueError):  # the cause would quote the key
        seed = bytes.fromhex(text.decode("ascii", "replace").strip())
        if len(seed) == _SEED_BYTES:
            return SigningKey(seed)
    raise _failure(path, "it is no key")


def own_key(folder: Path | None = None) -> SigningKey:
    """Returns the key in a config folder, made if it is missing; raises SyncError."""
    key = known_key(folder)
    if key is not None:
        return key
    path = _key_path(folder)
    draft = path.with_name(f"{KEY_FILE}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, os.urandom(_SEED_BYTES).hex().encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with suppress(FileExistsError):  # another process has just made one
            os.link(draft, path)
        draft.unlink()
    except OSError as error:
        raise _failure(path, error.strerror or str(error)) from error
    new_key = known_key(folder)
    if new_key is None:
        raise _failure(path, "it was removed as it was made")
    return new_key


def _key_path(folder: Path | None) -> Path:
    return (folder or user_folder()) / KEY_FILE


def _failure(path: Path, cause: str, hint: str = "") -> SyncError:
    return SyncError(
        "could not use your key",
        place=path,
        cause=cause,
        hint=hint or "move it away: a new one is made, and an admin can give it your nodes",
    )
