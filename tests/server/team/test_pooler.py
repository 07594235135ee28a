"""A team's server whose PostgreSQL stands behind pgbouncer, with few backends for all."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.log.committers import until
from tests.server.postgres import Cluster, end_with_parent, owner
from tests.server.team.lines import lines
from tests.server.team.team_server import team_server
from tests.system_packages import provided

pytestmark = [pytest.mark.rest, pytest.mark.xdist_group("postgres")]

MEMBERS, ROUNDS, LINES = 6, 6, 50
_MISSING = "there is no pgbouncer to run a server behind.\nInstall it: apt-get install pgbouncer"
# a backend lives for a second: hours of a real one
_SETTINGS = """
[databases]
* = host={folder} user=thence
[pgbouncer]
pool_mode = transaction
default_pool_size = 6
server_lifetime = 1
auth_type = any
listen_addr =
unix_socket_dir = {folder}/pooler
ignore_startup_parameters = extra_float_digits
"""
# each line that is kept notes under which settings
_NOTED = (
    "CREATE TABLE noted (value text)",
    """
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO noted VALUES (concat_ws(' ', current_setting('synchronous_commit'),
            current_setting('lock_timeout'),
            current_setting('idle_in_transaction_session_timeout'),
            current_setting('enable_seqscan')));
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER noting AFTER INSERT ON events EXECUTE FUNCTION note()",
)


def _found() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pooler(cluster: Cluster) -> Iterator[Path]:
    """Runs pgbouncer before a cluster; gives the folder of its socket."""
    program = provided("pgbouncer", _found, _MISSING)
    folder = cluster.folder / "pooler"
    folder.mkdir()
    (folder / "ini").write_text(_SETTINGS.format(folder=cluster.folder))
    if as_owner := owner():
        shutil.chown(folder, as_owner["user"], as_owner["group"])
    process = subprocess.Popen(
        [program, "--quiet", str(folder / "ini")],
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent,
        **as_owner,
    )

    def listens() -> bool:  # it has its file a moment before
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(folder / ".s.PGSQL.6432")) == 0

    try:
        until(listens)
        yield folder
    finally:
        process.kill()
        process.wait()


@pytest.mark.promise("S12")
def test_behind_pgbouncer_each_line_is_kept_once_and_on_the_disk(postgres, tmp_path):
    name = postgres.empty()
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with (
        pooler(postgres) as folder,
        team_server(
            tmp_path / "data", address=f"postgresql://thence@/{name}?host={folder}&port=6432"
        ) as server,
    ):
        for statement in _NOTED:
            postgres.execute(statement, name)
        for number in range(MEMBERS):
            server.add(f"member{number}")

        def pushed(number: int) -> list[bytes]:
            client = server.client(f"member{number}")
            mine = lines(ROUNDS * LINES, node=f"{number:012x}")
            for begin in range(0, len(mine), LINES):
                part = mine[begin : begin + LINES]
                assert client.statuses("log", part) == ["success"] * LINES
                assert set(part) <= set(client.pull("log")[0])
            return mine

        with ThreadPoolExecutor(MEMBERS) as pool:
            sent = [line for mine in pool.map(pushed, range(MEMBERS)) for line in mine]
        assert sorted(server.client("ada").pull("log")[0]) == sorted(sent)
    noted = postgres.execute("SELECT DISTINCT value FROM noted", name)
    assert noted == [("on 10s 1min off",)]
    postgres.drop(name)
