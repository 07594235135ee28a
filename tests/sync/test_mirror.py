"""A team's logs in a folder to look at: pulled, kept as they are at the server, never written."""

import json
import signal
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from tests.cli.installed import THENCE, environment, is_three_lines
from tests.cli.warm import warm
from tests.server.runs import make_run
from tests.server.serving import serving
from tests.server.team.team_server import PASSWORD, TeamServer, team_server

import thence
from thence.errors import LogReadOnly, SyncRefused
from thence.log.files.segment import mirror_path
from thence.sync.client import log_in
from thence.sync.credentials import CredentialStore
from thence.sync.engine import run_round
from thence.sync.mirror import MirrorReport, mirror, read_mirror
from thence.sync.redactions import redact
from thence.sync.target import SyncTarget, write_target

SECRET = "a secret that nobody may read"


class Member:
    """A member of the team with a login, logs that are synced, and a folder for mirrors."""

    def __init__(self, server: TeamServer, user: str, folder: Path, team: str = "red") -> None:
        self.user, self.url, self.team = user, server.url, team
        self.folder, self.root = folder / user, folder / f"{user}-mirrors"
        self.store = CredentialStore(folder / f"{user}-config")
        self.store.save(log_in(server.url, user, PASSWORD))

    def log(self, name: str, title: str = "", kind: str = "plain") -> Path:
        folder = self.folder / name
        thence.open(folder, kind).close()
        target = SyncTarget(self.url, self.team, self.user, name, kind, "2026", title=title)
        write_target(folder, target)
        return folder

    def append(self, folder: Path, *texts: str) -> list[str]:
        with thence.open(folder) as log:
            ids = [log.append("said", {"text": text}).event_id for text in texts]
        self.sync(folder)
        return ids

    def sync(self, folder: Path) -> None:
        with thence.open(folder) as log:
            report = run_round(log, self.store)
        assert report is not None
        assert report.error is None

    def mirror(self) -> MirrorReport:
        target = SyncTarget(self.url, self.team, self.user, "", "", "")
        return mirror(self.root, target, self.store)

    def said(self, name: str) -> list[str]:
        with thence.open(self.root / name, create=False) as log:
            return [event.payload.get("text", "") for event in log.events()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data") as running:
        running.add("eve")
        running.add("rita", role="reader")
        running.add("bob", "blue")
        yield running


@pytest.fixture
def ada(server: TeamServer, tmp_path: Path) -> Member:
    return Member(server, "ada", tmp_path)


@pytest.fixture
def eve(server: TeamServer, tmp_path: Path) -> Member:
    return Member(server, "eve", tmp_path)


@pytest.fixture
def rita(server: TeamServer, tmp_path: Path) -> Member:
    return Member(server, "rita", tmp_path)


@pytest.mark.promise("S11", "S12")
def test_each_log_of_a_team_is_pulled_and_what_comes_later_too(server, ada, eve, rita, tmp_path):
    orders, stock = ada.log("orders", "the shop"), eve.log("stock")
    ada.append(orders, "one", "x" * 100_000)
    eve.append(stock, "three")
    bob = Member(server, "bob", tmp_path, "blue")
    bob.append(bob.log("secret"), "of another team")
    report = rita.mirror()
    assert (report.logs, report.pulled, report.unmirrored) == (2, 3, {})
    assert sorted(path.name for path in rita.root.iterdir()) == ["orders", "stock"]
    assert rita.said("orders") == ["one", "x" * 100_000]
    joined = eve.log("orders", "the folder of eve")
    eve.sync(joined)
    eve.append(joined, "two")
    assert rita.mirror().pulled == 1
    assert rita.said("orders") == ["one", "x" * 100_000, "two"]
    assert rita.mirror()[:3] == (2, 0, 0)
    state = read_mirror(rita.root / "orders")
    assert state is not None
    assert (state.server, state.team, state.withdrawn) == (server.url, "red", "")
    assert (state.log.log, state.log.kind, state.log.title) == ("orders", "plain", "the shop")
    assert (state.log.first_by, state.log.last_by) == ("ada", "eve")
    with serving(rita.root) as shown:
        page = unescape(shown.get("/runs/orders").text)
        assert "<h1><bdi>the shop</bdi></h1>" in page
        mirrors = f"the log orders of team red at {server.url}, begun by ada, last pushed by eve"
        assert mirrors in page
        home = shown.get("/").text
        assert "<bdi>the shop</bdi>" in home
        assert mirrors in unescape(home)


@pytest.mark.promise("S10a")
def test_redaction_reaches_a_mirror(ada: Member, rita: Member) -> None:
    orders = ada.log("orders")
    (event_id,) = ada.append(orders, SECRET)
    ada.append(orders, "plain")
    rita.mirror()
    assert SECRET in rita.said("orders")
    with thence.open(orders) as log:
        redact(log, log.get(event_id), "a password")
    ada.sync(orders)
    assert rita.mirror().redacted == 1
    assert SECRET not in rita.said("orders")
    for path in (rita.root / "orders").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_mirror_refuses_appends_and_redactions(ada: Member, rita: Member) -> None:
    (event_id,) = ada.append(ada.log("orders"), "one")
    rita.mirror()
    with thence.open(rita.root / "orders") as log:
        for attempt in (
            lambda: log.append("said", {"text": "mine"}),
            lambda: log.append_many([{"event_type": "said"}]),
            lambda: log.emit("said"),
            lambda: redact(log, log.get(event_id), ""),
        ):
            with pytest.raises(LogReadOnly, match="mirror"):
                attempt()
    assert rita.said("orders") == ["one"]
    ada.append(ada.folder / "orders", "two")
    assert rita.mirror().pulled == 1


@pytest.mark.promise("S12")
def test_log_stays_with_a_mark_while_the_right_to_read_it_is_withdrawn(server, ada, rita):
    orders = ada.log("orders")
    ada.append(orders, "one")
    rita.mirror()
    with server.accounts() as accounts:
        accounts.remove_user("rita")
    ada.append(orders, "two")
    with pytest.raises(SyncRefused):
        rita.mirror()
    assert rita.said("orders") == ["one"]
    state = read_mirror(rita.root / "orders")
    assert state is not None
    assert state.withdrawn
    with serving(rita.root) as shown:
        assert f"not up to date: {state.withdrawn}" in unescape(shown.get("/runs/orders").text)
    server.add("rita", role="reader")
    rita.store.save(log_in(server.url, "rita", PASSWORD))
    assert rita.mirror().pulled == 1
    assert rita.said("orders") == ["one", "two"]
    assert read_mirror(rita.root / "orders").withdrawn == ""


def test_other_content_of_the_folder_is_left_alone(ada: Member, rita: Member) -> None:
    for name in ("orders", "stock", "notes"):
        ada.append(ada.log(name), name)
    mine = rita.root / "orders"
    with thence.open(mine) as log:
        log.append("said", {"text": "mine"})
    (rita.root / "stock").symlink_to(rita.folder)
    report = rita.mirror()
    assert [*report.unmirrored] == ["orders", "stock"]
    assert rita.said("orders") == ["mine"]
    assert not rita.folder.exists()
    assert rita.said("notes") == ["notes"]
    state = json.loads(mirror_path(rita.root / "notes").read_bytes())
    state["team"] = "blue"
    mirror_path(rita.root / "notes").write_text(json.dumps(state))
    assert [*rita.mirror().unmirrored] == ["notes", "orders", "stock"]


def test_command_mirrors_once_or_until_it_is_ended(server, ada, rita, tmp_path):
    run = ada.log("run", kind="sim")
    events = make_run(tmp_path, "first", count=3) / "events.jsonl"
    with thence.open(run) as log:
        log.relay(events.read_bytes().splitlines())
    ada.sync(run)
    ada.append(ada.log("orders"), "one")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    CredentialStore(tmp_path / "config" / "thence").save(log_in(server.url, "rita", PASSWORD))
    words = ("sync", "mirror", server.url, str(rita.root))
    done = warm(*words, "--json", cwd=tmp_path, env=env)
    assert (done.code, done.json) == (
        0,
        {"logs": 2, "pulled": 4, "redacted": 0, "unmirrored": {}, "withdrawn": []},
    )
    (rita.root / "stock").mkdir()
    ada.append(ada.log("stock"), "two")
    refused = warm(*words, cwd=tmp_path, env=env)
    assert refused.code == 1
    assert "something else has its name there" in refused.err
    assert is_three_lines(refused.err[refused.err.index("thence: ") :])
    (rita.root / "stock").rmdir()
    following = [THENCE, *words, "--follow", "--json"]
    for number, code, texts in ((signal.SIGTERM, 0, ["three"]), (signal.SIGINT, 130, [])):
        piped = {"env": environment(**env), "stdout": subprocess.PIPE}
        with subprocess.Popen(following, **piped) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["pulled"] == len(texts)
            for text in texts:
                ada.append(ada.folder / "stock", text)
                assert json.loads(process.stdout.readline())["pulled"] == 1
            process.send_signal(number)
            assert process.wait(60) == code
    assert rita.said("stock") == ["two", "three"]
    with serving(rita.root) as shown:
        assert "<bdi>first</bdi>" in shown.get("/runs/run").text, "the id in its first event"
