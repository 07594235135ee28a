"""A team's server and two clones of a log as the first version left them go on together.

ada and bob have brought their lines, ada has redacted one; each has appended one more that no
server has. The keys are of this test alone.
"""

import re
import signal
import sqlite3
import tarfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.server.team.team_server import TeamServer

import thence
from thence.sync.client import log_in
from thence.sync.credentials import CredentialStore

ARCHIVE = Path(__file__).parent / "team-v1" / "team.tar.xz"
SERVER = re.compile(rb"http://127.0.0.1:\d+")
USERS = ("ada", "bob")
REDACTED = "01M89FS8J100000000ERZ0XET0"


@contextmanager
def kept_team(archive, folder):
    """Put server and clones of an archive into a folder, start the server, log both users in."""
    with tarfile.open(archive) as kept:
        kept.extractall(folder, filter="data")
    server = TeamServer(folder / "srv")
    server.start()
    for path in folder.glob("*/orders/.thence/sync/target.json"):
        path.write_bytes(SERVER.sub(server.url.encode(), path.read_bytes()))
    # the database of a clone keeps for which server it is
    for path in folder.glob("*/orders/.thence/sync/held.db"):
        with closing(sqlite3.connect(path)) as database, database:
            (target,) = database.execute("SELECT value FROM state WHERE key = 'target'").fetchone()
            target = SERVER.sub(server.url.encode(), target.encode()).decode()
            database.execute("UPDATE state SET value = ? WHERE key = 'target'", (target,))
    try:
        for user in USERS:
            login = log_in(server.url, user, "blue whale")
            CredentialStore(folder / f"{user}.config" / "thence").save(login)
        yield folder
    finally:
        server.end(signal.SIGINT)


@pytest.fixture
def team(tmp_path):
    with kept_team(ARCHIVE, tmp_path) as folder:
        yield folder


def run(team, user, *arguments):
    env = {"XDG_CONFIG_HOME": str(team / f"{user}.config")}
    return warm(*arguments, cwd=team / user, env=env)


def events_of(team, user):
    with thence.open(team / user / "orders", create=False) as log:
        return list(log.read())


@pytest.mark.promise("S12")
def test_clones_that_were_synced_before_lose_and_double_nothing(team):
    before = {event.event_id: event.line for user in USERS for event in events_of(team, user)}
    for user in (*USERS, *USERS, *USERS):
        ended = run(team, user, "sync", "now", "--log", "orders")
        assert ended.code == 0, ended.err
    ada, bob = (events_of(team, user) for user in USERS)
    assert {event.line for event in ada} == {event.line for event in bob}
    assert len(ada) == len(bob) == len({event.event_id for event in ada})
    after = {event.event_id: event.line for event in ada}
    assert before.items() <= after.items()
    (redacted,) = (event for event in ada if event.event_id == REDACTED)
    assert redacted.payload == {}
    for user in USERS:
        checked = run(team, user, "sync", "status", "--check", "--log", "orders", "--json")
        assert checked.json["is_in_sync"], checked.json
        assert run(team, user, "verify", "--log", "orders").code == 0
