"""The program git, run on one folder, independent of the caller's session.

Variables that a hook or a user's session gave git are removed. Git never prompts on a terminal.
Hooks, pagers and signing are off, except for commands that run as the user would run them. A
refusal of git is a GitFailed with git's own message.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from thence.errors import GitFailed

TIMEOUT_S = 300.0
HOOKS_TIMEOUT_S = 3600.0
WORDS_MAX = 600
_END_S = 5.0
_USAGE = 129  # git's exit code for unknown arguments
# the paths of the user's configuration and the user's identity; other GIT_* belong to a session
USER_VARIABLES = (
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
)
SILENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": ":"}
# git's words where it knows nobody to commit as
_NOBODY = ("tell me who you are", "empty ident name", "no name was given", "no email was given")
NAME_YOURSELF = "git config user.name 'YOUR NAME'; git config user.email YOU@EXAMPLE.ORG"
# git's words where a branch can't be made below or above another one
_IN_THE_WAY = re.compile(r"'refs/heads/([^']+)' exists; cannot create")
# git's words where the key that signs can't be used, of OpenPGP and of SSH
_NOT_SIGNED = ("failed to sign the data", "user.signingkey", "load public key")
# parts of git's messages about the disk, some of which tell no reason
_DISK = (
    *("No space left on device", "Disk quota exceeded", "File too large", "Out of diskspace"),
    *("Read-only file system", "insufficient permission", "': Permission denied"),
    *("couldn't write '", "unable to write file", "unable to create directory"),
)
_DISK_HINT = "see that there is room, and the right to write; then type the same command again"
# prefixes of the variables by which a user's git reaches a remote
REACH = ("GIT_SSH", "GIT_ASKPASS", "GIT_PROXY", "GIT_SSL_", "GIT_HTTP_", "GIT_ALLOW_PROTOCOL")
_OURS = {
    **SILENT,
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
}
# no git that is asked fetches what a partial clone lacks: no protocol is left to it
_ASKED = {"GIT_ALLOW_PROTOCOL": ""}
_LACKED = "from promisor remote"
_FETCH_ALL = "git fetch --refetch --no-filter, which fetches everything that this clone lacks"
# for the user's own hooks: git's messages stay English; locale, paths and locks are the user's
_USERS = {**SILENT, "LANGUAGE": "en"}
_SETTINGS = (
    "core.fsmonitor=false",
    # a git that is killed while it tidies up leaves a lock, and no git tidies up there ever again
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
)
_OFF = ("core.hooksPath=/dev/null", "commit.gpgSign=false", "diff.suppressBlankEmpty=false")
_START_USERS = ("git", *(part for setting in _SETTINGS for part in ("-c", setting)))
_START = (*_START_USERS, *(part for setting in _OFF for part in ("-c", setting)))

Argument = str | bytes | Path


class Answer(NamedTuple):
    """Git's answer: its exit code, its output, its stderr in one line."""

    status: int
    out: bytes
    stderr: str


class Git:
    """The program git in one folder. It holds nothing open and serves any number of threads.

    `keeps` are descriptors, such as those of locks, that each started git holds open too. With
    `is_asked` no connection is opened, and a question that needs one is a GitFailed. With
    `is_users` hooks, signing, locale and ways to remotes are the user's, and git may take
    HOOKS_TIMEOUT_S. With `alone_s` git and what it starts have no terminal to ask on, and end
    together, at the latest after so many seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keeps: tuple[int, ...] = (),
        is_users: bool = False,
        is_asked: bool = False,
        alone_s: float | None = None,
    ) -> None:
        self.folder = folder
        self._keeps = keeps
        self._is_users, self._is_asked = is_users, is_asked
        self._is_alone = alone_s is not None
        self._start = _START_USERS if is_users else _START
        self._variables = _USERS if is_users else _OURS | (_ASKED if is_asked else {})
        self._timeout_s = alone_s or (HOOKS_TIMEOUT_S if is_users else TIMEOUT_S)
        self._reach = REACH if is_users else ()

    def run(
        self,
        *arguments: Argument,
        stdin: bytes = b"",
        variables: Mapping[str, str] | None = None,
        operation: str = "",
        hint: str = "",
    ) -> bytes:
        """Runs git and returns its output.

        `variables` are set for this call. Raises GitFailed unless git exits with 0; `operation` is
        the operation in its message ("could not make a worktree in").
        """
        answer = self.ask(*arguments, stdin=stdin, variables=variables)
        if answer.status:
            raise self.failed(answer, arguments, operation=operation, hint=hint)
        return answer.out

    def ask(
        self,
        *arguments: Argument,
        stdin: bytes = b"",
        variables: Mapping[str, str] | None = None,
    ) -> Answer:
        """Runs git and returns its answer, whatever its exit code.

        With `is_users` files are used instead of pipes, so that processes that a hook leaves
        running are not waited for: a pipe ends only with its last holder. Raises GitFailed if there
        is no git, if the folder is gone, if git was killed, after too long, or where a partial
        clone lacks what was asked for.
        """
        with ExitStack() as stack:
            files = stack.enter_context(_files(stdin)) if self._is_users else []
            with self.open_process(*arguments, variables=variables, files=files) as process:
                try:
                    out, words = process.communicate(
                        None if files else stdin, timeout=self._timeout_s
                    )
                except subprocess.TimeoutExpired:
                    raise self._refused(
                        f"git {_name(arguments)} took longer than {self._timeout_s:g} s",
                        "see what the machine is busy with, or its hooks, then try again",
                    ) from None
                # its fetch, which is refused, may end before git has told it what is lacking
                is_refused = self._is_asked and process.returncode == -signal.SIGPIPE
                if process.returncode < 0 and not is_refused:
                    operation = f"git {_name(arguments)} failed in"
                    cause = f"it was killed by signal {-process.returncode}"
                    error = failure(operation, self.folder, cause, "try again", is_retryable=True)
                    error.was_killed = True
                    raise error
            for file in files:
                file.seek(0)
            if files:
                out, words = files[1].read(), files[2].read()
        answer = Answer(process.returncode, out, _LACKED if is_refused else in_one_line(words))
        if answer.status and _LACKED in answer.stderr:
            raise self.failed(answer, arguments)
        return answer

    def commit_of(self, name: str) -> str | None:
        """Returns the id of the commit that a name means, None if there is none."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        answer = self.ask(*arguments)
        return answer.out.decode().strip() if answer.status == 0 else None

    @contextmanager
    def open_process(
        self,
        *arguments: Argument,
        variables: Mapping[str, str] | None = None,
        files: Sequence[IO[bytes]] = (),
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Starts git with three pipes and ends it, at the latest on leaving.

        `files` replace the first of the pipes, in the order stdin, stdout, stderr. Git is asked to
        end before it is killed, because a killed git leaves its locks behind.
        """
        ends: list[IO[bytes] | int] = [*files, *[subprocess.PIPE] * 3]
        try:
            process = subprocess.Popen(
                [*self._start, *arguments],
                cwd=self.folder,
                env={**own_variables(self._reach), **self._variables, **(variables or {})},
                stdin=ends[0],
                stdout=ends[1],
                stderr=ends[2],
                pass_fds=self._keeps,
                start_new_session=self._is_alone,
            )
        except OSError as error:
            is_folder = os.path.isdir(self.folder)
            cause = f"{error.strerror}: git" if is_folder else "there is no such folder"
            raise self._refused(cause, "install git 2.38 or later" if is_folder else "") from error
        try:
            yield process
        except BaseException as error:
            if self._is_alone and process.returncode is None:  # else ssh, or a helper, goes on
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            if not isinstance(error, GitFailed):
                raise
            error.was_killed |= _end(process) < 0  # or one that was started meanwhile
            raise
        finally:
            _end(process)

    def failed(
        self,
        answer: Answer,
        arguments: tuple[Argument, ...],
        *,
        operation: str = "",
        hint: str = "",
    ) -> GitFailed:
        """Returns the error for an answer, with git's own message as its cause."""
        if answer.status == _USAGE:
            hint = "thence needs git 2.38 or later: git --version"
        elif "read current working directory" in answer.stderr:
            hint = "go to a folder that is there"
        elif "dubious ownership" in answer.stderr:
            hint = f"git config --global --add safe.directory {self.folder}"
        elif blocking := _IN_THE_WAY.search(answer.stderr):
            hint = f"rename it: git branch -m {blocking[1]} {blocking[1].replace('/', '-')}"
        elif any(words in answer.stderr for words in _NOT_SIGNED):
            hint = "see whether the key that signs is here: git config user.signingKey"
        hint = disk_hint(answer.stderr) or hint
        is_locked = ".lock': File exists" in answer.stderr
        if is_locked and not hint:
            hint = "wait until the other git command has ended, then try again"
        cause = answer.stderr or f"it exited with {answer.status}"
        if any(words in cause for words in _NOBODY):
            cause, hint = "git knows no name or e-mail for your commits", NAME_YOURSELF
        is_lacking = _LACKED in cause
        if is_lacking:
            cause, hint = "this clone lacks what was asked for, and could not fetch it", _FETCH_ALL
        operation = operation or f"git {_name(arguments)} failed in"
        error = failure(operation, self.folder, cause, hint, is_retryable=is_locked)
        error.is_lacking = is_lacking
        return error

    def _refused(self, cause: str, hint: str) -> GitFailed:
        return failure("could not run git in", self.folder, cause, hint)


def disk_hint(message: str) -> str:
    """Returns the next step after a message of git about the disk; "" for another message."""
    return _DISK_HINT if any(part in message for part in _DISK) else ""


def failure(
    operation: str, place: object, cause: str, hint: str, *, is_retryable: bool = False
) -> GitFailed:
    """Returns a GitFailed; `is_retryable` means that a retry can succeed a moment later.

    That is `recoverable` in the error: an operation of the user under way, a lock of another git.
    """
    error = GitFailed(operation, place=place, cause=cause, hint=hint)
    error.recoverable = is_retryable
    return error


@contextmanager
def _files(stdin: bytes) -> Iterator[list[IO[bytes]]]:
    """Makes files for stdin, stdout and stderr of a process; the first holds its input."""
    from tempfile import TemporaryFile  # seldom needed

    with TemporaryFile() as stdin_file, TemporaryFile() as out, TemporaryFile() as words:
        stdin_file.write(stdin)
        stdin_file.seek(0)
        yield [stdin_file, out, words]


def in_one_line(words: bytes) -> str:
    """Returns git's message in one line, without hints and warnings."""
    lines = (line.strip() for line in words.decode("utf-8", "replace").splitlines())
    text = "; ".join(
        line.removeprefix("fatal: ").removeprefix("error: ")
        for line in lines
        if line and not line.startswith(("hint: ", "warning: "))
    )
    return text if len(text) <= WORDS_MAX else text[:WORDS_MAX] + "…"


def own_variables(reach: tuple[str, ...] = ()) -> dict[str, str]:
    """Returns this process's variables without those that a hook or a session gave git.

    Variables that begin with one of `reach` stay.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_")
        or name in USER_VARIABLES
        or (reach and name.startswith(reach))
    }


def _name(arguments: tuple[Argument, ...]) -> str:
    names = (os.fsdecode(argument) for argument in arguments)
    return next((name for name in names if not name.startswith("-")), "")


def _end(process: "subprocess.Popen[bytes]") -> int:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    if process.poll() is None:
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return process.returncode
