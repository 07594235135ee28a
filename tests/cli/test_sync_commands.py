"""The commands of `thence sync`, as a user runs them, against a server of the wire."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from tests.cli.installed import WITH_BAR, is_three_lines, on_terminal, thence
from tests.cli.warm import warm
from tests.git.repositories import begin_work, make_repository
from tests.log.pruned import filled
from tests.sync.http_servers import TeamServer
from tests.sync.plain_server import PlainServer
from tests.trace.agents.played import PlayedRepository, Session
from tests.work.boards import settled

from thence.files import file_lock
from thence.sync.client import log_in
from thence.sync.credentials import CredentialStore
from thence.work.journal.store import EventStore


@pytest.fixture
def server():
    with TeamServer(PlainServer) as found:
        yield found


class User:
    """A user with a config folder of their own, at work in a folder."""

    def __init__(self, name, config, folder):
        self.name, self.config, self.folder = name, config, folder

    def __call__(self, *arguments, cwd=None):
        env = {"XDG_CONFIG_HOME": str(self.config)}
        return warm(*arguments, cwd=cwd or self.folder, env=env)

    def done(self, *arguments, cwd=None):
        return self(*arguments, cwd=cwd).done()

    @classmethod
    def at(cls, folder, name, server, password):
        """Return a user who has logged in, at work in a folder of their own."""
        (folder / name).mkdir()
        user = cls(name, folder / name / "config", folder / name)
        user.log_in(server, password)
        return user

    def log_in(self, server, password="blue whale"):
        """Store a login as the command does, in a moment."""
        CredentialStore(self.config / "thence").save(log_in(server.url, self.name, password))


@pytest.fixture
def ada(tmp_path):
    folder = tmp_path / "ada"
    folder.mkdir()
    return User("ada", tmp_path / "config", folder)


def clone(user, server, folder):
    """Make a project, or a copy of one, that is synced."""
    user.done("sync", "enable", "--json", cwd=folder)
    return user.done("sync", "now", "--json", cwd=folder).json


@pytest.mark.promise("S9")
def test_two_clones_of_a_project_have_one_board_after_sync_now(tmp_path, ada, server):
    ada.log_in(server)
    first = make_repository(tmp_path / "first")
    ada.done("work", "finalize-tasks", "--add", "Read the spec", cwd=first)
    second = tmp_path / "second"
    shutil.copytree(first, second, ignore=lambda folder, names: {"thence"} & set(names))
    brought = clone(ada, server, first)
    assert brought["pushed"] > 0
    assert clone(ada, server, second)["pulled"] == brought["pushed"]
    ada.done("work", "move-task", "WP01", "--to", "doing", cwd=second)
    ada.done("sync", "now", cwd=second)
    ada.done("sync", "now", cwd=first)
    boards = [ada.done("work", "status", "--json", cwd=each).json for each in (first, second)]
    assert boards[0]["features"] == boards[1]["features"]
    assert "WP01" in json.dumps(boards[0]["features"][0]["lanes"]["doing"])
    (log,) = server.logs.values()
    events = map(json.loads, log.lines)
    teams = [each["team_slug"] for each in events if not each["event_type"].startswith("log.")]
    assert (teams[0], teams[-1]) == ("local", "atlas")
    assert server.kinds == {EventStore.at(first).project.uuid: "work"}
    again = ada.done("sync", "now", "--json", cwd=first).json
    assert (again["pulled"], again["pushed"]) == (0, 0)
    assert ada.done("sync", "status", "--check", cwd=first).code == 0


def test_log_is_called_by_its_folder_or_by_its_name_at_the_server(tmp_path, ada, server):
    ada.log_in(server)
    shop = make_repository(tmp_path / "shop")
    ada.done("work", "finalize-tasks", "--add", "Read the spec", cwd=shop)
    ada.done("append", "--log", "orders", "order.placed", "n=1")
    for arguments, title in (
        ((), "shop"),
        (("--log", ada.folder / "orders"), "orders"),
        (("--log", ada.folder / "orders", "--name", "mill"), "mill"),
        (("--log", ada.folder / "orders"), "mill"),
    ):
        words = ("sync", "enable", *arguments, "--switch", "--yes", "--json")
        told = ada.done(*words, cwd=shop).json
        assert told["title"] == title


@pytest.mark.promise("S9")
def test_sync_now_shows_its_progress_on_a_terminal_alone(ada, server):
    ada.log_in(server)
    ada.done("append", "--log", "orders", "order.placed", "n=1")
    ada.done("sync", "enable", "--log", "orders", "--name", "orders")
    words, env = ("sync", "now", "--log", "orders"), {"XDG_CONFIG_HOME": str(ada.config)}
    code, shown = on_terminal(ada.folder, *words, program=WITH_BAR, **env)
    assert code == 0
    assert "lines pushed 1" in shown
    assert "pulled 0, pushed 1" in shown
    ada.done("append", "--log", "orders", "order.placed", "n=2")
    assert "lines pushed" not in ada.done(*words).err


@pytest.mark.promise("S9")
def test_sync_now_exits_1_with_three_lines_while_anything_stays_behind(ada, server):
    ada.log_in(server)
    ada.done("append", "--log", "orders", "order.placed", "n=1")
    ada.done("append", "--log", "orders", "order.spoilt", "n=2")
    server.logs.default_factory = refusing
    ada.done("sync", "enable", "--log", "orders", "--name", "orders")
    assert "1 are parked" in ada("sync", "now", "--log", "orders").failure(1)
    parked = ada.done("sync", "parked", "--log", "orders", "--json").json["parked"]
    assert [(each["direction"], each["reason"]) for each in parked] == [("push", "it is spoilt")]
    assert parked[0]["next"] == "once the server takes it: thence sync parked retry"
    state = ada("sync", "status", "--log", "orders", "--check", "--json")
    assert (state.code, state.json["is_in_sync"], state.json["parked"]) == (1, False, 1)
    assert (state.json["missing_there"], state.json["missing_here"]) == (1, 0)
    server.logs["orders"].refuse = lambda line: None
    ada.done("sync", "parked", "retry", "--log", "orders")
    assert ada.done("sync", "now", "--log", "orders", "--json").json["pushed"] == 1
    last = ada.done("sync", "status", "--log", "orders", "--json").json["last"]
    assert (last["pulled"], last["pushed"], last["redacted"]) == (0, 1, 0)
    assert "pulled 0, pushed 1" in ada.done("sync", "status", "--log", "orders").out
    server.logs["orders"].batch([FOREIGN % n for n in range(3)])
    state = ada("sync", "status", "--log", "orders", "--check", "--json")
    assert (state.code, state.json["missing_there"], state.json["missing_here"]) == (1, 0, 3)
    text = ada("sync", "status", "--log", "orders", "--check").out
    assert "server      0 lines missing there, 3 lines missing here" in text


@pytest.mark.promise("A5")
def test_pruned_log_and_its_server_are_in_sync(ada, server):
    ada.log_in(server)
    filled(ada.folder / "orders")
    ada.done("sync", "enable", "--log", "orders", "--name", "orders")
    dry = ("prune", "--log", "orders", "--before", "2100-01-01", "--dry-run", "--json")
    assert "thence sync now" in ada.done(*dry).json["stopped"]
    ada.done("sync", "now", "--log", "orders")
    assert ada.done("prune", "--log", "orders", "--keep-bytes", "3kB", "--yes", "--json").json[
        "files"
    ]
    said = ada.done("sync", "now", "--log", "orders", "--json").json
    assert (said["pulled"], said["pushed"]) == (0, 1)
    state = ada.done("sync", "status", "--log", "orders", "--check", "--json").json
    assert (state["is_in_sync"], state["missing_here"]) == (True, 0)
    assert ada.done("verify", "--log", "orders", "--json").json["ok"]


FOREIGN = b'{"event_type":"t","event_id":"theirs-%d"}'


def refusing():
    log = PlainServer()
    log.refuse = lambda line: "it is spoilt" if b"spoilt" in line else None
    return log


@pytest.mark.promise("S4")
@pytest.mark.promise("S9")
def test_without_a_server_local_commands_go_on_and_status_needs_no_network(tmp_path, ada):
    folder = make_repository(tmp_path / "project")
    with TeamServer(PlainServer) as server:
        ada.log_in(server)
        ada.done("work", "finalize-tasks", "--add", "Read the spec", cwd=folder)
        ada.done("sync", "enable", cwd=folder)
    before = ada.done("sync", "status", "--json", cwd=folder).json
    assert (before["connection"], before["last"], before["is_enabled"]) == ("Offline", None, True)
    ada("sync", "now", cwd=folder).failure(1)
    ada.done("work", "finalize-tasks", "--add", "Write it", cwd=folder)
    state = ada.done("sync", "status", "--json", cwd=folder).json
    assert state["connection"] == "OfflineBatchMode"
    assert (state["failures"], state["last"]["error_code"]) == (1, "server_unreachable")
    assert state["pending"] > before["pending"] > 0
    assert ada("sync", "status", "--check", cwd=folder).code == 1


@pytest.mark.promise("S7")
def test_second_sync_waits_for_the_turn_of_the_first(ada, server):
    ada.log_in(server)
    ada.done("append", "--log", "orders", "note", "text=hello")
    ada.done("sync", "enable", "--log", "orders")
    turn = file_lock(ada.folder / "orders/.thence/sync/lock")
    release = threading.Timer(0.5, turn.close)
    release.start()
    assert ada.done("sync", "now", "--log", "orders", "--json").json["pushed"] == 1
    release.join()


def test_another_target_is_refused_without_switch(ada, server):
    ada.log_in(server)
    ben = User("ben", ada.config, ada.folder)
    ben.log_in(server, "red fox")
    ada.done("append", "--log", "orders", "note", "text=hello")
    assert "--as" in ada("sync", "enable", "--log", "orders").failure(1)
    enable = ("sync", "enable", "--log", "orders", "--json")
    first = ada.done(*enable, "--as", "ada").json
    assert ada.done(*enable, "--as", "ada").json["log"] == first["log"]
    refused = ada(*enable, "--as", "ben")
    assert refused.json["error"]["code"] == "sync_refused"
    assert "--switch" in refused.json["error"]["hint"]
    assert "ada" in refused.json["error"]["cause"]
    assert ada.done(*enable, "--as", "ben", "--switch").json["user"] == "ben"
    ada.done("sync", "disable", "--log", "orders")
    assert ada("sync", "now", "--log", "orders").code == 1
    ada.done(*enable, "--as", "ben")
    assert ada.done("sync", "now", "--log", "orders", "--json").json["pushed"] == 1


def test_switch_tells_what_it_sends_and_asks(ada, server):
    ada.log_in(server)
    ada.done("append", "--log", "orders", "note", "text=hello")
    enable = ("sync", "enable", "--log", "orders")
    ada.done(*enable, "--name", "orders")
    refused = ada(*enable, "--name", "others")
    assert is_three_lines(refused.err)
    assert "its log is orders and would be others" in refused.err
    alone = ada(*enable, "--name", "others", "--switch")
    assert (alone.code, "--yes" in alone.err) == (2, True)
    code, shown = on_terminal(
        ada.folder,
        *(*enable, "--name", "others", "--switch"),
        answer=(rb"Switch\? .*", b"n\n"),
        XDG_CONFIG_HOME=str(ada.config),
    )
    shown = " ".join(shown.split())
    assert (code, "all events" in shown, "you did not agree" in shown) == (1, True, True)
    assert ada.done(*enable, "--json").json["log"] == "orders"
    ada.done(*enable, "--name", "others", "--switch", "--yes")
    assert ada.done("sync", "now", "--log", "orders", "--json").json["pushed"] == 1
    assert set(server.logs) == {"others"}


def test_name_and_team_are_kept_while_sync_is_off(ada, server):
    ada.log_in(server)
    ada.done("append", "--log", "orders", "note", "text=hello")
    enable = ("sync", "enable", "--log", "orders", "--json")
    first = ada.done(*enable, "--name", "of-june", "--team", "red").json
    ada.done("sync", "disable", "--log", "orders")
    again = ada.done(*enable).json
    assert (again["log"], again["team"]) == (first["log"], first["team"]) == ("of-june", "red")


def test_second_machine_makes_the_folder_of_a_log(ada, server):
    ada.log_in(server)
    ada.done("append", "--log", "orders", "note", "text=hello")
    ada.done("sync", "enable", "--log", "orders", "--name", "orders")
    sent = ada.done("sync", "now", "--log", "orders", "--json").json["pushed"]
    ada.log_in(server)
    (ada.folder / "empty").mkdir()
    for name in ("second", "empty"):
        log = ("--log", name)
        assert ada("sync", "enable", *log).code != 0  # no name, so that it may be misspelt
        assert ada("sync", "enable", *log, "--name", "a b").code == 2
        assert not list(ada.folder.glob(f"{name}/*"))
        ada.done("sync", "enable", *log, "--name", "orders")
        assert ada.done("sync", "now", *log, "--json").json["pulled"] == sent
        assert (
            ada.done("query", *log, "--json").out
            == ada.done("query", "--log", "orders", "--json").out
        )


def test_moved_and_copied_logs_go_on(ada, server):
    ada.log_in(server)
    ada.done("append", "--log", "orders", "note", "text=1")
    ada.done("sync", "enable", "--log", "orders")
    ada.done("sync", "now", "--log", "orders")
    Path(ada.folder / "orders").rename(ada.folder / "moved")
    shutil.copytree(ada.folder / "moved", ada.folder / "copied")
    for each in ("moved", "copied"):
        ada.done("append", "--log", each, "note", "text=2")
        assert ada.done("sync", "now", "--log", each, "--json").json["pushed"] >= 1
    ada.done("sync", "now", "--log", "moved")
    assert ada.done("sync", "status", "--check", "--log", "moved").code == 0


@pytest.mark.promise("S10")
def test_login_is_private_and_logout_ends_it(ada, server):
    ended = thence(
        *("sync", "login", server.url, "--username", "ada", "--password-stdin", "--json"),
        cwd=ada.folder,
        env={"XDG_CONFIG_HOME": str(ada.config)},
        stdin=b"blue whale\n",
    )
    assert ended.json == {"server": server.url, "username": "ada", "team": "atlas"}
    file = ada.config / "thence/credentials.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    access, refresh = next(iter(server.access)), next(iter(server.refresh))
    ada.done("append", "--log", "orders", "note", "text=1")
    ada.done("sync", "enable", "--log", "orders", "--server", f"{server.url}/")
    ada.done("sync", "now", "--log", "orders")
    for path in (each for each in ada.folder.rglob("*") if each.is_file()):
        assert access.encode() not in path.read_bytes()
        assert refresh.encode() not in path.read_bytes()
    ada.done("sync", "logout")
    assert refresh not in server.refresh
    assert access not in file.read_text()
    out = ada("sync", "now", "--log", "orders", "--json")
    assert out.json["error"]["code"] == "not_logged_in"


def test_login_without_a_terminal_names_the_option(ada, server):
    assert "--username" in ada("sync", "login", server.url).failure(2)
    for url in ("http://thence.example", "thence.example"):
        ada("sync", "login", url, "--username", "ada", "--password-stdin").failure(2)
        ada("sync", "enable", "--log", "orders", "--server", url).failure(2)


@pytest.mark.promise("S4")
def test_board_is_sent_to_its_server_in_the_background_once_somebody_asked(tmp_path, ada, server):
    folder = make_repository(tmp_path / "project")
    ada.log_in(server)
    ada.done("work", "finalize-tasks", "--add", "Read the spec", cwd=folder)
    ada.done("sync", "enable", cwd=folder)
    ada.done("work", "add-history", "WP01", "before", cwd=folder)
    assert not server.logs, "enabling sends nothing"
    ada.done("sync", "now", cwd=folder)
    (log,) = server.logs.values()
    count = len(log.lines)
    ada.done("work", "add-history", "WP01", "after", cwd=folder)
    settled(folder)
    assert len(log.lines) == count + 1
    assert ada.done("work", "status", "--json", cwd=folder).json["here"]["sharing"] == {
        "is_shared": True,
        "unshared": 0,
    }


def test_sync_takes_the_log_that_is_listed_and_makes_no_journal(tmp_path, ada, server):
    ada.log_in(server)
    played = PlayedRepository(tmp_path / "shop", {"pay.py": "a = 1\n"})
    Session(played, "s1", ask="Make it two").edit("pay.py", "a = 1", "a = 2")
    played.log.close()
    enabled = ada.done("sync", "enable", cwd=played.top)
    assert "log: " in enabled.err
    assert ".git/thence/agents" in enabled.err
    count = int(ada.done("log", "--count", cwd=played.top).out)
    assert ada.done("sync", "now", "--json", cwd=played.top).json["pushed"] == count > 0
    assert [path.name for path in (played.top / ".git" / "thence").iterdir()] == ["agents"]
    begin_work(played.top)
    ada.done("work", "finalize-tasks", "--add", "Read the spec", cwd=played.top)
    status = ada.done("sync", "status", "--json", cwd=played.top).json
    assert (status["is_enabled"], status["pending"]) == (True, 0)


def test_sync_of_nothing_makes_nothing(tmp_path, ada, server):
    ada.log_in(server)
    folder = make_repository(tmp_path / "bare")
    for command in ("enable", "now", "status"):
        ada("sync", command, cwd=folder).failure(4)
    assert not (folder / ".git" / "thence").exists()
