"""A line that was taken back goes from what a clone shows and shares, and does not come again."""

from pathlib import Path

import pytest
from tests.work.boards import BOARD, bare, clone, done, published, shared_lines
from tests.work.repositories import git

from thence.core.event import Event
from thence.core.values.digests import digests, redacted
from thence.core.wire.seals import Redaction
from thence.work.journal.redacted_views import SharedCopies, redact_shared
from thence.work.session.session import Session

SECRET = "swordfish"
pytestmark = pytest.mark.xdist_group("clones")


def noted(folder: Path) -> Event:
    """Append a note that holds the secret, and return its event."""
    done(folder, "add-history", "WP01", SECRET)
    with Session(folder) as session:
        return next(each for each in session.store.read() if SECRET.encode() in each.line)


def take_back(folder: Path, *events: Event) -> SharedCopies:
    """Take lines back as `thence redact` does."""
    with Session(folder) as session:
        log = session.store.replica
        log.redactions.take_back(
            [Redaction(each.event_id, digests(each.line).line.hex()) for each in events]
        )
        log.rebuild()
        return redact_shared(session.project, log)


def holding(folder: Path) -> list[Path]:
    """Return the files of a clone in which the secret stands, without git's objects."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    kept = (path for path in files if "objects" not in path.relative_to(folder).parts)
    return [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare(tmp_path / "remote.git")


@pytest.mark.promise("S10a")
def test_redacted_line_wins_on_the_branch_over_a_clone_that_knows_nothing(remote, tmp_path):
    ada, bob = clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")
    done(ada, "add", "First")
    secret = noted(ada)
    published(ada)
    git(bob, "fetch", "--quiet")
    done(bob, "status")
    assert take_back(ada, secret).redacted_count == 1
    told = published(ada)
    assert (told["brought"], told["redacted"]) == (0, 1)
    assert redacted(secret.line).decode() in shared_lines(remote)
    assert SECRET not in "".join(shared_lines(remote))
    done(bob, "add-history", "WP01", "on")
    published(bob)
    assert secret.line.decode() in shared_lines(remote), "bob's journal has it, and no redaction"
    told = published(ada)
    assert (told["redacted"], told["taken"]) == (1, 1)
    assert SECRET not in "".join(shared_lines(remote)) + git(remote, "show", f"{BOARD}:BOARD.md")
    assert len(shared_lines(remote)) == len(set(shared_lines(remote))) == 4
    assert published(ada)["commit"] is None
    assert holding(ada) == []
