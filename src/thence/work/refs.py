"""Moving a branch, if and only if it still stands where it was seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

from thence.work.git import Answer, Git, failure, in_one_line
from thence.work.repository import HEADS


class MovedMeanwhile(Exception):
    """Somebody else has moved what was looked at, a branch or an index or a file: look again."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Move:
    """A branch on its way from one commit to another: `prepare`, then `commit`.

    On leaving `move` without `commit` the branch stays where it is.
    """

    def __init__(self, git: Git, branch: str, process: "Popen[bytes]") -> None:
        self._git = git
        self._branch = branch
        self._process = process

    def prepare(self, new: str, old: str | None) -> None:
        """Locks the branch if it stands at `old` (None: there is no such branch yet).

        Raises MovedMeanwhile if it doesn't, or if the commit was pruned meanwhile, and GitFailed
        if git refuses otherwise.
        """
        update = f"update {HEADS}{self._branch} {new} {old or '0' * len(new)}"
        if self._is_told(f"{update}\nprepare", "prepare: ok"):
            return
        words = self._words()
        signs = (
            *("but expected", "already exists", "unable to resolve reference", "File exists"),
            "nonexistent object",
        )
        if any(sign in words for sign in signs):
            raise MovedMeanwhile(words)
        answer = Answer(1, b"", words)
        doing = f"could not move branch {self._branch} in"
        raise self._git.failed(answer, ("update-ref",), doing=doing)

    def commit(self) -> None:
        """Moves the branch. Raises a passing GitFailed if git refuses, which is no matter of us."""
        if not self._is_told("commit", "commit: ok"):
            operation = f"could not move branch {self._branch} in"
            place, words = self._git.folder, self._words()
            raise failure(operation, place, words, "try again", is_passing=True)

    def begin(self) -> None:
        """Waits until git is ready to be told."""
        self._is_told("start", "start: ok")

    def _is_told(self, command: str, expected: str) -> bool:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        try:
            pipe.write(command.encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            return False
        return answers.readline().decode().rstrip("\n") == expected

    def _words(self) -> str:
        assert self._process.stderr is not None
        return in_one_line(self._process.stderr.read())


@contextmanager
def move(git: Git, branch: str, reason: str) -> Iterator[Move]:
    """Begins to move a branch; `reason` goes into the reflog."""
    with git.talking("update-ref", "-m", reason, "--stdin") as process:
        moving = Move(git, branch, process)
        moving.begin()
        yield moving
