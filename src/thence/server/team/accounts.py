"""The users of a server, its teams, and who may do what in which, by login or by node.

A node belongs to the first login that names it its own in a batch of the team. A login is the name
of a user: it stays when the user leaves.
"""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from thence.errors import InvalidEvent, SyncRefused, ThenceError
from thence.server.team.database import Database, Transaction, first
from thence.sync.wire.messages import NodeOwner

ROLES = ("reader", "writer", "admin")
WRITING_ROLES = ("writer", "admin")
_PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 1_024
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._@+-]{0,63}", re.ASCII)
_SLUG = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}", re.ASCII)
_NODE = re.compile(r"[0-9a-f]{12}", re.ASCII)
_TEAM = "SELECT id FROM teams WHERE slug = :team"
_OWNERS = "SELECT node, owner FROM claims WHERE team = :team AND node = ANY(:nodes)"
_CLAIM = """
    INSERT INTO claims (team, node, owner) VALUES (:team, :node, :owner) ON CONFLICT DO NOTHING
"""
_IS_ADMIN = """
    SELECT 1 FROM members JOIN users ON users.id = members.user_id
    WHERE members.team = :team AND users.name = :user AND members.role = 'admin'
"""


class Member(NamedTuple):
    """A user in one team."""

    user: str
    team: str
    role: str


_SELECT = """
    SELECT users.name, teams.slug, members.role
    FROM members JOIN users ON users.id = members.user_id JOIN teams ON teams.id = members.team
"""
_MEMBERS = f"{_SELECT} ORDER BY users.name, members.joined"
_TEAMS_OF = f"{_SELECT} WHERE users.name = :user ORDER BY members.joined"
_ADD_TEAM = "INSERT INTO teams (slug) VALUES (:slug) ON CONFLICT DO NOTHING RETURNING id"
_ADD_USER = """
    INSERT INTO users (name, password) VALUES (:user, :password) ON CONFLICT DO NOTHING RETURNING id
"""
_JOIN = """
    INSERT INTO members (team, user_id, joined, role)
    SELECT teams.id, users.id, (SELECT coalesce(max(joined), 0) + 1 FROM members), :role
    FROM teams, users WHERE teams.slug = :team AND users.name = :user
    ON CONFLICT DO NOTHING RETURNING team
"""
_SET_ROLE = """
    UPDATE members SET role = :role
    WHERE user_id = (SELECT id FROM users WHERE name = :user)
    AND team = (SELECT id FROM teams WHERE slug = :team)
"""
_SET_PASSWORD = """
    UPDATE users SET password = :password WHERE name = :user AND password <> '' RETURNING id
"""
_END_LOGINS = "DELETE FROM logins WHERE user_id = (SELECT id FROM users WHERE name = :user)"


class Accounts:
    """The users and teams in a server's database; safe from threads and other processes.

    `hashed` makes the stored form of a password.
    """

    def __init__(self, database: Database, hashed: Callable[[str], str]) -> None:
        self._database = database
        self._hashed = hashed

    def add_team(self, slug: str) -> None:
        """Makes a team; raises `bad_settings` for a wrong name, `account_refused` if taken."""
        check_slug(slug)
        with self._database.writing() as connection:
            if not connection.execute(_ADD_TEAM, {"slug": slug}):
                hint = "see thence server team list"
                raise _refused("add the team", slug, "there is such a team", hint)

    def teams(self) -> list[str]:
        """Returns the names of all teams, sorted."""
        with self._database.reading() as connection:
            return [slug for (slug,) in connection.execute("SELECT slug FROM teams ORDER BY slug")]

    def add_user(self, name: str, team: str, role: str, password: Callable[[], str]) -> bool:
        """Adds a user to a team; one who is new here gets the password. Returns whether they are.

        Raises `bad_settings` for a wrong name, `account_refused` for a member already, an unknown
        team or role, and a password that is too short or too long.
        """
        self._check_joining(name, team, role)
        is_new = not self.has_user(name)
        stored = self._hashed(_check_password(name, password())) if is_new else None
        return self._join(Member(name, team, role), stored)

    def add_machine(self, name: str, team: str, role: str) -> None:
        """Adds a user without a password, who can't log in and is let in by a machine token.

        Raises as `add_user` does, and `account_refused` for a user who is in any team already.
        """
        self._check_joining(name, team, role, "add the token")
        if self.has_user(name):
            raise _refused("add the token", name, "a user or a token has this name")
        self._join(Member(name, team, role), "")

    def _join(self, member: Member, stored: str | None) -> bool:
        """Keeps a member, who is a new user with a stored password; returns whether they are."""
        row = {**member._asdict(), "password": stored}
        with self._database.writing() as connection:
            is_new = stored is not None and bool(connection.execute(_ADD_USER, row))
            if not connection.execute(_JOIN, row):
                cause = f"{member.user} is in {member.team} already"
                raise _refused("add the user", member.user, cause)
        return is_new

    def set_role(self, name: str, team: str, role: str) -> str:
        """Gives a user another role in a team, from the next request on; returns the former one.

        Raises `account_refused` for one who is not in the team.
        """
        former = {member.team: member.role for member in self.teams_of(name)}
        if team not in former:
            cause = f"{name} is not in {team}"
            raise _refused("change the role of", name, cause, "see thence server user list")
        with self._database.writing() as connection:
            connection.execute(_SET_ROLE, {"user": name, "team": team, "role": role})
        return former[team]

    def set_password(self, name: str, password: str) -> None:
        """Gives a user another password and ends all logins; raises `account_refused`."""
        stored = self._hashed(_check_password(name, password))
        with self._database.writing() as connection:
            row = {"user": name, "password": stored}
            if not connection.execute(_SET_PASSWORD, row):
                cause = "there is no such user, or it is a machine's token"
                hint = "see thence server user list"
                raise _refused("change the password of", name, cause, hint)
            connection.execute(_END_LOGINS, row)

    def _check_joining(self, name: str, team: str, role: str, action: str = "add the user") -> None:
        """Raises `bad_settings` for a wrong name, `account_refused` for a member or unknown team.

        `action` is what the error says that could not be done.
        """
        if not is_user_name(name):
            cause = "a name has 1 to 64 of 0-9 A-Z a-z . _ @ + -"
            raise _refused(action, repr(name), cause, code="bad_settings")
        if role not in ROLES:
            raise _refused(action, name, f"the role {role} is not one of {', '.join(ROLES)}")
        with self._database.reading() as connection:
            teams = connection.execute("SELECT 1 FROM teams WHERE slug = :slug", {"slug": team})
            if not teams:
                hint = f"create it: thence server team add {team}"
                raise _refused(action, name, f"there is no team {team}", hint)
        if any(member.team == team for member in self.teams_of(name)):
            hint = "to change the role: thence server user set --role"
            raise _refused(action, name, f"{name} is in {team} already", hint)

    def has_user(self, name: str) -> bool:
        """Reports whether there is a user of this name."""
        if not is_user_name(name):  # PostgreSQL takes not every text
            return False
        with self._database.reading() as connection:
            query = "SELECT 1 FROM users WHERE name = :name"
            return bool(connection.execute(query, {"name": name}))

    def remove_user(self, name: str) -> None:
        """Removes a user from all teams and ends their logins; raises `account_refused`.

        What the user has sent stays.
        """
        self._remove("user", name, "DELETE FROM users WHERE name = :name")

    def remove_machine(self, name: str) -> None:
        """Removes a machine, ends its token; raises `account_refused`. What it has sent stays."""
        self._remove("token", name, "DELETE FROM users WHERE name = :name AND password = ''")

    def _remove(self, kind: str, name: str, query: str) -> None:
        with self._database.writing() as connection:
            rows = connection.execute(f"{query} RETURNING id", {"name": name})
            if not rows:
                hint = f"see thence server {kind} list"
                raise _refused(f"remove the {kind}", name, "there is none", hint)

    def members(self) -> list[Member]:
        """Returns all users in all teams, by user, in the order in which they joined."""
        with self._database.reading() as connection:
            return [Member(*row) for row in connection.execute(_MEMBERS)]

    def teams_of(self, user: str) -> list[Member]:
        """Returns the teams of a user in the order of joining."""
        with self._database.reading() as connection:
            return [Member(*row) for row in connection.execute(_TEAMS_OF, {"user": user})]

    def member(self, user: str, slug: str | None) -> Member:
        """Returns a user in the team of a name or else in the first one; raises SyncRefused."""
        for member in self.teams_of(user):
            if slug is None or member.team == slug:
                return member
        raise SyncRefused(
            "could not answer",
            cause="you are not in a team" if slug is None else "you are not in such a team",
            hint="ask a server admin",
        )


def check_writing(member: Member) -> None:
    """Raises SyncRefused for a member who may not push lines."""
    if member.role not in WRITING_ROLES:
        raise SyncRefused(
            "could not take the batch",
            cause=f"you are a {member.role} in {member.team}",
            hint="ask an admin for the role writer",
        )


def is_user_name(text: str) -> bool:
    """Reports whether a text can be the name of a user."""
    return _NAME.fullmatch(text) is not None


def check_slug(slug: str) -> None:
    """Raises `bad_settings` for a text that is not a name of a team."""
    if not _SLUG.fullmatch(slug):
        cause = "a name has 1 to 64 of 0-9 a-z _ -"
        raise _refused("add the team", repr(slug), cause, code="bad_settings")


def _check_password(name: str, password: str) -> str:
    """Returns a password; raises `account_refused` for one that is too short or too long."""
    if not _PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        limits = f"{_PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX}"
        cause = f"a password has {limits} characters"
        raise _refused("set the password of", name, cause, "choose another one")
    return password


def _refused(
    action: str,
    name: str,
    cause: str,
    hint: str = "choose another name",
    code: str = "account_refused",
) -> ThenceError:
    """Returns the error for what can't be done with an account or a team."""
    return ThenceError(f"could not {action}", place=name, cause=cause, hint=hint, code=code)


class Authority:
    """The rights of a login in a team, within the transaction of its connection.

    `login` is the user's name, "" for nobody's.
    """

    def __init__(
        self, connection: Transaction, team: int, login: str, nodes: Collection[str] = ()
    ) -> None:
        """Reads the owners of some nodes at once."""
        self.login = login
        self._connection = connection
        self._team = team
        self._owners: dict[str, str | None] = {}
        self._read(nodes)

    def claim(self, nodes: Collection[str]) -> None:
        """Gives those nodes to the login that nobody has."""
        free = sorted(node for node in nodes if self._owner(node) is None)
        if free and self.login:
            rows = ({"team": self._team, "node": node, "owner": self.login} for node in free)
            self._connection.many(_CLAIM, rows)
            self._read(free)  # another login may have been faster

    def may_redact(self, node: str, login: str = "") -> bool:
        """Reports whether a login, by default this one, may redact the lines of a node."""
        login = login or self.login
        if not login:
            return False
        row = {"team": self._team, "user": login}
        return login == self._owner(node) or bool(self._connection.execute(_IS_ADMIN, row))

    def _owner(self, node: str) -> str | None:
        if node not in self._owners:
            self._read([node])
        return self._owners[node]

    def _read(self, nodes: Collection[str]) -> None:
        self._owners |= dict.fromkeys(nodes)
        names = {"team": self._team, "nodes": list(nodes)}
        self._owners |= dict(self._connection.execute(_OWNERS, names))


def node_owner(database: Database, member: Member, node: str) -> NodeOwner:
    """Returns the login that owns a node in a member's team, and the right of the member.

    Raises InvalidEvent for what is no node.
    """
    if not is_node(node):
        cause = "a node has 12 hex digits in lower case"
        raise InvalidEvent("could not read the request:", place="node", cause=cause)
    with database.reading() as connection:
        team = first(connection.execute(_TEAM, {"team": member.team}))
        rows = connection.execute(_OWNERS, {"team": team, "nodes": [node]})
    owner = str(rows[0][1]) if rows else None
    return NodeOwner(owner, owner == member.user or member.role == "admin")


def is_node(text: str) -> bool:
    """Reports whether a text is the id of a node."""
    return _NODE.fullmatch(text) is not None
