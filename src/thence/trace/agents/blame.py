"""What git says of lines and commits: who wrote which, and what a commit came from.

Git is asked about many commits at once, and each answer is kept: commits never change. Whatever
this clone lacks has no answer; nothing is guessed.
"""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from thence.git.landed import missing_commits
from thence.git.merging import merged_trees
from thence.git.patches import patch_ids
from thence.git.repository import Repository

BINARY_BYTES = 8_000  # git's own rule: a text has no zero byte in so many
ALIKE_MAX = 200  # more commits of one author and second are an import's, not copies
COPIES_AMONG = 20_000  # most commits of a repository that are searched for the original of a copy
_FORM = "%H%x1f%P%x1f%at%x1f%ct%x1f%T%x1f%an%x1f%ae%x1f%s%x1f"
_FORM += "%(trailers:key=Co-authored-by,valueonly,unfold)"
_PLAIN = ("--no-show-signature", "--no-color", "--no-decorate", "--encoding=UTF-8")
# what a reflog says of commits that were made here, and of tips that came from elsewhere
_MADE = re.compile(
    r"commit\b|am\b|cherry-pick:|revert:|(?:rebase|pull)\b.* \((?:pick|reword|edit|squash|fixup|"
    r"continue|merge)\)|.*: Merge made by "
)
_MOVED = re.compile(r".*fast-forward", re.IGNORECASE)
_BROUGHT = re.compile(r"clone:|fetch\b|pull\b.*(?:fast-forward|storing head)", re.IGNORECASE)
# git reads all of them, also those that don't count here
_SETTINGS_HINT = "see your settings of blame: git config --show-origin --get-regexp '^blame'"
_HEADER = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) \d+ (\d+)(?: \d+)?")
_BLOB = re.compile(rb"[0-9a-f]{40,64} \w+ (\d+)")


class BlamedLine(NamedTuple):
    """A line of a file with the commit that brought it, "" while it is not committed.

    `paths` are the file's path in that commit, and the one before it where git knows it.
    """

    number: int
    text: str
    commit: str
    paths: tuple[str, ...]


class CommitInfo(NamedTuple):
    """A commit; times are in seconds since 1970."""

    commit: str
    parents: tuple[str, ...]
    author_time: int
    committer_time: int
    tree: str
    author: str
    author_email: str
    title: str
    trailers: str = ""

    @property
    def co_authors(self) -> list[str]:
        """Whom the message names beside the author."""
        return [name.strip() for name in self.trailers.splitlines() if name.strip()]

    @property
    def is_by_bot(self) -> bool:
        """True if the author's name or mail says that it is a bot."""
        mailbox = self.author_email.partition("@")[0]
        return self.author.endswith("[bot]") or mailbox.endswith("[bot]")

    @property
    def authorship(self) -> tuple[str, str, int]:
        """What git keeps of the author when a commit is rewritten or picked."""
        return self.author, self.author_email, self.author_time


def blame(repo: Repository, path: str, lines: tuple[int, int] | None = None) -> list[BlamedLine]:
    """Returns the lines of a file as they are on disk, or those of a span, with their commits.

    `path` is relative to the top of the working tree. The user's settings of blame don't count: a
    list of commits to pass over would give their lines to others. Raises GitFailed.
    """
    span = (f"-L{lines[0]},{lines[1]}",) if lines else ()
    plain = ("blame", "--no-ignore-revs-file", "--no-textconv", "--porcelain")
    out = repo.git.run(*plain, *span, "--", path, hint=_SETTINGS_HINT)
    paths: dict[str, tuple[str, ...]] = {}
    blamed: list[BlamedLine] = []
    commit, number, name, previous = "", 0, b"", b""
    for line in out.split(b"\n"):
        if line.startswith(b"\t"):
            if name:
                both = (_unquoted(name), _unquoted(previous)) if previous else (_unquoted(name),)
                paths[commit] = tuple(dict.fromkeys(both))
            text = _text(line[1:])
            is_new = not commit.strip("0")
            blamed.append(BlamedLine(number, text, "" if is_new else commit, paths[commit]))
            name = previous = b""
        elif header := _HEADER.fullmatch(line):
            commit, number = header[1].decode(), int(header[2])
        elif line.startswith(b"filename "):
            name = line[9:]
        elif line.startswith(b"previous "):
            previous = line.split(b" ", 2)[2]
    return blamed


def lines_of(repo: Repository, path: str, lines: tuple[int, int] | None = None) -> list[BlamedLine]:
    """Returns what `blame` does; the lines of a file that no commit has are all new."""
    is_listed = repo.git.ask("ls-files", "--error-unmatch", "--", path).status == 0
    is_added = is_listed and repo.git.commit_of("HEAD") is not None
    if is_added or repo.git.ask("cat-file", "-e", f"HEAD:{path}").status == 0:
        return blame(repo, path, lines)
    pieces = (repo.folder / path).read_bytes().split(b"\n")
    texts = [_text(piece) for piece in (pieces if pieces[-1] else pieces[:-1])]
    first, last = lines or (1, len(texts))
    return [
        BlamedLine(number, text, "", (path,))
        for number, text in enumerate(texts[first - 1 : last], first)
    ]


def _unquoted(name: bytes) -> str:
    if name.startswith(b'"'):
        name = name[1:-1].decode("unicode_escape").encode("latin-1")
    return os.fsdecode(name)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


class Reflogs(NamedTuple):
    """What the reflogs of a clone still say: commits made here, and tips that were brought.

    `in_tree` are those commits that were made in this working tree.
    """

    own: frozenset[str]
    in_tree: frozenset[str]
    brought: tuple[str, ...]


class CommitHistory:
    """The commits of one repository, each asked for once."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self._infos: dict[str, CommitInfo | None] = {}
        self._patches: dict[str, str] = {}
        self._paths: dict[str, frozenset[str]] = {}
        self._lines: dict[tuple[str, str], frozenset[str]] = {}
        self._by_author: dict[tuple[str, str, int], list[CommitInfo]] = {}
        self._brought: dict[str, bool] = {}

    @cached_property
    def shallow(self) -> frozenset[str]:
        """The commits whose parents this clone lacks."""
        try:
            return frozenset((self.repo.common / "shallow").read_text().split())
        except OSError:
            return frozenset()

    @cached_property
    def reflogs(self) -> Reflogs:
        """What this clone noted of where its commits came from; entries are kept for 90 days."""
        form = "--format=%H%x1f%gd%x1f%gs"
        answer = self.repo.git.ask("log", "--walk-reflogs", "--all", "--date=unix", "-z", form)
        own, in_tree = set[str](), set[str]()
        brought: dict[str, None] = {}
        for entry in answer.out.decode("utf-8", "replace").split("\0"):
            commit, selector, words = (*entry.split("\x1f", 2), "", "")[:3]
            if _BROUGHT.match(words):
                brought[commit] = None
            elif _MADE.match(words) and not _MOVED.match(words):
                own.add(commit)
                if selector.startswith("HEAD@"):
                    in_tree.add(commit)
        return Reflogs(frozenset(own), frozenset(in_tree), tuple(brought))

    def was_brought(self, commit: str, others: Iterable[str] = ()) -> bool:
        """Reports whether a commit is in what a clone, a fetch or a pull brought here.

        It is asked together with others of this clone, as git walks the history for it.
        """
        new = {commit, *others} - self._brought.keys()
        if commit in new and self.reflogs.brought:
            names = "".join(f"^{tip}\n" for tip in self.reflogs.brought)
            names += "".join(f"{other}\n" for other in new)
            out = self.repo.git.run("rev-list", "--ignore-missing", "--stdin", stdin=names.encode())
            own = set(out.decode().split())
            self._brought |= {other: other not in own for other in new}
        return self._brought.get(commit, False)

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
        parts = (line.split("\x1f", 8) for line in out.split("\0") if line)
        infos = (
            CommitInfo(sha, tuple(parents.split()), int(at or 0), int(ct or 0), tree, *texts)
            for sha, parents, at, ct, tree, *texts in parts
        )
        return {info.commit: info for info in infos}

    def original(self, commit: str, recorded: Sequence[str]) -> str | None:
        """Returns the commit that one is a copy of, as a rebase or a cherry-pick makes it.

        It has the same patch-id, and the same author at the same second. Those `recorded`, in the
        order of the log, come first, and need not be on a branch; of others it is the oldest.
        """
        info = self.info(commit)
        alike = self._authored(recorded).get(info.authorship, ()) if info else ()
        if info is None or len(alike) > ALIKE_MAX:
            return None
        others = [other.commit for other in alike if other != info]
        patches = self._patches_of((commit, *others)) if others else {}
        same = {other for other in others if patches[commit] and patches[other] == patches[commit]}
        before = recorded[: recorded.index(commit)] if commit in recorded else recorded
        in_log = [other for other in before if other in same]
        if in_log:
            return in_log[0]
        unrecorded = self.infos(same.difference(recorded)).values()
        times = [(one.committer_time, one.commit) for one in unrecorded]
        return min(times)[1] if times and min(times)[0] < info.committer_time else None

    def _authored(self, recorded: Sequence[str]) -> dict[tuple[str, str, int], list[CommitInfo]]:
        """Returns the commits on branches and those recorded by what rewriting keeps of them."""
        if not self._by_author:
            self._infos |= self._listed(f"--max-count={COPIES_AMONG}", "--all")
            for info in self.infos((*recorded, *self._infos)).values():
                self._by_author.setdefault(info.authorship, []).append(info)
        return self._by_author

    def _patches_of(self, commits: Iterable[str]) -> dict[str, str]:
        """Returns the patch-ids of commits that this clone has, "" for those without changes."""
        new = [commit for commit in commits if commit not in self._patches]
        self._patches |= dict.fromkeys(new, "")
        self._patches |= {commit: patch for patch, commit in patch_ids(self.repo, new)}
        return self._patches

    def patch_of(self, commit: str) -> str:
        """Returns the patch-id of a commit that this clone has."""
        return self._patches_of((commit,))[commit]

    def paths_of(self, commits: Iterable[str]) -> dict[str, frozenset[str]]:
        """Returns the files that commits changed; of a merge, those that it made itself."""
        distinct = tuple(self.infos(commits))
        if new := [commit for commit in distinct if commit not in self._paths]:
            stdin_text = "".join(f"{commit}\n" for commit in new).encode()
            options = ("-r", "-z", "--root", "-c", "--name-only", "--no-renames", "--stdin")
            out = os.fsdecode(self.repo.git.run("diff-tree", *options, stdin=stdin_text))
            names: dict[str, set[str]] = {commit: set() for commit in new}
            commit = ""
            for part in out.split("\0"):
                commit = part if part in names else commit
                if part and part not in names:
                    names[commit].add(part)
            self._paths |= {commit: frozenset(paths) for commit, paths in names.items()}
        return {commit: self._paths[commit] for commit in distinct}

    def lines_of(self, commits: Iterable[str], path: str) -> dict[str, frozenset[str]]:
        """Returns the different lines of a file in those commits that have it."""
        commits = tuple(commits)
        new = [commit for commit in commits if (commit, path) not in self._lines]
        if new and "\n" not in path:
            names = "".join(f"{commit}:{path}\n" for commit in new)
            out = self.repo.git.run("cat-file", "--batch", stdin=os.fsencode(names))
            for commit in new:
                head, _, out = out.partition(b"\n")
                size = int(match[1]) if (match := _BLOB.fullmatch(head)) else -1
                texts = map(_text, out[:size].split(b"\n")) if match else ()
                self._lines[commit, path] = frozenset(texts)
                out = out[size + 1 :]
        return {commit: lines for commit in commits if (lines := self._lines.get((commit, path)))}

    def outside(self, commit: str, others: Collection[str]) -> frozenset[str]:
        """Returns those other commits of this clone that are not in the history of a commit."""
        return missing_commits(self.repo, commit, tuple(self.infos(others)))

    def held_by(self, commit: str, others: Sequence[str]) -> list[str]:
        """Returns those other commits whose whole change a commit holds, and its parent does not.

        That is so for what was merged as one commit: merging it again would change nothing.
        """
        info = self.info(commit)
        parent = self.info(info.parents[0]) if info and len(info.parents) == 1 else None
        remaining, holding = list(others), list[str]()
        while info and parent and remaining:
            pairs = ((ours, other) for other in remaining for ours in (commit, parent.commit))
            trees = merged_trees(self.repo, pairs)
            both = zip(remaining, trees[::2], trees[1::2], strict=False)
            holding += [
                other for other, at, before in both if at == info.tree and before != parent.tree
            ]
            remaining = remaining[len(trees) // 2 + 1 :]  # git ends at a pair that it can't merge
        return holding
