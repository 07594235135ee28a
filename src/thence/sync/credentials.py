"""The logins of this user, in one file of the user's config folder.

The file is readable by this user alone, replaced by renaming, and no symbolic link. A login is one
of a server and a user name. Nobody judges a lifetime by a clock: an access token is good until the
server answers 401. One process at a time asks for new tokens, and the others take what it got.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from thence.core.ready import ready
from thence.errors import NotLoggedIn, SyncRefused
from thence.files import file_lock, read_private, replace_file
from thence.log.files.disk import config_folder
from thence.sync.wire.messages import Secret, Tokens

FILE = "credentials.json"
_LOCK = "credentials.lock"
_BYTES_MAX = 1024 * 1024
_WAIT_S = 30.0


class Login(Secret, frozen=True, omit_defaults=True):
    """A user's login to a server. `repr` shows none of it.

    `team_slug` is the user's first team, None without one. `has_ended` means that the server
    refused its refresh token.
    """

    server: str
    username: str
    access: str
    refresh: str
    team_slug: str | None = None
    has_ended: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Server and user name, of which a user has one login."""
        return self.server, self.username

    def renewed(self, tokens: Tokens) -> "Login":
        """Returns the login with the tokens of an answer."""
        return msgspec.structs.replace(
            self,
            access=tokens.access,
            refresh=tokens.refresh,
            team_slug=tokens.team_slug,
            has_ended=False,
        )


class CredentialStore:
    """The file of logins in a folder, by default this user's; nothing is made before a save.

    Raises SyncRefused for a user without a config folder; each method raises ThenceError for a file
    that can't be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or config_folder()
        if folder is None:
            raise SyncRefused(
                "could not find your config folder",
                cause="neither HOME nor XDG_CONFIG_HOME is set",
                hint="set HOME, then try again",
                code="sync_error",
            )
        self.folder = folder

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.folder / FILE

    def logins(self) -> tuple[Login, ...]:
        """Returns all logins, sorted by server and user name; raises SyncRefused."""
        content = read_private(self.path, _BYTES_MAX)
        if content is None:
            return ()
        data, is_open = content
        if is_open:  # closed to others
            self.path.chmod(0o600)
        try:
            logins = msgspec.json.decode(data, type=ready(tuple[Login, ...]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise SyncRefused(
                "could not use your logins in",
                place=self.path,
                cause="it does not hold logins",
                hint="move it away, then log in again: thence sync login URL",
                code="sync_error",
            ) from None  # the cause might quote the file
        return tuple(sorted(logins, key=lambda login: login.key))

    def login(self, server: str | None, username: str | None = None) -> Login:
        """Returns the one login of a server and a user name; None is any.

        Raises NotLoggedIn, also where there are several, and SyncRefused.
        """
        logins = [
            login
            for login in self.logins()
            if server in (None, login.server) and username in (None, login.username)
        ]
        if len(logins) == 1:
            return logins[0]
        if not logins:
            user_text = f" as {username}" if username else ""
            raise NotLoggedIn(
                f"could not use {server}" if server else "could not choose a server",
                cause=f"there is no login{user_text}",
                hint=f"log in first: thence sync login {server or 'URL'}",
            )
        names = "; ".join(f"{login.server} as {login.username}" for login in logins)
        is_one_server = len({login.server for login in logins}) == 1
        raise NotLoggedIn(
            f"could not choose a login to {server or 'a server'}",
            cause=f"there are {len(logins)}: {names}",
            hint="name the user: --as NAME" if is_one_server else "name the server by its address",
        )

    def save(self, login: Login) -> None:
        """Stores a login in place of the one of the same server and user."""
        with self._changing() as logins:
            logins[login.key] = login

    def remove(self, login: Login) -> None:
        """Removes a login; nothing happens where it is gone already."""
        with self._changing() as logins:
            logins.pop(login.key, None)

    def refreshed(self, login: Login, exchange: Callable[[str], Tokens]) -> Login:
        """Returns a login with another access token than the given one, which was refused.

        Under the lock the stored tokens are used if another process has renewed them, else
        `exchange` gets the refresh token. New tokens are stored before they are returned: the
        server keeps the former refresh token until a new one was used, so that nothing is lost if
        this process dies. Raises NotLoggedIn, which is remembered, and what `exchange` raises.
        """
        with self._changing() as logins:
            stored = logins.get(login.key)
            if stored is None or stored.has_ended:
                raise not_logged_in(login, "the login has ended")
            if stored.access == login.access:
                try:
                    stored = stored.renewed(exchange(stored.refresh))
                except NotLoggedIn:
                    logins[login.key] = msgspec.structs.replace(stored, has_ended=True)
                    raise
                logins[login.key] = stored
        return stored

    @contextmanager
    def _changing(self) -> Iterator[dict[tuple[str, str], Login]]:
        """Gives the logins by their keys, under the lock, and stores what the block changes."""
        with suppress(OSError):  # what is wrong with the folder, the lock tells
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file_lock(self.folder / _LOCK, _WAIT_S, mode=0o600):
            before = {login.key: login for login in self.logins()}
            logins = dict(before)
            try:
                yield logins
            finally:
                if logins != before:
                    data = msgspec.json.encode([*logins.values()])
                    replace_file(self.path, msgspec.json.format(data, indent=2) + b"\n", 0o600)


def not_logged_in(login: Login, cause: str) -> NotLoggedIn:
    """Returns the error of a login that the server accepts no more."""
    return NotLoggedIn(
        f"could not continue as {login.username} at",
        place=login.server,
        cause=cause,
        hint=f"log in again: thence sync login {login.server} --username {login.username}",
    )
