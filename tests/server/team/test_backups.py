"""Copies of a server's database: whole beside writers, found damaged, put back."""

import resource
import shutil
import signal
import stat
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import pytest
from tests.cli.installed import THENCE, is_three_lines, ran, thence
from tests.server.team.lines import halves, lines
from tests.server.team.team_server import TeamServer, team_server
from tests.tiers import tenth

from thence.server.running import TEAM_DATABASE

CHECK = ["backup", "--check"]


def server(*arguments: object, cwd: Path):
    return thence("server", *map(str, arguments), "--data", "data", cwd=cwd)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data of a server that has ended, of 40 lines, and with a copy of these."""
    folder = tmp_path_factory.mktemp("whole")
    filled(folder, 40)
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """The same folder for a test alone."""
    return shutil.copytree(whole, tmp_path / "place")


def filled(folder: Path, count: int) -> None:
    with team_server(folder / "data") as running:
        for batch in halves(lines(count), 1_000):
            assert set(running.client("ada").statuses("log", batch)) == {"success"}
    assert server("backup", "copy.db", cwd=folder).code == 0


def stored(folder: Path) -> list[bytes]:
    with closing(apsw.Connection(str(folder / "data" / TEAM_DATABASE))) as connection:
        return [line for (line,) in connection.execute("SELECT line FROM events ORDER BY number")]


@pytest.mark.promise("S12")
def test_copy_beside_a_writer_holds_all_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    acknowledged = threading.Semaphore(0)
    ended = threading.Event()
    with team_server(tmp_path / "data") as running:
        client = running.client("ada")

        def write() -> None:
            for line in lines(400):
                assert client.statuses("log", [line]) == ["success"]
                acknowledged.release()
                if ended.is_set():
                    return

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(20):
            assert acknowledged.acquire(timeout=60)
        copied = server("backup", "copy.db", "--json", cwd=tmp_path)
        ended.set()
        writer.join()
        beside = server("backup", "--check", "--json", cwd=tmp_path)
    assert copied.code == 0, copied.err
    copy = tmp_path / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    contents = {name: copied.json[name] for name in ("teams", "logs", "events")}
    assert copied.json == {"copy": str(copy), "bytes": copy.stat().st_size, **contents}
    assert list(tmp_path.glob("*copy.db*")) == [copy]
    before = copy.read_bytes()
    assert server("backup", "--check", "copy.db", "--json", cwd=tmp_path).json == contents
    assert (contents["teams"], contents["logs"]) == (2, 1)
    assert 20 <= contents["events"] <= beside.json["events"]
    assert copy.read_bytes() == before, "a check changes nothing"
    again = server("backup", "copy.db", cwd=tmp_path)
    assert again.code == 1
    assert is_three_lines(again.err)


@pytest.mark.promise("S12")
def test_restored_server_takes_again_what_came_later(place: Path) -> None:
    running = TeamServer(place / "data")
    running.start()
    later = lines(50)[40:]
    client = running.client("ada")
    assert client.statuses("log", later) == ["success"] * 10
    busy = server("restore", "copy.db", cwd=place)
    assert (busy.code, is_three_lines(busy.err)) == (1, True), busy.err
    assert "another process answers from it" in busy.err
    running.end(signal.SIGKILL)
    assert (place / "data" / f"{TEAM_DATABASE}-wal").stat().st_size
    restored = server("restore", "copy.db", "--json", cwd=place)
    assert restored.code == 0, restored.err
    assert restored.json["events"] == 40
    kept = server("backup", "--check", restored.json["replaced"], "--json", cwd=place)
    assert kept.json["events"] == 50, "what was there is kept, its last commits too"
    assert len(stored(place)) == 40
    running.start()
    try:
        assert running.client("ada").statuses("log", lines(50)) == (
            ["duplicate"] * 40 + ["success"] * 10
        )
    finally:
        running.end()


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("UPDATE events SET line = line || ' ' WHERE number = 7", "the line 7 of red/log"),
        (
            "UPDATE events SET line = CAST(replace(line, ':7}', ':8}') AS BLOB) WHERE number = 7",
            "the line 7 of red/log",
        ),
        ("UPDATE events SET line = zeroblob(9) WHERE number = 7", "the line 7 of red/log"),
        ("UPDATE events SET chain = zeroblob(8) WHERE number = 7", "the line 7 of red/log"),
        ("DELETE FROM events WHERE number = 7", "red/log has no line 7"),
        ("DELETE FROM events WHERE number = 40", "red/log has no last line, 40"),
    ],
)
@pytest.mark.whole(rows=2)
def test_first_wrong_line_is_named_and_such_a_database_neither_copied_nor_put_back(
    place: Path, statement: str, cause: str
) -> None:
    def refused(*words: str) -> None:
        ended = server(*words, "--json", cwd=place)
        assert (ended.code, ended.json["error"]["code"]) == (3, "damaged_copy")
        assert cause in ended.json["error"]["cause"]

    def spoil(database: Path) -> None:
        with closing(apsw.Connection(str(database))) as connection:
            connection.execute(statement)
            assert connection.changes() == 1

    spoil(place / "copy.db")
    refused(*CHECK, "copy.db")
    refused("restore", "copy.db")
    assert len(stored(place)) == 40
    assert server(*CHECK, cwd=place).code == 0
    spoil(place / "data" / TEAM_DATABASE)
    refused("backup", "other.db")
    assert list(place.glob("*other.db*")) == []


def test_what_is_no_copy_or_no_longer_whole_is_refused(place: Path) -> None:
    whole = (place / "copy.db").read_bytes()
    contents = {
        "missing.db": (None, ""),
        ".": (None, ""),
        "empty.db": (b"", "not_a_server"),
        "text.db": (b"no database\n" * 1000, ""),
        "page.db": (whole[:8192] + bytes(4096) + whole[12288:], "damaged_copy"),
    }
    for size in (4096, len(whole) // 2, len(whole) - 4096):
        contents[f"cut-{size}.db"] = (whole[:size], "damaged_copy")
    for name, (content, code) in contents.items():
        if content is not None:
            (place / name).write_bytes(content)
        for command in (CHECK, ["restore"]):
            ended = server(*command, name, cwd=place)
            assert ended.code in (1, 3, 4), (name, ended.err)
            assert is_three_lines(ended.err), (name, ended.err)
            told = server(*command, name, "--json", cwd=place).json["error"]
            assert told["code"] == (code or told["code"]), name
        thence("server", "restore", name, "--data", "new", cwd=place)
        assert not (place / "new").exists(), name
    assert len(stored(place)) == 40
    for target in ("no/copy.db", "data"):
        ended = server("backup", target, cwd=place)
        assert (ended.code, is_three_lines(ended.err)) == (1, True), ended.err


@pytest.mark.promise("S12")
@pytest.mark.parametrize("command", ["backup", "restore"])
@pytest.mark.whole
def test_disk_without_room_is_told_and_nothing_is_left_of_the_copy(tmp_path, command):
    filled(tmp_path, 8_000)  # more than SQLite keeps in memory
    size = (tmp_path / "copy.db").stat().st_size
    target = {"backup": "other.db", "restore": "copy.db"}[command]
    for size_max in tenth((0, 100_000, size - 1), (size - 1,)):
        before = sorted(path.name for path in tmp_path.rglob("*") if path.suffix != ".lock")
        ended = ran(
            *(THENCE, "server", command, target, "--data", "data"),
            cwd=tmp_path,
            first=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size_max, size)),
        )
        assert ended.code in (1, 4), ended.err
        assert is_three_lines(ended.err), ended.err
        assert "not an error" not in ended.err
        assert "has room" in ended.err, "the next step is to make room"
        after = sorted(path.name for path in tmp_path.rglob("*") if path.suffix != ".lock")
        assert {*after} - {*before} <= {f"{TEAM_DATABASE}-wal", f"{TEAM_DATABASE}-shm"}
    assert server("backup", "--check", "--json", cwd=tmp_path).json["events"] == 8_000
