"""The nodes of teams: which login owns which, and who may redact their lines.

A node belongs to the first login that names it its own in a batch of the team. A login is the name
of a user: it stays when the user leaves.
"""

import re
from collections.abc import Collection

from thence.errors import InvalidEvent
from thence.server.team.accounts import Member
from thence.server.team.database import Database, Transaction, first
from thence.sync.wire.messages import NodeOwner

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
