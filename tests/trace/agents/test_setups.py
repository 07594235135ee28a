"""Set-ups of every day: never a wrong owner, and never a person where that is not known."""

import shutil
import time
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.days.people import Day, Person


class Place(Day):
    """A repository with hooks, in which an agent commits a line and a person another."""

    def acts(self, session: str = "s-1", root: Path | None = None, env: str = "") -> str:
        """Has an agent write and commit a file, and returns the commit."""
        with self.agent(session, root) as agent:
            agent.asked("write it")
            agent.writes("agent.py", "total_of_agent = 119\n")
            agent.shell(f"git add agent.py && {env} git commit -q -m 'by {session}'")
        return self.ada.git("rev-parse", "HEAD", root=root)

    def types(self, file: str = "hand.py", root: Path | None = None) -> str:
        """Commits a file by hand."""
        self.ada.types({file: "by_hand = 2\n"}, root)
        return self.ada.commits(f"by hand: {file}", root)

    def owner(self, what: str, root: Path | None = None) -> str:
        """Returns the kind and session that `thence why` names for a commit or a line."""
        answer = warm("why", what, "--json", cwd=root or self.top, env=self.env)
        assert answer.code == 0, answer.err
        return " ".join(filter(None, (answer.json["kind"], answer.json["session"])))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "day")
    place.ada.git("commit", "-q", "--allow-empty", "-m", "Begin")
    return place


def test_mail_that_git_applies_is_of_whom_its_commit_was_or_unknown(place: Place) -> None:
    """git calls no post-commit for `git am`, and may be slow to call it for a commit."""
    git, far, mail = place.ada.git, place.folder / "far", place.folder / "mail"
    git("switch", "-qc", "side")
    time.sleep(1)
    place.acts(env=f"GIT_COMMITTER_DATE=@{int(time.time()) - 1}")
    seen = max(file.name for file in (place.top / ".git/thence/agents/spool").glob("0*"))[1:11]
    shutil.copytree(place.top, far, ignore=shutil.ignore_patterns("thence", "post-commit"))
    place.types("far.py", far)
    mails = [git("format-patch", "--stdout", "-1", root=root) for root in (place.top, far)]
    git("switch", "-q", "main")
    for text in mails:
        mail.write_text(f"{text}\n")
        git("am", "-q", mail, GIT_COMMITTER_DATE=f"@{seen}")
    asked = ("agent.py:1", "commit/HEAD~1", "far.py:1", "commit/HEAD")
    assert [*map(place.owner, asked)] == ["agent s-1"] * 2 + ["unknown"] * 2


def test_trailer_names_the_session_in_a_commit_and_in_its_squash(place: Place) -> None:
    git, forge, bo = place.ada.git, place.folder / "forge", Person(place, "Bo")

    def hooks(*words: str, code: int = 0) -> str:
        ended = warm("hook", *words, cwd=place.top, env=place.env)
        assert ended.code == code, ended.err
        return ended.out + ended.err

    hooks("install", "git", "--trailer")
    git("switch", "-qc", "side")
    place.acts()
    agents = git("log", "-1", "--format=%B")
    assert agents == "by s-1\n\nthence-session: s-1"
    place.types()
    assert "thence-session" not in git("log", "-1", "--format=%B")
    git("switch", "-q", "main")
    git("clone", "-q", place.top, forge)
    moment = f"@{int(time.time()) + 60} +0000"  # git's times are whole seconds
    later = {"GIT_COMMITTER_DATE": moment, "GIT_AUTHOR_DATE": moment}
    bo.git("merge", "-q", "--squash", "origin/side", root=forge)
    message = f"Both (#1)\n\n* {agents}\n\n* by hand\n"
    bo.git("commit", "-q", "-m", message, root=forge, **later)
    git("pull", "-q", "--ff-only", forge, "main")
    assert [place.owner(f"{name}.py:1") for name in ("agent", "hand")] == ["agent s-1", "person"]
    assert "prepare-commit-msg" in hooks("status")
    assert "--trailer is for git" in hooks("install", "codex", "--trailer", code=2)
    hooks("uninstall", "git")
    assert not (place.top / ".git/hooks/prepare-commit-msg").exists()
