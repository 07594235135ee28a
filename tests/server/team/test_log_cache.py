"""The folders that answer questions about a team's logs are made when asked for, and bounded."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.cli.installed import is_three_lines, thence
from tests.server.runs import make_run
from tests.server.team.lines import lines
from tests.server.team.team_server import PASSWORD, team_server
from tests.tiers import tenth

from thence.core.query.filter import Filter
from thence.files import FileBusy, file_lock
from thence.log.open import open_log
from thence.server.app import create_team_app
from thence.server.logs.root import Logs, Root
from thence.server.running import TEAM_DATABASE
from thence.server.team import log_cache
from thence.server.team.accounts import Accounts
from thence.server.team.log_cache import KEPT_S, LogCache
from thence.server.team.logins import hashed
from thence.server.team.sqlite import SqliteDatabase, make_database
from thence.server.team.store import Store
from thence.server.team.sync_service import Exchange

FEW, MANY = 5, 60


class Teams:
    """A store with the logs `a`, `b` and `c` of one team, and a cache of its own clock."""

    def __init__(self, folder: Path, bytes_max: int = 1) -> None:
        self.seconds = 1_000.0
        self.folder = folder.absolute() / "cache"
        database = SqliteDatabase.in_memory("e1")
        Accounts(database, str).add_team("red")
        store = Store(database)
        for name in "abc":
            Exchange(store).batch("red", name, "plain", lines(FEW))
        self.cache = LogCache(self.folder, store, bytes_max=bytes_max, now=lambda: self.seconds)

    def ask(self, name: str) -> list[bytes]:
        """Returns the lines that a question finds, and lets the time of a question pass."""
        self.cache.refresh("red", name)
        with open_log(self.folder / "teams" / "red" / name, create=False) as log:
            found = [event.line for event in log.events()]
        self.seconds += KEPT_S
        return found

    def names(self) -> set[str]:
        return {folder.name for folder in (self.folder / "teams" / "red").iterdir()}


@pytest.fixture
def teams(tmp_path: Path) -> Iterator[Teams]:
    teams = Teams(tmp_path)
    yield teams
    teams.cache.close()


def test_folders_used_least_recently_go_over_the_bound_and_come_again(teams: Teams) -> None:
    for name in "aba":
        assert teams.ask(name) == lines(FEW)
        assert teams.names() == {name}
    teams.seconds -= KEPT_S  # of the last one, who may still wait for its answer
    assert teams.ask("b") == lines(FEW)
    assert teams.names() == {"a", "b"}
    assert not any((teams.folder / "dropped").iterdir())


@pytest.mark.promise("P5")
def test_cursor_of_a_page_holds_in_other_processes_and_for_a_folder_that_came_again(
    tmp_path: Path,
) -> None:
    processes = [Teams(tmp_path / name, bytes_max=1 << 30) for name in ("one", "other")]
    taken: list[bytes] = []
    cursor = None
    for teams in (*processes, processes[0]):
        teams.ask("a")
        root = Root(teams.folder / "teams" / "red")
        location = root.find("a")
        with Logs(root).using(location, is_kept=False) as log:
            page = log.page(Filter(), limit=2, cursor=cursor)
        taken += [event.line for event in page]
        cursor = page.next_cursor
        shutil.rmtree(location.folder)
    assert taken == lines(FEW)
    assert cursor is None
    for teams in processes:
        teams.cache.close()


def test_folder_that_somebody_has_open_stays(teams: Teams) -> None:
    teams.cache.release = lambda folder: folder.name != "a"
    for name in "abc":
        teams.ask(name)
    assert teams.names() == {"a", "c"}


def test_bound_holds_for_what_an_earlier_process_left(tmp_path: Path) -> None:
    roomy = Teams(tmp_path, bytes_max=1 << 30)
    for name in "abc":
        roomy.ask(name)
    assert roomy.names() == {"a", "b", "c"}
    with pytest.raises(FileBusy):
        Teams(tmp_path)
    roomy.cache.close()
    later = Teams(tmp_path)
    later.cache.begin()
    assert later.names() == set()
    later.cache.close()


def test_log_in_use_is_not_released_and_an_idle_one_is_closed(tmp_path: Path) -> None:
    make_run(tmp_path, "run", count=3)
    logs = Logs(Root(tmp_path))
    location = logs.root.find("run")
    with logs.using(location):
        assert not logs.release(location.folder)
        assert logs.open == 1
    assert logs.release(location.folder)
    assert logs.open == 0


@pytest.mark.promise("S12")
@pytest.mark.whole
def test_question_that_waits_for_a_large_folder_is_told_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_cache, "RELAYED_MAX", FEW)
    monkeypatch.setattr(log_cache, "WAIT_S", 0.01)
    database = tmp_path / TEAM_DATABASE
    make_database(database, "e1")
    opened = SqliteDatabase(database)
    accounts = Accounts(opened, hashed)
    accounts.add_team("red")
    accounts.add_user("ada", "red", "writer", lambda: PASSWORD)
    exchange = Exchange(Store(opened))
    exchange.batch("red", "large", "plain", lines(FEW))
    with TestClient(create_team_app(database)) as client:
        credentials = {"username": "ada", "password": PASSWORD}
        access = client.post("/api/v1/token/", json=credentials).json()["access"]
        client.headers["Authorization"] = f"Bearer {access}"
        path = "/logs/large/events"
        assert client.get(path).json()["total"] == FEW
        exchange.batch("red", "large", "plain", lines(MANY))
        folder = tmp_path / "teams" / "red" / "large"
        with file_lock(folder / ".thence" / "lock"):  # as another command holds it
            for _ in range(tenth(3, 1)):
                for asked in (path, "/logs", "/runs/large", "/"):
                    answer = client.get(asked)
                    assert answer.status_code == 503, asked
                    assert f"{FEW} of {MANY} lines of large are ready" in answer.text
                    is_page = not asked.startswith("/logs")
                    assert answer.headers["content-type"].startswith("text/html") == is_page
                    assert answer.headers["Refresh" if is_page else "Retry-After"] in "12"
                    assert ("reloads by itself" in answer.text) == is_page
            assert client.get("/schemas").status_code == 200
        while (answer := client.get(path)).status_code != 200:
            assert answer.json()["code"] == "unavailable"
        assert answer.json()["total"] == MANY
        exchange.batch("red", "large", "plain", lines(MANY + 1))
        assert client.get(path).json()["total"] == MANY + 1
    opened.close()


@pytest.mark.promise("S12")
def test_folders_may_go_at_any_time_and_no_two_servers_have_them(tmp_path: Path) -> None:
    with team_server(tmp_path / "data") as server:
        folders = server.data / "teams"
        ada = server.client("ada")
        assert ada.statuses("asked", lines(FEW)) == ["success"] * FEW
        for _ in range(3):
            assert ada.ask("GET", "/logs/asked/events").json["total"] == FEW
            assert {entry["id"] for entry in ada.ask("GET", "/logs").json["logs"]} == {"asked"}
            assert (folders / "red" / "asked" / "events.jsonl").exists()
            shutil.rmtree(folders)
        refused = thence("server", "run", "--port", "0", "--data", server.data, cwd=tmp_path)
        assert (refused.code, is_three_lines(refused.err)) == (1, True)
        assert "another process answers from it" in refused.err
