"""The keys of teams: which user has which, and which key may seal the lines of a node.

A node is claimed by the first key that asks for it in a team. An admin of the server moves a claim.
"""

import re
from collections.abc import Iterable

import apsw

from thence.core.wire.messages import CLAIMED_NODES_MAX, KeyRequest
from thence.core.wire.seals import TeamKeys, is_key
from thence.errors import AccountRefused, InvalidEvent, SyncRefused
from thence.server.team.accounts import Member
from thence.server.team.database import Database
from thence.server.team.proofs import revise_sealed
from thence.server.team.taking_back import admin_keys, carried_out_by

KEYS_MAX = 100  # of one user in one team
CLAIMS_MAX = 40_000  # of one team, so that a client takes the answer
_NODE = re.compile(r"[0-9a-f]{12}", re.ASCII)
_TEAM = "SELECT id FROM teams WHERE slug = :team"
_CLAIMS = "SELECT node, public_key FROM claims WHERE team = :team ORDER BY node"
_CLAIM_COUNT = "SELECT count(*) FROM claims WHERE team = :team"
_KEEP_KEY = """
    INSERT INTO keys (team, user, public_key)
    SELECT :team, id, :key FROM users WHERE name = :user ON CONFLICT DO NOTHING
"""
_KEY_COUNT = """
    SELECT count(*) FROM keys JOIN users ON users.id = keys.user
    WHERE keys.team = :team AND users.name = :user
"""
_CLAIM = """
    INSERT INTO claims (team, node, public_key) VALUES (:team, :node, :key) ON CONFLICT DO NOTHING
    RETURNING node
"""
_MOVE = """
    INSERT INTO claims (team, node, public_key) VALUES (:team, :node, :key)
    ON CONFLICT (team, node) DO UPDATE SET public_key = excluded.public_key
"""


class KeyRegistry:
    """The keys of all teams in a server's database; safe from threads and other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_team(self, team: str) -> TeamKeys:
        """Returns the keys of a team: of its claimed nodes, and of those who are admins now."""
        with self._database.reading() as connection:
            return _team_keys(connection, connection.execute(_TEAM, {"team": team}).get)

    def register(self, member: Member, request: KeyRequest) -> TeamKeys:
        """Keeps a user's key, and claims those nodes for it that nobody has claimed.

        Redactions that become valid by it are carried out. Raises InvalidEvent for what is no key
        or no node, and too many nodes; SyncRefused if the user has too many keys, or the team too
        many claims.
        """
        key = request.public_key
        nodes = dict.fromkeys(request.nodes)
        if not is_key(key):
            raise _unreadable("public_key", "it is no key: 64 hex digits in lower case")
        if len(request.nodes) > CLAIMED_NODES_MAX:
            raise _unreadable("nodes", f"there are more than {CLAIMED_NODES_MAX}")
        if not all(map(is_node, nodes)):
            raise _unreadable("nodes", "a node has 12 hex digits in lower case")
        with self._database.writing() as connection:
            team = connection.execute(_TEAM, {"team": member.team}).get
            given = {"team": team, "user": member.user, "key": key}
            connection.execute(_KEEP_KEY, given)
            is_new = connection.changes() > 0
            if connection.execute(_KEY_COUNT, given).get > KEYS_MAX:
                raise _refused(f"you have {KEYS_MAX} keys, which is the limit")
            claimed = _claimed(connection, given, nodes)
            if connection.execute(_CLAIM_COUNT, given).get > CLAIMS_MAX:
                raise _refused(f"the team has {CLAIMS_MAX} nodes, which is the limit")
            revise_sealed(connection, team, claimed)
            changed = carried_out_by(connection, team, key) if is_new or claimed else []
            found = _team_keys(connection, team)
        if changed:
            self._database.erased(changed)
        return found

    def claim(self, slug: str, node: str, key: str) -> str | None:
        """Gives a node of a team to a key; returns the key that had it, None if it was free.

        Redactions that become valid by it are carried out. Raises AccountRefused for what is no
        team, no node or no key.
        """
        if not is_node(node):
            raise _no_claim(node, "a node has 12 hex digits in lower case")
        if not is_key(key):
            raise _no_claim(node, "a key has 64 hex digits in lower case")
        with self._database.writing() as connection:
            team = connection.execute(_TEAM, {"team": slug}).get
            if team is None:
                raise _no_claim(node, f"there is no team {slug!r:.80}")
            given = {"team": team, "node": node, "key": key}
            query = "SELECT public_key FROM claims WHERE team = :team AND node = :node"
            former: str | None = connection.execute(query, given).get
            connection.execute(_MOVE, given)
            if former != key:
                revise_sealed(connection, team, [node])
            changed = carried_out_by(connection, team, key)
        if changed:
            self._database.erased(changed)
        return former


def is_node(text: str) -> bool:
    """Reports whether a text is the id of a node."""
    return _NODE.fullmatch(text) is not None


def _team_keys(connection: apsw.Connection, team: int) -> TeamKeys:
    rows = connection.execute(_CLAIMS, {"team": team})
    claims = {str(node): str(key) for node, key in rows}
    return TeamKeys(claims, admin_keys(connection, team))


def _claimed(
    connection: apsw.Connection, given: dict[str, object], nodes: Iterable[str]
) -> list[str]:
    """Claims those nodes for a key that nobody has; returns them."""
    rows = connection.executemany(_CLAIM, ({**given, "node": node} for node in nodes))
    return [str(node) for (node,) in rows]


def _unreadable(part: str, cause: str) -> InvalidEvent:
    return InvalidEvent("could not read the request:", place=part, cause=cause)


def _refused(cause: str) -> SyncRefused:
    return SyncRefused("could not keep the key", cause=cause, hint="ask an admin of the server")


def _no_claim(node: str, cause: str) -> AccountRefused:
    return AccountRefused(
        "could not claim the node",
        place=repr(node)[:80],
        cause=cause,
        hint="see thence server team list, and thence sync status for node and key",
    )
