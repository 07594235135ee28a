"""What git says of commits: who made each, when, and what it changed.

Git is asked about many commits at once, and each answer is kept: commits never change. Whatever
this clone lacks has no answer; nothing is guessed.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from thence.git.blame import text_of_line
from thence.git.repository import Repository
from thence.git.rows import diffs_in, path_of
from thence.trace.agents.judging import Hunk

_FORM = "%H%x1f%P%x1f%at%x1f%ct%x1f%an%x1f%ae%x1f%s%x1f%b"
_PLAIN = ("--no-show-signature", "--no-color", "--no-decorate", "--encoding=UTF-8")
# a sign for each parent, the first lines before and after
_SPAN = re.compile(rb"@(@+) -(\d+).*? \+(\d+)")
_NAMES = (b"--- ", b"+++ ")
_DIFF = (
    *("-r", "-p", "-M", "-U3", "--inter-hunk-context=0", "--full-index", "--submodule=short"),
    *("--no-ext-diff", "--no-textconv", "--no-color", "--no-prefix"),
)
COMMITS_AT_ONCE = 50  # their diffs are in memory together
_SESSION = re.compile(r"^thence-session: *(\S+)", re.MULTILINE)
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{40,64})", re.MULTILINE)
_CO_AUTHOR = re.compile(r"^co-authored-by:[ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)


class CommitInfo(NamedTuple):
    """A commit; times are in seconds since 1970."""

    commit: str
    parents: tuple[str, ...]
    author_time: int
    committer_time: int
    author: str
    author_email: str
    title: str
    body: str = ""

    @property
    def co_authors(self) -> list[str]:
        """Whom the message names beside the author."""
        return [name.strip() for name in _CO_AUTHOR.findall(self.body)]

    @property
    def sessions(self) -> list[str]:
        """The sessions that the message names by the trailer of the git hook, also in a squash."""
        return _SESSION.findall(self.body)

    @property
    def reverts(self) -> list[str]:
        """The commits that the message says it takes back."""
        return [one for one in _REVERTS.findall(self.body) if len(one) == len(self.commit)]

    @property
    def authorship(self) -> tuple[str, str, int]:
        """What git keeps of the author when a commit is rewritten or picked."""
        return self.author, self.author_email, self.author_time


def hunks_of(repo: Repository, commits: Sequence[str]) -> Iterator[tuple[str, tuple[Hunk, ...]]]:
    """Yields commits with the hunks that they changed; of a merge, those that it made itself."""
    for start in range(0, len(commits), COMMITS_AT_ONCE):
        batch = commits[start : start + COMMITS_AT_ONCE]
        stdin = "".join(f"{commit}\n" for commit in batch).encode()
        words = ("diff-tree", "-c", "--root", "--always", "--stdin", "--format=%x01%H", *_DIFF)
        by_commit = dict(_parsed(repo.git.run(*words, stdin=stdin)))
        yield from ((commit, by_commit.get(commit, ())) for commit in batch)


def uncommitted_hunks(repo: Repository) -> tuple[Hunk, ...]:
    """Returns what a working tree has changed since its commit."""
    out = repo.git.run("diff-index", *_DIFF, "HEAD", "--")
    ((_, hunks),) = _parsed(b"\1\n" + out)
    return hunks


def _parsed(out: bytes) -> Iterator[tuple[str, tuple[Hunk, ...]]]:
    """Yields the hunks of each commit that git writes, "" if it names none."""
    for ids, files in diffs_in(out):
        commit, hunks = "".join(ids), list[Hunk]()
        for file in files:
            names = (line[4:].removesuffix(b"\t") for line in file.head if line[:4] in _NAMES)
            paths = [path_of(name) for name in names if name != b"/dev/null"]
            for span, lines in zip(file.spans, file.hunks, strict=True):
                ats, old, new = _SPAN.findall(span)[0]  # code may stand after it
                rows, width = list[tuple[str, str]](), len(ats)
                for line in lines:
                    signs, is_gone = line[:width], b"-" in line[:width]
                    # the last is a remark on a line without its end
                    if signs and not (is_gone and width > 1) and not signs.startswith(b"\\"):
                        sign = "-" if is_gone else " " if b" " in signs else "+"
                        rows.append((sign, text_of_line(line[width:])))
                hunks.append(Hunk(paths[-1], paths[0], int(new), int(old), rows, commit))
        yield commit, tuple(hunks)


class CommitHistory:
    """The commits of one repository, each asked for once."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self._infos: dict[str, CommitInfo | None] = {}

    @cached_property
    def shallow(self) -> frozenset[str]:
        """The commits whose parents this clone lacks."""
        try:
            return frozenset((self.repo.common / "shallow").read_text().split())
        except OSError:
            return frozenset()

    def infos(self, commits: Iterable[str]) -> dict[str, CommitInfo]:
        """Returns the commits that this clone has."""
        distinct = dict.fromkeys(commits)
        if new := [commit for commit in distinct if commit not in self._infos]:
            self._infos |= dict.fromkeys(new)
            self._infos |= self._listed("--no-walk=unsorted", "--ignore-missing", among=new)
        return {commit: info for commit in distinct if (info := self._infos[commit])}

    def info(self, commit: str) -> CommitInfo | None:
        """Returns a commit, None if this clone lacks it."""
        return self.infos((commit,)).get(commit)

    def _listed(self, *options: str, among: Collection[str] = ()) -> dict[str, CommitInfo]:
        stdin_text = "".join(f"{commit}\n" for commit in among).encode()
        source = ("--stdin",) if among else ()
        arguments = ("log", "-z", *_PLAIN, f"--format={_FORM}", *options, *source, "--")
        out = self.repo.git.run(*arguments, stdin=stdin_text).decode("utf-8", "replace")
        parts = (line.split("\x1f", 7) for line in out.split("\0") if line)
        infos = (
            CommitInfo(sha, tuple(parents.split()), int(at or 0), int(ct or 0), *texts)
            for sha, parents, at, ct, *texts in parts
        )
        return {info.commit: info for info in infos}

    def since(self, time: int, others: Collection[str]) -> dict[str, CommitInfo]:
        """Returns the commits on branches and others since a time, each after its parents."""
        options = ("--topo-order", "--reverse", "--all", "--ignore-missing", f"--max-age={time}")
        infos = self._listed(*options, among=others)
        self._infos |= infos
        return infos
