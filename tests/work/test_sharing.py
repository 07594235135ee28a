"""A board is shared once somebody asked for it, over the git remote that the code goes to."""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.cli.installed import on_terminal, ran
from tests.cli.work.other_git import with_git
from tests.git.repositories import commit, git
from tests.work import boards
from tests.work.boards import BOARD, WAIT_S, done, features, settled, shared_lines, sync

from thence.cli.commands.work.moving import implement
from thence.errors import Refused
from thence.work.orchestrate import orchestrator
from thence.work.project.configuration import read_setup
from thence.work.session import sharing
from thence.work.session.session import Session

pytestmark = pytest.mark.xdist_group("clones")
# the command, where the packages of no extra are installed
WITHOUT_EXTRAS = """
import sys
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


def clone(source: Path, path: Path) -> Path:
    """Make a clone as users do."""
    boards.clone(source, path)
    (path / ".git/thence/private").unlink()
    return path


@pytest.fixture
def ada(ada: Path) -> Path:
    (ada / ".git/thence/private").unlink()
    return ada


@pytest.fixture
def bob(bob: Path) -> Path:
    (bob / ".git/thence/private").unlink()
    return bob


def synced(folder: Path) -> dict[str, object]:
    ended = sync(folder, "now", "--json")
    assert ended.code == 0, ended.err
    return ended.json


def test_nothing_is_sent_before_somebody_asked_and_the_asking_is_said_once(ada, remote):
    done(ada, "implement", "WP01")
    assert git(remote, "branch", "--list", BOARD) == ""
    assert "not shared yet: thence sync now" in sync(ada, "status").out
    first = sync(ada, "now")
    assert "the board is now shared on origin/thence-board" in first.err
    assert git(remote, "branch", "--list", BOARD) != ""
    assert "now shared on" not in sync(ada, "now").err


@pytest.mark.promise("P7")
def test_board_is_shared_over_its_remote_without_any_extra(ada, remote):
    for words in (("now",), ("status", "--check"), ("disable",)):
        ended = ran(sys.executable, "-c", WITHOUT_EXTRAS, "sync", *words, cwd=ada)
        assert ended.code == 0, ended.err
    assert git(remote, "branch", "--list", BOARD) != ""


@pytest.mark.promise("S9")
def test_status_tells_what_is_not_shared_and_how_the_last_exchange_went(ada, bob, remote, tmp_path):
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


def test_disabled_board_is_private_until_somebody_asks_again(ada):
    synced(ada)
    assert f"sent events stay on origin/{BOARD}" in sync(ada, "disable").err
    assert "not shared yet" in sync(ada, "status").out
    assert "now shared on" in sync(ada, "now").err


def test_board_is_never_newer_than_the_code_that_comes_with_it(ada, bob):
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


def test_target_that_the_remote_has_lost_keeps_nobody_from_the_board(ada, remote):
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


def test_neither_git_nor_ssh_asks_on_a_terminal(ada, noting):
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


def test_no_program_asks_for_a_password(ada, noting):
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


@pytest.fixture
def pair(ada, remote, tmp_path) -> tuple[Path, Path]:
    """Make two clones that share a board with two packages."""
    done(ada, "finalize-tasks", "--add", "Second")
    git(ada, "push", "--quiet", "origin", "main")
    synced(ada)
    return ada, clone(remote, tmp_path / "bob")


def agents(folder: Path) -> list[tuple[str, str]]:
    """Return the packages in doing, with their agents."""
    (feature,) = json.loads(features(folder))
    return [(one["wp_id"], one["agent"]) for one in feature["lanes"]["doing"]]


def conflicts(folder: Path) -> int:
    """Return the number of open conflicts."""
    return int(done(folder, "status", "--json").json["summary"]["conflicts"])


def is_untouched(folder: Path, wp_id: str = "WP01") -> bool:
    name = f"000-general-{wp_id}"
    return not (folder / ".worktrees" / name).exists() and not git(folder, "branch", "--list", name)


def claim(folder: Path) -> dict[str, object]:
    """Claim WP01 in this process, where a busy machine may take its time."""
    with Session(folder) as session:
        return dict(implement(session, "WP01").data)


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(sharing, "WAIT_S", WAIT_S)


@pytest.mark.promise("L14", "S4")
@pytest.mark.usefixtures("patient")
def test_of_two_that_are_online_the_first_wins_before_any_work_begins(pair):
    ada, bob = pair
    features(bob)
    claim(ada)
    with pytest.raises(Refused, match="WP01 is already in doing, with ada since 20"):
        claim(bob)
    assert is_untouched(bob)
    assert agents(bob) == [("WP01", "ada")]


@pytest.mark.usefixtures("patient")
def test_claim_that_was_sent_second_gives_way_before_any_work_begins(
    pair, remote, tmp_path, monkeypatch
):
    ada, bob = pair
    other = tmp_path / "other.git"
    git(tmp_path, "clone", "--quiet", "--bare", remote, other)
    git(ada, "remote", "set-url", "origin", other.as_uri())
    claim(ada)
    settled(ada)
    git(remote, "fetch", "--quiet", other, BOARD)
    sent = f"mkdir {tmp_path}/once 2> /dev/null && git -C {remote} update-ref refs/heads/{BOARD}"
    path = with_git(tmp_path / "bin", "push", f"{sent} {git(other, 'rev-parse', BOARD)}")
    monkeypatch.setenv("PATH", path)
    with pytest.raises(Refused, match="ada claimed it first, at 20"):
        claim(bob)
    monkeypatch.undo()
    assert is_untouched(bob)
    git(ada, "remote", "set-url", "origin", remote.as_uri())
    for folder in (bob, ada):
        synced(folder)
        assert agents(folder) == [("WP01", "ada")]
        assert conflicts(folder) == 0


@pytest.mark.promise("S4")
@pytest.mark.usefixtures("patient")
def test_take_over_asks_first_and_is_sent_at_once(pair, remote):
    ada, bob = pair
    features(bob)
    claim(ada)
    with Session(bob) as session:
        told = implement(session, "WP01", takes_over=True)
    assert "anything ada has not pushed is not in this branch" in told.lines
    assert '"WPAssigned"' in shared_lines(remote)[-1], "before its worktree is made"
    synced(ada)
    assert agents(ada) == [("WP01", "bob")]
    assert conflicts(ada) == 0


@pytest.mark.promise("L14", "S4")
@pytest.mark.usefixtures("patient")
def test_orchestrator_asks_first_and_leaves_what_another_clone_claimed(pair, tmp_path, monkeypatch):
    ada, bob = pair
    # of what is sent in the background nobody waits for the end
    monkeypatch.setattr(orchestrator, "send_new", lambda session: False)
    features(bob)
    work = f"echo x > $THENCE_WP; git add .; git commit -qm x; echo $THENCE_WP >> {tmp_path}/ran"
    coder = {"coder": {"command": ["sh", "-c", work]}}
    with (bob / ".kittify/config.yaml").open("a") as file:
        file.write(f"orchestrate: {json.dumps({'agents': coder})}\n")
    claim(ada)
    with Session(bob) as session:
        setup = read_setup(session.project)
    silent = (lambda _: None, lambda _: None, lambda: False)
    ended = orchestrator.Orchestrator(bob, "000-general", setup, *silent).run()
    assert ended.done == ("WP02",)
    assert (tmp_path / "ran").read_text() == "WP02\n"
    assert agents(bob) == [("WP01", "ada")]
    assert is_untouched(bob)


def test_claim_goes_on_offline_and_says_so_in_one_line(pair, remote, tmp_path):
    ada, bob = pair
    remote.rename(tmp_path / "away.git")
    for folder in pair:
        ended = done(folder, "implement", "WP01")
        (note,) = [line for line in ended.err.splitlines() if line.startswith("note: ")]
        assert note.startswith("note: not asked whether someone else has claimed it: could not")
        settled(folder)
    (tmp_path / "away.git").rename(remote)
    for folder in (ada, bob, ada):
        synced(folder)
    assert features(ada) == features(bob)
    assert conflicts(ada) == 1, "both took it"


@pytest.fixture
def hanging(tmp_path):
    """Make an ssh that answers nothing until the test is over; yields its program."""
    pipe, program = tmp_path / "pipe", tmp_path / "hanging"
    os.mkfifo(pipe)
    program.write_text(f"#!/bin/sh\necho $PPID >> {program}.pids\nexec cat {pipe}\n")
    program.chmod(0o755)
    end = os.open(pipe, os.O_RDWR)
    yield program
    program.unlink()
    os.close(end)


def hang(folder: Path, program: Path) -> None:
    git(folder, "remote", "set-url", "origin", "ssh://git@host.invalid/board.git")
    git(folder, "config", "core.sshCommand", program)


def test_remote_that_hangs_holds_up_a_claim_for_five_seconds_and_nothing_else(pair, hanging):
    ada, _ = pair
    hang(ada, hanging)
    done(ada, "add-history", "WP02", "a note")
    ended = done(ada, "implement", "WP01")
    assert "has claimed it: no answer in 5 s" in ended.err
    assert agents(ada) == [("WP01", "ada")]


@pytest.mark.promise("S4")
def test_what_a_command_writes_is_sent_in_the_background(pair, remote):
    ada, bob = pair
    for number in range(3):
        done(ada, "add-history", "WP02", f"note {number}")
    settled(ada)
    assert sum("note " in line for line in shared_lines(remote)) == 3
    git(bob, "fetch", "--quiet")
    assert features(bob) == features(ada)
    assert done(ada, "status", "--json").json["here"]["sharing"] == {
        "is_shared": True,
        "unshared": 0,
    }


def test_sender_that_was_killed_loses_nothing_and_the_next_one_sends_it(pair, remote, hanging):
    ada, _ = pair
    url = git(ada, "remote", "get-url", "origin")
    hang(ada, hanging)
    done(ada, "add-history", "WP02", "note")
    pids = Path(f"{hanging}.pids")
    while not pids.exists() or not pids.read_text():
        continue
    status = Path(f"/proc/{pids.read_text().split()[0]}/status").read_text()
    sender = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid"))
    os.kill(int(sender), signal.SIGKILL)
    settled(ada)
    git(ada, "remote", "set-url", "origin", url)
    assert "1 event is not shared yet: thence sync now" in done(ada, "status").out
    done(ada, "add-history", "WP02", "more")
    settled(ada)
    assert len(shared_lines(remote)) == 5
    assert "not shared" not in done(ada, "status").out


def test_command_ends_with_what_is_not_shared_once_an_exchange_has_failed(pair, remote, tmp_path):
    ada, _ = pair
    assert done(ada, "add-history", "WP02", "one").err == ""
    settled(ada)
    remote.rename(tmp_path / "away.git")
    assert sync(ada, "now").code == 1
    assert done(ada, "add-history", "WP02", "two").err == (
        "1 event is not shared yet: thence sync now\n"
    )
    told = done(ada, "add-history", "WP02", "three", "--json")
    assert told.err == "2 events are not shared yet: thence sync now\n"
    settled(ada)
    assert done(ada, "status").out.splitlines()[-1] == told.err.strip()
    assert done(ada, "status", "--json").json["here"]["sharing"]["unshared"] == 2
    assert done(ada, "add-history", "WP02", "four", "-q").err == ""


def test_private_board_says_so_where_there_is_a_remote(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada")
    assert "not shared yet" not in done(ada, "finalize-tasks", "--add", "First").err
    assert done(ada, "status").out.splitlines()[-1] == "not shared yet: thence sync now"
    git(ada, "remote", "remove", "origin")
    assert "shared" not in done(ada, "status").out
