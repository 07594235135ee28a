"""Ctrl-C amid a long command of `server` and `sync`: a word, exit code 130, nothing half done."""

import json
import shlex
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.installed import SIGNALLED, THENCE, Ended, begin, in_python, thence
from tests.cli.test_sync_commands import ada
from tests.cli.test_sync_trouble import pointed
from tests.server.team.lines import lines
from tests.server.team.team_server import team_server
from tests.tiers import tenth

from thence import open as thence_open

__all__ = ["ada"]  # a fixture
EVENTS = 40
ENDS_S = 60
# the check of a line, and the steps by which a file takes its place
CALLS = [
    ("backup", "fsync", 1),
    ("backup", "checked", 7),
    ("backup", "link", 1),
    ("backup --check", "checked", 7),
    ("restore", "fsync", 1),
    ("restore", "checked", 7),
    ("restore", "link", 1),
    ("restore", "replace", 1),
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that holds events."""
    folder = tmp_path_factory.mktemp("kept")
    with team_server(folder / "data") as running:
        assert set(running.client("ada").statuses("log", lines(EVENTS))) == {"success"}
    return folder


def signalled(folder: Path, number: int, command: str, call: str, count: int) -> Ended:
    copy = folder / "copy.db"
    copy.unlink(missing_ok=True)
    if command != "backup":
        assert thence("server", "backup", "copy.db", "--data", "data", cwd=folder).code == 0
    words = ("server", *command.split(), "copy.db", "--data", "data")
    return in_python(SIGNALLED, call, count, number, *words, cwd=folder)


def is_whole(folder: Path) -> bool:
    ended = thence("server", "backup", "--check", "--data", "data", "--json", cwd=folder)
    return ended.code == 0 and ended.json["events"] == EVENTS


@pytest.mark.parametrize(("command", "call", "count"), tenth(CALLS, [CALLS[1], CALLS[3], CALLS[7]]))
@pytest.mark.whole
def test_interrupted_copy_leaves_what_was_there(kept, command, call, count):
    ended = signalled(kept, signal.SIGINT, command, call, count)
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")
    assert (kept / "copy.db").exists() == (command != "backup")
    assert [path.name for path in kept.rglob(".*") if path.is_file()] == [], "a draft is left"
    assert is_whole(kept)


@pytest.mark.promise("S12")
@pytest.mark.parametrize("call", ["link", "replace"])
def test_restore_that_was_killed_leaves_a_whole_database(kept, tmp_path, call):
    folder = tmp_path / "kept"
    shutil.copytree(kept, folder)  # the kill leaves a draft there
    assert signalled(folder, signal.SIGKILL, "restore", call, 1).code == -signal.SIGKILL
    assert is_whole(folder)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(ENDS_S)
        yield listening


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
@pytest.mark.parametrize("command", ["now", "login", "logout"])
@pytest.mark.whole(rows=4)
def test_sync_command_that_waits_for_its_server_is_interrupted(ada, silent, command, beginning):
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    ada.done("append", "--log", "orders", "note", "text=1")
    pointed(ada, url, ada.folder / "orders")
    words = {
        "now": ("now", "--log", "orders"),
        "login": ("login", url, "--username", "bob", "--password-stdin"),
        "logout": ("logout", url),
    }[command]
    credentials = ada.config / "thence" / "credentials.json"
    before = credentials.read_bytes()
    config = {"XDG_CONFIG_HOME": str(ada.config)}
    process = begin(THENCE, "sync", *words, cwd=ada.folder, **config)
    assert process.stdin is not None
    process.stdin.write("correct horse\n")
    process.stdin.flush()
    with silent.accept()[0] as connection:
        connection.settimeout(ENDS_S)
        assert connection.recv(65_536)
        connection.sendall(beginning)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=ENDS_S)
    way_on = "next: thence sync now\n" if command == "now" else ""
    assert (process.returncode, out, err) == (130, "", f"interrupted\n{way_on}")
    assert credentials.read_bytes() == before
    assert ada.done("sync", "status", "--log", "orders", "--json").json["pending"] == 1


SPAN = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "pay"}
SPAN |= {"startTimeUnixNano": "1764547200000000000", "endTimeUnixNano": "1764547201000000000"}
SPANS = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}
TRACES, ORDERS = "--log traces", "--log orders"


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("words", "call", "way_on"),
    [
        (f"import --otlp spans.json {TRACES}", "_host_append", "the same command again"),
        (f"redact @last {ORDERS} --yes", "project_of", "thence redact "),
        (f"prune {ORDERS} --keep-bytes 1 --yes", "_remove", "the same command again"),
    ],
)
@pytest.mark.whole(rows=2)
def test_interrupted_work_says_how_to_go_on_and_the_same_command_does(
    tmp_path: Path, words: str, call: str, way_on: str
) -> None:
    (tmp_path / "spans.json").write_text(json.dumps(SPANS))
    with thence_open(tmp_path / "orders", max_file_size=4_000) as log:
        for number in range(100):
            log.append("order.placed", {"amount": number})
    ended = in_python(SIGNALLED, call, 1, signal.SIGINT, *words.split(), cwd=tmp_path)
    assert ended.code == 130
    *_, interrupted, following = ended.err.splitlines()
    assert interrupted == "interrupted"
    assert way_on in following
    typed = following.partition(" -m thence ")[2] or words
    thence(*shlex.split(typed), cwd=tmp_path).done()
    assert (
        thence("verify", *(TRACES if "traces" in words else ORDERS).split(), cwd=tmp_path).code == 0
    )
