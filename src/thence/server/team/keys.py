"""The keys of teams: which user has which, and which key owns a node.

A node is claimed by the first key that asks for it in a team. An admin of the server moves a claim:
then all lines of the node are relayed until the new owner pushes them.
"""

import re
from collections.abc import Iterable

from thence.errors import InvalidEvent, SyncRefused, ThenceError
from thence.server.team.accounts import Member
from thence.server.team.database import Database, Transaction, first
from thence.sync.wire.messages import CLAIMED_NODES_MAX, KeyRequest
from thence.sync.wire.signatures import TeamKeys, is_key

KEYS_MAX = 100  # of one user in one team
CLAIMS_MAX = 40_000  # of one team, so that a client takes the answer
_NODE = re.compile(r"[0-9a-f]{12}", re.ASCII)
_TEAM = "SELECT id FROM teams WHERE slug = :team"
# held to the end by who gives nodes to keys
_LOCK_TEAM = f"{_TEAM} FOR UPDATE"
# held while a node moves to another key: no push is amid a judgement by the former one
_LOCK_LOGS = "SELECT id FROM logs WHERE team = :team ORDER BY id FOR UPDATE"
_CLAIMS = "SELECT node, public_key FROM claims WHERE team = :team ORDER BY node"
_OWNERS = "SELECT node, public_key FROM claims WHERE team = :team AND node = ANY(:nodes)"
_CLAIM_COUNT = "SELECT count(*) FROM claims WHERE team = :team"
_KEEP_KEY = """
    INSERT INTO keys (team, user_id, public_key)
    SELECT :team, id, :key FROM users WHERE name = :user ON CONFLICT DO NOTHING
"""
_KEY_COUNT = """
    SELECT count(*) FROM keys JOIN users ON users.id = keys.user_id
    WHERE keys.team = :team AND users.name = :user
"""
_CLAIM = """
    INSERT INTO claims (team, node, public_key) VALUES (:team, :node, :key) ON CONFLICT DO NOTHING
"""
_MOVE = """
    INSERT INTO claims (team, node, public_key) VALUES (:team, :node, :key)
    ON CONFLICT (team, node) DO UPDATE SET public_key = excluded.public_key
"""
_RELAY_ALL = """
    INSERT INTO relayed (team, log, node, digest)
    SELECT events.team, events.log, events.node, events.digest
    FROM logs JOIN events ON events.team = logs.team AND events.log = logs.id
    WHERE logs.team = :team AND events.node = :node
    ON CONFLICT DO NOTHING
"""
_REVISE = """
    UPDATE logs SET revision = revision + 1 WHERE team = :team AND EXISTS (
        SELECT 1 FROM events
        WHERE events.team = logs.team AND events.log = logs.id AND events.node = :node
    )
"""
_ADMIN_KEYS = """
    SELECT DISTINCT keys.public_key
    FROM keys JOIN members ON members.team = keys.team AND members.user_id = keys.user_id
    WHERE keys.team = :team AND members.role = 'admin' ORDER BY keys.public_key
"""


class KeyRegistry:
    """The keys of all teams in a server's database; safe from threads and other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_team(self, team: str) -> TeamKeys:
        """Returns the keys of a team: of its claimed nodes, and of those who are admins now."""
        with self._database.reading() as connection:
            return _team_keys(connection, first(connection.execute(_TEAM, {"team": team})))

    def register(self, member: Member, request: KeyRequest) -> TeamKeys:
        """Keeps a user's key, and claims those nodes for it that nobody has claimed.

        Raises InvalidEvent for what is no key or no node, and too many nodes; SyncRefused if the
        user has too many keys, or the team too many claims.
        """
        key = request.public_key
        nodes = dict.fromkeys(request.nodes)
        if not is_key(key):
            raise _unreadable("public_key", "it is not a key: 64 hex digits in lower case")
        if len(request.nodes) > CLAIMED_NODES_MAX:
            raise _unreadable("nodes", f"there are more than {CLAIMED_NODES_MAX}")
        if not all(map(is_node, nodes)):
            raise _unreadable("nodes", "a node has 12 hex digits in lower case")
        with self._database.writing() as connection:
            team = first(connection.execute(_LOCK_TEAM, {"team": member.team}))
            row = {"team": team, "user": member.user, "key": key}
            connection.execute(_KEEP_KEY, row)
            if first(connection.execute(_KEY_COUNT, row)) > KEYS_MAX:
                raise _refused(f"you have {KEYS_MAX} keys, which is the limit")
            connection.many(_CLAIM, ({**row, "node": node} for node in nodes))
            if first(connection.execute(_CLAIM_COUNT, row)) > CLAIMS_MAX:
                raise _refused(f"the team has {CLAIMS_MAX} nodes, which is the limit")
            return _team_keys(connection, team)

    def claim(self, slug: str, node: str, key: str) -> str | None:
        """Gives a node of a team to a key; returns the key that had it, None if it was free.

        Raises `account_refused` for what is no team, no node or no key.
        """
        if not is_node(node):
            raise _no_claim(node, "a node has 12 hex digits in lower case")
        if not is_key(key):
            raise _no_claim(node, "a key has 64 hex digits in lower case")
        with self._database.writing() as connection:
            team = first(connection.execute(_LOCK_TEAM, {"team": slug}))
            if team is None:
                raise _no_claim(node, f"there is no team {slug!r:.80}")
            row = {"team": team, "node": node, "key": key}
            query = "SELECT public_key FROM claims WHERE team = :team AND node = :node"
            connection.execute(_LOCK_LOGS, row)
            former: str | None = first(connection.execute(query, row))
            connection.execute(_MOVE, row)
            if former not in (None, key):
                connection.execute(_RELAY_ALL, row)
                connection.execute(_REVISE, row)
        return former


class Authority:
    """The rights of keys in a team, within the transaction of its connection."""

    def __init__(self, connection: Transaction, team: int, nodes: Iterable[str] = ()) -> None:
        """Reads the owners of some nodes at once."""
        self._connection = connection
        self._team = team
        self._owners: dict[str, str | None] = {}
        self._admins: frozenset[str] | None = None
        self._read(nodes)

    def owner(self, node: str) -> str | None:
        """Returns the key that has claimed a node."""
        if node not in self._owners:
            self._read([node])
        return self._owners[node]

    def may_redact(self, key: str, node: str) -> bool:
        """Reports whether a key may redact a line of a node."""
        return (bool(key) and key == self.owner(node)) or self.is_admin(key)

    def is_admin(self, key: str) -> bool:
        """Reports whether a key is that of an admin of the team now."""
        if self._admins is None:
            rows = self._connection.execute(_ADMIN_KEYS, {"team": self._team})
            self._admins = frozenset(public_key for (public_key,) in rows)
        return key in self._admins

    def _read(self, nodes: Iterable[str]) -> None:
        new = list(nodes)
        self._owners |= dict.fromkeys(new)
        names = {"team": self._team, "nodes": new}
        self._owners |= dict(self._connection.execute(_OWNERS, names))


def is_node(text: str) -> bool:
    """Reports whether a text is the id of a node."""
    return _NODE.fullmatch(text) is not None


def _team_keys(connection: Transaction, team: int) -> TeamKeys:
    rows = connection.execute(_CLAIMS, {"team": team})
    claims = {str(node): str(key) for node, key in rows}
    admins = tuple(key for (key,) in connection.execute(_ADMIN_KEYS, {"team": team}))
    return TeamKeys(claims, admins)


def _unreadable(part: str, cause: str) -> InvalidEvent:
    return InvalidEvent("could not read the request:", place=part, cause=cause)


def _refused(cause: str) -> SyncRefused:
    return SyncRefused("could not keep the key", cause=cause, hint="ask an admin of the server")


def _no_claim(node: str, cause: str) -> ThenceError:
    return ThenceError(
        "could not claim the node",
        place=repr(node)[:80],
        cause=cause,
        hint="see thence server team list, and thence sync status for node and key",
        code="account_refused",
    )
