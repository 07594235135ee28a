"""Roots that want to lead the server out, and names that do."""

import os
import socket
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.server.runs import foreign, make_orders, make_run
from tests.server.serving import Serving, serving

from thence.errors import NotALog
from thence.server.logs.root import Logs, Root

SECRET = "outside-0001"
OLDER = "events_2026-01-01_00-00-00-000000.jsonl"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory):
    """A root beside a run that is none of its own, with every way to it."""
    place = tmp_path_factory.mktemp("place")
    root = place / "root"
    make_run(root, "inside", count=5)
    outside = place / "outside"
    outside.mkdir()
    (outside / "events.jsonl").write_bytes(foreign(1, event_id=SECRET))
    (root / "linked").symlink_to(outside)
    (root / "chained").symlink_to(root / "linked")
    (root / "loop").symlink_to(root / "loop")
    (root / "again").symlink_to(root / "inside")
    for name, target in (("file", "events.jsonl"), ("older", OLDER)):
        (root / name).mkdir()
        (root / name / target).symlink_to(outside / "events.jsonl")
    (root / "older" / "events.jsonl").write_bytes(foreign(2))
    own = root / "own"
    own.mkdir()
    (own / "events.jsonl").write_bytes(foreign(3))
    (own / ".thence").symlink_to(outside)
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "events.jsonl")
    (root / "folder" / "events.jsonl").mkdir(parents=True)
    (root / "plain.jsonl").write_bytes(foreign(4))
    (root / "told").mkdir()
    (root / "told" / "events.jsonl").write_bytes(foreign(5))
    (root / "told" / "config.json").symlink_to(outside / "config.json")
    os.mkfifo(root / "told" / "result.json")
    (outside / "config.json").write_text('{"scenario": {"simulation": {"name": "outside"}}}')
    with serving(root) as server:
        yield server


@pytest.mark.promise("Q6")
@pytest.mark.parametrize(
    "name",
    [
        *("linked", "chained", "loop", "file", "older", "own", "pipe", "folder", "plain.jsonl"),
        *("root", "outside"),
    ],
)
def test_no_link_pipe_or_folder_is_taken_for_a_log(hostile: Serving, name: str) -> None:
    for path in ("", "/events", "/events.ndjson", f"/events/{SECRET}", f"/why/{SECRET}"):
        answer = hostile.get(f"/simulations/{name}{path}", timeout=60)
        assert answer.status_code == 404
        assert answer.json()["code"] in ("simulation_not_found", "event_not_found")


@pytest.mark.promise("Q6")
def test_list_names_what_is_inside_alone(hostile: Serving) -> None:
    listed = hostile.json("/simulations")["simulations"]
    assert [(entry["id"], entry["name"]) for entry in listed] == [
        ("again", "again"),
        ("inside", "inside"),
        ("told", "told"),
    ]
    assert hostile.json("/simulations/told")["status"] == "killed"


@pytest.mark.promise("Q6")
@pytest.mark.parametrize(
    "path",
    [
        *("../outside", "..%2foutside", "%2e%2e/outside", "%2e%2e%2foutside", "..%5coutside"),
        *("%252e%252e%252foutside", "inside/../../outside", "inside%2f..%2f..%2foutside"),
        *("%2e", "%2e%2e", ".%00", "inside%00", "%00", "%0a", "%ed%a0%80", "%ff%fe"),
        *(".thence", "~", "x" * 10_000, "%C3%A9" * 1_000, "%2e%2e%2f" * 500 + "etc"),
    ],
    ids=lambda path: path[:20],
)
def test_no_name_leads_out(hostile: Serving, path: str) -> None:
    for behind in ("", "/events", "/causality/x"):
        status, body = raw(hostile, f"/simulations/{path}{behind}")
        assert status == 404, (status, body)
        assert SECRET.encode() not in body


@pytest.mark.promise("Q6")
def test_absolute_path_is_no_name(hostile: Serving, tmp_path: Path) -> None:
    make_run(tmp_path, "apart", count=2)
    for path in (tmp_path / "apart", tmp_path):
        for name in (quote(str(path), safe=""), "/" + str(path)):
            assert raw(hostile, f"/simulations/{name}/events")[0] == 404


def raw(server: Serving, path: str) -> tuple[int, bytes]:
    """Ask for a path byte by byte, as no client would send it."""
    host, port = server.url.removeprefix("http://").split(":")
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as asking:
        asking.sendall(head.encode())
        answer = b""
        while data := asking.recv(65_536):
            answer += data
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.promise("Q6")
def test_link_that_is_turned_outside_later_leads_nowhere(tmp_path: Path) -> None:
    make_run(tmp_path / "root", "run", count=2)
    make_run(tmp_path / "away", "run", count=2)
    root = Root(tmp_path / "root")
    assert root.find("run").id == "run"
    (tmp_path / "root" / "run").rename(tmp_path / "root" / "before")
    (tmp_path / "root" / "run").symlink_to(tmp_path / "away" / "run")
    with pytest.raises(NotALog):
        root.find("run")


def test_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    make_run(tmp_path / "real", "run", count=2)
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert [found.id for found in Root(tmp_path / "root").logs() if found] == ["run"]


def test_log_without_any_event_counts_as_a_simulation(tmp_path: Path) -> None:
    for name, data in (("empty", b""), ("bytes", b"\xff\xff\n"), ("torn", foreign(1)[:-4])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_bytes(data)
    make_orders(tmp_path, "orders")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "events.jsonl").write_bytes(b'{"event_id":"x","event_type":"note"}\n')
    kinds = {found.id: found.is_simulation for found in Root(tmp_path).logs() if found}
    expected = {"empty": True, "bytes": True, "torn": True, "orders": False, "plain": False}
    assert kinds == expected


def test_log_in_use_stays_open_over_the_bound(tmp_path) -> None:
    for name in "abc":
        make_run(tmp_path, name, count=2)
    logs = Logs(Root(tmp_path), open_max=1)
    with logs.using(logs.root.find("a")) as a:
        for name in "bc":
            with logs.using(logs.root.find(name)):
                pass
        with logs.using(logs.root.find("a")) as again:
            assert again.reader is a.reader
            assert len(again.reader.events()) == 2
