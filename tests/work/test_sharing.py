"""A board is shared once somebody asked for it, over the git remote that the code goes to."""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.cli.installed import on_terminal, ran
from tests.git.repositories import commit, git
from tests.work.boards import BOARD, bare, clone, done, sync, synced

pytestmark = pytest.mark.xdist_group("clones")
# the command, where the packages of no extra are installed
WITHOUT_EXTRAS = """
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
sys.modules["httpcore2"] = None
from thence.cli.main import main
sys.exit(main())
"""
# a program in place of ssh, or of one that asks for passwords, that notes what it could have done
NOTING = """#!/bin/sh
{ echo asked > /dev/tty; } 2> /dev/null && echo a terminal >> "$0.asked"
case " $* " in *" BatchMode=yes "*) exit 255 ;; *) echo "$*" >> "$0.asked"; exit 255 ;; esac
"""


class Locked(BaseHTTPRequestHandler):
    """A host that wants a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic realm=code")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare(tmp_path / "remote.git")


def test_nothing_is_sent_before_somebody_asked_and_the_asking_is_said_once(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")
    done(ada, "implement", "WP01")
    assert git(remote, "branch", "--list", BOARD) == ""
    assert "not shared yet: thence sync now" in sync(ada, "status").out
    first = sync(ada, "now")
    assert "the board is shared from now on, on origin/thence-board" in first.err
    assert git(remote, "branch", "--list", BOARD) != ""
    assert "shared from now on" not in sync(ada, "now").err


@pytest.mark.promise("P7")
def test_board_is_shared_over_its_remote_without_any_extra(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")
    for words in (("now",), ("status", "--check"), ("disable",)):
        ended = ran(sys.executable, "-c", WITHOUT_EXTRAS, "sync", *words, cwd=ada)
        assert ended.code == 0, ended.err
    assert git(remote, "branch", "--list", BOARD) != ""


@pytest.mark.promise("S9")
def test_status_tells_what_is_not_shared_and_how_the_last_exchange_went(remote, tmp_path):
    ada, bob = clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")
    done(ada, "finalize-tasks", "--add", "First")
    assert sync(ada, "status", "--check").code == 1, "it is not shared"
    synced(ada)
    assert sync(ada, "status", "--check", "--json").json["is_in_sync"] is True
    state = sync(ada, "status", "--json").json["board"]
    assert (state["place"], state["is_shared"], state["unshared"]) == (f"origin/{BOARD}", True, 0)
    assert (state["last"]["pushed"], state["last"]["error_text"]) == (2, "")
    synced(bob)
    remote.rename(tmp_path / "away.git")
    assert sync(ada, "now").code == 1
    told = sync(ada, "status").out
    assert "unshared    0 events" in told
    assert "failed      1 time in a row: could not share the board" in told
    (tmp_path / "away.git").rename(remote)
    assert sync(bob, "status", "--json").json["board"]["unshared"] == 0, "what a fetch brought"


def test_disabled_board_is_private_until_somebody_asks_again(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")
    synced(ada)
    assert f"what was sent stays on origin/{BOARD}" in sync(ada, "disable").err
    assert "not shared yet" in sync(ada, "status").out
    assert "shared from now on" in sync(ada, "now").err


def test_board_is_never_newer_than_the_code_that_comes_with_it(remote, tmp_path):
    ada, bob = clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")
    done(ada, "finalize-tasks", "--add", "First")
    tree = Path(done(ada, "implement", "WP01", "--json").json["worktree"])
    commit(tree, {"a": "1\n"})
    done(ada, "move-task", "WP01", "--to", "for_review")
    done(ada, "merge")
    git(ada, "push", "--quiet", "origin", "main")
    done(ada, "accept")
    synced(ada)
    synced(bob)
    assert git(bob, "rev-parse", "origin/main") == git(ada, "rev-parse", "main")
    (state,) = done(bob, "status", "--json").json["here"]["landed"]
    assert state["state"] == "landed"


def test_target_that_the_remote_has_lost_keeps_nobody_from_the_board(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")
    git(remote, "branch", "--quiet", "-m", "main", "trunk")
    synced(ada)
    done(ada, "add-history", "WP01", "seen")
    assert synced(ada)["pushed"] == 1


@pytest.fixture
def noting(tmp_path: Path) -> Path:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(NOTING)
    program.chmod(0o755)
    return program


def test_neither_git_nor_ssh_asks_on_a_terminal(remote, tmp_path, noting):
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")
    git(ada, "remote", "set-url", "origin", "ssh://git@host.invalid/board.git")
    path = f"{noting.parent}{os.pathsep}{os.environ['PATH']}"
    code, shown = on_terminal(ada, "sync", "now", PATH=path)
    assert (code, "could not share the board" in shown) == (1, True), shown
    assert not Path(f"{noting}.asked").exists()
    code, _ = on_terminal(ada, "sync", "now", GIT_SSH_COMMAND=os.fspath(noting))
    asked = Path(f"{noting}.asked").read_text()
    assert (code, "a terminal" in asked) == (1, False), (
        "an ssh of the user's own has none to ask on"
    )


def test_no_program_asks_for_a_password(remote, tmp_path, noting):
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")
    host = ThreadingHTTPServer(("127.0.0.1", 0), Locked)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    try:
        git(ada, "remote", "set-url", "origin", f"http://127.0.0.1:{host.server_address[1]}/b.git")
        git(ada, "config", "core.askPass", noting)
        asking = dict.fromkeys(("GIT_ASKPASS", "SSH_ASKPASS"), os.fspath(noting))
        code, shown = on_terminal(ada, "sync", "now", **asking)
    finally:
        host.shutdown()
        host.server_close()
    assert (code, "could not read Username" in shown) == (1, True), shown
    assert not Path(f"{noting}.asked").exists()
