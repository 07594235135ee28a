"""The file of logins: private, whole, and renewed by one process at a time."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from thence.errors import NotLoggedIn, SyncRefused, ThenceError
from thence.sync.credentials import CredentialStore, Login
from thence.sync.wire.messages import Tokens

URL = "https://thence.example"
ADA = Login(URL, "ada", "secret-access", "secret-refresh")


@pytest.fixture
def store(tmp_path):
    return CredentialStore(tmp_path / "config" / "thence")


def tokens(number):
    return Tokens(f"access-{number}", f"refresh-{number}", 900, 86_400, "atlas")


@pytest.mark.promise("S10")
def test_logins_of_several_users_are_kept_where_only_this_user_reads(store):
    assert store.logins() == ()
    ben = Login(URL, "ben", "b", "b")
    for login in (ben, ADA):
        store.save(login)
    assert store.logins() == (ADA, ben)
    assert store.login(URL, "ben") == ben
    assert (store.path.stat().st_mode & 0o777, store.folder.stat().st_mode & 0o777) == (
        0o600,
        0o700,
    )
    store.remove(ben)
    assert store.login(URL) == ADA
    assert "secret" not in repr(ADA) + str(ADA)


@pytest.mark.promise("S10")
def test_file_that_others_can_read_is_closed_to_them(store):
    store.save(ADA)
    store.path.chmod(0o644)
    assert store.logins() == (ADA,)
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_symbolic_link_is_refused(store, tmp_path):
    store.save(ADA)
    store.path.rename(tmp_path / "elsewhere")
    store.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ThenceError, match="symbolic link"):
        store.logins()


@pytest.mark.parametrize("data", [b"", b"{", b'[{"access":"secret"}]', b"\xff"])
def test_spoilt_file_is_refused_unseen(store, data):
    store.save(ADA)
    store.path.write_bytes(data)
    with pytest.raises(SyncRefused) as caught:
        store.logins()
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.promise("S8")
def test_of_many_one_asks_for_new_tokens_and_all_get_them(store):
    store.save(ADA)
    exchanged = []
    together = threading.Barrier(8)

    def exchange(refresh):
        exchanged.append(refresh)
        return tokens(len(exchanged))

    def renew(_):
        mine = CredentialStore(store.folder)
        together.wait()
        return mine.refreshed(ADA, exchange)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(renew, range(8)))
    assert exchanged == ["secret-refresh"]
    assert {each.access for each in found} == {"access-1"}
    assert store.login(URL).team_slug == "atlas"


@pytest.mark.promise("S8")
def test_refused_login_is_remembered_until_the_next(store):
    store.save(ADA)
    asked = []

    def refuse(refresh):
        asked.append(refresh)
        raise NotLoggedIn("could not refresh")

    for _ in range(2):
        with pytest.raises(NotLoggedIn):
            store.refreshed(ADA, refuse)
    assert len(asked) == 1
    assert store.login(URL).has_ended
    store.save(ADA.renewed(tokens(1)))
    assert not store.login(URL).has_ended


def test_new_tokens_that_can_not_be_stored_are_not_used(store):
    store.save(ADA)
    (store.folder / ".credentials.json.part").mkdir()
    with pytest.raises(ThenceError):
        store.refreshed(ADA, lambda refresh: tokens(1))
    assert store.login(URL) == ADA


def test_left_over_of_a_killed_process_is_replaced(store):
    store.save(ADA)
    (store.folder / ".credentials.json.part").write_text("half")
    store.save(ADA.renewed(tokens(1)))
    assert json.loads(store.path.read_bytes())[0]["access"] == "access-1"
    assert sorted(os.listdir(store.folder)) == ["credentials.json", "credentials.lock"]


def test_user_without_a_home_learns_of_it_by_one_error(monkeypatch):
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SyncRefused, match="config folder"):
        CredentialStore()
