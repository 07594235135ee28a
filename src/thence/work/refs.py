"""Moving a branch, if and only if it still stands where it was seen."""

from collections.abc import Iterator
from contextlib import contextmanager

from thence.errors import GitFailed
from thence.work.git import Answer, Git, failure, in_one_line
from thence.work.repository import HEADS


class BranchMoved(Exception):
    """A branch was moved, or its ref was locked, by somebody else meanwhile: look again."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


@contextmanager
def moving(git: Git, branch: str, new: str, old: str | None, reason: str) -> Iterator[None]:
    """Moves a branch from one commit to another on leaving, unless the block raises.

    Inside the block its ref is locked and stands at `old` (None: there is no such branch yet).
    Raises BranchMoved before the block, with nothing changed, if it doesn't, and GitFailed if
    git refuses otherwise. `reason` goes into the reflog.
    """
    arguments = ("update-ref", "-m", reason, "--stdin")
    with git.talking(*arguments) as process:
        pipe, answers = process.stdin, process.stdout
        assert pipe is not None
        assert answers is not None

        def tell(command: str, expected: str) -> bool:
            try:
                pipe.write(command.encode() + b"\n")
                pipe.flush()
            except BrokenPipeError:
                return False
            return answers.readline().decode().rstrip("\n") == expected

        def refused() -> GitFailed:
            assert process.stderr is not None
            words = in_one_line(process.stderr.read())
            if _is_moved(words):
                raise BranchMoved(words)
            answer = Answer(1, b"", words)
            return git.failed(answer, arguments, doing=f"could not move branch {branch} in")

        zero = "0" * len(new)
        tell("start", "start: ok")
        ready = f"update {HEADS}{branch} {new} {old or zero}\nprepare"
        if not tell(ready, "prepare: ok"):
            raise refused()
        yield
        if not tell("commit", "commit: ok"):
            raise failure(
                f"could not move branch {branch} in",
                git.folder,
                in_one_line(process.stderr.read() if process.stderr else b""),
                "try again",
                is_passing=True,
            )


def _is_moved(words: str) -> bool:
    signs = ("but expected", "already exists", "unable to resolve reference", "File exists")
    return any(sign in words for sign in signs)
