"""What changes are: their patch-ids, and their rows of text followed along a branch.

Plumbing of git is asked, so that no user's configuration of diffs counts. A patch-id says what a
change is, wherever it is made: the change of a merge is that from its first parent; three rows
around a change and its blanks count, line numbers do not.

Rows are what a package put into its target or took out of it. A commit counts by its net change
over all files, so that moves and renames take nothing, and by rows without blanks, so that indents
take nothing. Where a commit rewrites a row of the package, the new text is the package's from then
on.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import NamedTuple

import msgspec

from thence.git.repository import Repository

_HEADER = b"\x01"  # before the id of each commit in the output of git
_INDEX = b"index "  # before the blobs of a file
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")
_FILE, _SPAN = b"diff --", b"@@"
_MODES = re.compile(rb"(?:(old|deleted file)|new|new file) mode (\d+)")
_PLAIN_MODE = b"100644"
_BLOB, _MODE = b"\0# ", b"\0mode "  # two blobs have no word in common
_KEY_BYTES = 8
COMMITS_AT_ONCE = 200  # their diffs are in memory together
# options of git by which a change is the same text whatever its user has configured
PLAIN = (
    *("--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short"),
    *("--inter-hunk-context=0", "--diff-algorithm=default", "--indent-heuristic", "-O/dev/null"),
    *("--no-prefix", "--diff-merges=first-parent", "--root"),
)
_DIFF = ("diff-tree", "-r", "-p", "--stdin", "--always", "--no-renames", "-U3", *PLAIN)
Files = Mapping[bytes, bytes]  # by path, the digest of what changes there


class Hunk(NamedTuple):
    """Rows of a file that went, those that came at their place, and those around them.

    A file without text is one row, its blob, and so is a mode.
    """

    removed: Sequence[bytes]
    added: Sequence[bytes]
    kept: Sequence[bytes] = ()


class Change(NamedTuple):
    """What a commit changes; `parent` is its first parent, "" without one or if not asked for."""

    commit: str
    parent: str
    hunks: Sequence[Hunk]


class FileDiff(NamedTuple):
    """What is changed in a file: git's lines before the hunks, and each hunk's rows with signs.

    `spans` are the lines that begin the hunks. In a merge `path` means nothing.
    """

    path: bytes
    head: list[bytes]
    spans: list[bytes]
    hunks: list[list[bytes]]


def diffs_in(out: bytes) -> Iterator[tuple[list[str], list[FileDiff]]]:
    """Yields the changes that git writes, each after a line of _HEADER and the commit's id.

    The ids of its parents come after that of the commit, if they are asked for.
    """
    ids: list[str] | None = None
    files: list[FileDiff] = []
    for line in out.split(b"\n") if out else ():
        if line.startswith(_HEADER):
            if ids is not None:
                yield ids, files
            ids, files = line.removeprefix(_HEADER).decode().split(), []
        elif line.startswith(_FILE):
            names = line.split(b" ", 2)[2]
            files.append(FileDiff(names[: len(names) // 2], [], [], []))
        elif line.startswith(_SPAN):
            files[-1].spans.append(line)
            files[-1].hunks.append([])
        elif line:  # each row of a hunk has a sign: a removed "-- x" is no header
            (files[-1].hunks or [files[-1].head])[-1].append(line)
    if ids is not None:
        yield ids, files


def changes_in(out: bytes) -> Iterator[Change]:
    """Yields the changes that git writes as their hunks."""
    for (commit, *parents), files in diffs_in(out):
        hunks = list[Hunk]()
        for file in files:
            for line in file.head:
                if line.startswith(_INDEX) and not file.hunks:
                    blobs = line.split(b" ")[1].split(b"..")
                    hunks.append(Hunk(*([_BLOB + one] if one.strip(b"0") else [] for one in blobs)))
                if (found := _MODES.fullmatch(line)) and found[2] != _PLAIN_MODE:
                    row = [b"%b%b %b" % (_MODE, found[2], file.path)]
                    hunks.append(Hunk(row, []) if found[1] else Hunk([], row))
            for rows in file.hunks:
                sides = ([row[1:] for row in rows if row[:1] == one] for one in (b"-", b"+", b" "))
                hunks.append(Hunk(*sides))
        yield Change(commit, "".join(parents[:1]), hunks)


def words_of(rows: Iterable[bytes]) -> set[bytes]:
    """Returns the words of rows."""
    return {word for row in rows for word in _WORD.findall(row)}


def patch_id(files: Files) -> str:
    """Returns the SHA-256 of a change, "" for none."""
    return sha256(b"".join(files[path] for path in sorted(files))).hexdigest() if files else ""


def files_of(
    repo: Repository, changes: Sequence[tuple[str, ...]], paths: Sequence[str] = ()
) -> Iterator[Files]:
    """Yields what changes change, each a commit, or two to compare the first with the second.

    Git compares a commit with what it was last compared with: pairs come last.
    """
    for start in range(0, len(changes), COMMITS_AT_ONCE):
        batch = changes[start : start + COMMITS_AT_ONCE]
        stdin = "".join(f"{' '.join(change)}\n" for change in batch).encode()
        out = repo.git.run(*_DIFF, "--format=%x01%H", "--", *paths, stdin=stdin)
        for _, files in diffs_in(out):
            texts: dict[bytes, list[bytes]] = defaultdict(list)  # a file that becomes a link is two
            for file in files:  # of one without text its blobs count
                head = (line for line in file.head if not (file.hunks and line.startswith(_INDEX)))
                texts[file.path] += (*head, *(row for rows in file.hunks for row in (b"@@", *rows)))
            yield {path: sha256(b"\n".join((path, *text))).digest() for path, text in texts.items()}


def path_of(path: bytes) -> str:
    """Returns the path of a file in a diff as a person writes it; git quotes some."""
    if path.startswith(b'"'):
        path = path[1:-1].decode("unicode_escape").encode("latin-1")
    return os.fsdecode(path)


class _Net:
    """The net change of a commit: by row how often it came, and where it came and went.

    A row without a word counts for nothing, and blanks count with `is_exact` alone.
    """

    def __init__(self, hunks: Iterable[Hunk], is_exact: bool) -> None:
        self.counts: Counter[bytes] = Counter()
        self.hunks = list[tuple[dict[bytes, bytes], dict[bytes, bytes]]]()  # went, came; by key
        for hunk in hunks:
            went, came = dict[bytes, bytes](), dict[bytes, bytes]()
            for rows, side, sign in ((hunk.removed, went, -1), (hunk.added, came, 1)):
                for row in rows:
                    if not _WORD.search(row):
                        continue
                    text = b"=" + row if is_exact else b"".join(row.split())
                    text = row if row.startswith(b"\0") else text  # a blob or a mode
                    key = blake2b(text, digest_size=_KEY_BYTES).digest()
                    side[key] = row
                    self.counts[key] += sign
            self.hunks.append((went, came))
        self.counts = Counter({key: count for key, count in self.counts.items() if count})


class Row(msgspec.Struct, array_like=True):
    """A row of a package: how many it put in, and how many of them stand.

    Of a row that it took out `put` is negative, and it stands while it stays away. `is_elsewhere`
    is whether the package's files hold it at other places too.
    """

    put: int
    stands: int = 0
    is_elsewhere: bool = False


class Standing(msgspec.Struct, array_like=True):
    """What stands of a package in a branch.

    `reverts` are the commits that took it out since something of it came last, the last one first;
    `has_come` is whether anything ever came.
    """

    rows: dict[bytes, Row]
    is_exact: bool = False
    has_come: bool = False
    reverts: list[str] = msgspec.field(default_factory=list)

    @property
    def is_gone(self) -> bool:
        """True if something of it came, and nothing of it stands."""
        return self.has_come and not any(row.stands for row in self.rows.values())

    def take(self, commit: str, net: "_Net") -> set[bytes]:
        """Follows one more commit of the branch, and returns the rows that are new."""
        rows, before = self.rows, sum(row.stands for row in self.rows.values())
        touched = net.counts.keys() & rows.keys()
        taken = {key for key in touched if rows[key].stands and net.counts[key] < 0 < rows[key].put}
        is_new = not before and not any(
            net.counts[key] > 0 < rows[key].put and not rows[key].is_elsewhere for key in touched
        )
        has_own = any(row.put > 0 and not row.is_elsewhere for row in rows.values())
        moved, come = dict[bytes, bytes](), 0
        for key in touched:
            row, count = rows[key], net.counts[key]
            if row.put < 0 and count < 0 and (new := self._rewritten(key, net)):
                moved[key] = new
                continue
            is_back = row.put < 0 < count
            is_equal = row.is_elsewhere and count > 0 and not before
            if is_equal and not is_back and is_new and has_own:
                continue
            # with no text that is not the package's, or back in the place of its rows
            is_alone = any(
                all(other in rows or net.counts[other] <= 0 for other in came)
                or (is_back and any(one in rows and rows[one].put > 0 for one in went))
                for went, came in net.hunks
                if key in came
            )
            if (is_back or is_equal) and not is_alone:
                continue
            stands = min(max(row.stands + (count if row.put > 0 else -count), 0), abs(row.put))
            come += max(stands - row.stands, 0)
            row.stands = stands
        adopted = {key: Row(count, count) for key, count in self._adopted(taken, net).items()}
        rows |= adopted
        rows |= {new: rows.pop(key) for key, new in moved.items()}
        if come:
            self.has_come, self.reverts = True, []
        if sum(row.stands for row in rows.values()) < before:
            self.reverts.insert(0, commit)
        return {*adopted, *moved.values()}

    def _fresh(self, came: Iterable[bytes], net: "_Net") -> list[bytes]:
        return [key for key in came if net.counts[key] > 0 and key not in self.rows]

    def _rewritten(self, key: bytes, net: "_Net") -> bytes | None:
        """Returns the row that stands in the place of one that the package had taken out."""
        for went, came in net.hunks:
            fresh = self._fresh(came, net) if key in went else []
            if fresh:
                words = words_of([went[key]])
                shared = {new: len(words & words_of([came[new]])) for new in fresh}
                held = words & words_of(came[new] for new in fresh)
                if 2 * len(held) >= len(words):
                    return max(fresh, key=shared.__getitem__)
        return None

    def _adopted(self, taken: set[bytes], net: "_Net") -> dict[bytes, int]:
        """Returns the rows that a commit puts in the place of rows of the package, and how often.

        Those are not that share more words with a row of somebody else that goes there, or as many
        where what the package had taken out is back.
        """
        new = dict[bytes, int]()
        for went, came in net.hunks:
            own = [words_of([went[key]]) for key in taken & went.keys()]
            fresh = self._fresh(came, net)
            if not own or not fresh:
                continue
            others = [
                words_of([row])
                for key, row in went.items()
                if key not in taken and net.counts[key] < 0
            ]
            is_back = any(key in self.rows and self.rows[key].put < 0 for key in came)
            for key in fresh:
                words = words_of([came[key]])
                shared = [len(words & one) for one in own]
                most = max(shared)
                if most >= max((len(words & one) for one in others), default=0) + is_back:
                    new[key] = min(net.counts[key], new.get(key, 0) + shared.count(most))
        return new


def standing_of(parts: Sequence[Sequence[Hunk]]) -> Standing:
    """Returns the rows of a package, of which nothing has come yet.

    `parts` are the changes that it handed in, one after another. Blanks count if nothing is left
    without them.
    """
    for is_exact in (False, True):
        put, around = Counter[bytes](), Counter[bytes]()
        for hunks in parts:
            part = _Net(hunks, is_exact).counts
            around |= _Net([Hunk([], (*one.added, *one.kept)) for one in hunks], is_exact).counts
            for key, count in part.items():
                most = max(abs(put[key]), abs(count))
                put[key] = min(max(put[key] + count, -most), most)
        rows = {key: Row(n, 0, around[key] > n > 0) for key, n in put.items() if n}
        if rows:
            break
    return Standing(rows, is_exact)


def follow(
    standings: Mapping[str, Standing], changes: Iterable[Change], begins: Mapping[str, int]
) -> None:
    """Follows what stands of packages through commits of a branch, the oldest first.

    `begins` are the numbers of the first commits that count for packages, 0 where there is none.
    """
    by_row: dict[bytes, set[str]] = defaultdict(set)
    for name, standing in standings.items():
        for key in standing.rows:
            by_row[key].add(name)
    kinds = {standing.is_exact for standing in standings.values()}
    for number, change in enumerate(changes):
        for is_exact in kinds:
            net = _Net(change.hunks, is_exact)
            touched = [by_row[key] for key in net.counts.keys() & by_row.keys()]
            for name in set[str]().union(*touched):
                if standings[name].is_exact == is_exact and begins.get(name, 0) <= number:
                    for key in standings[name].take(change.commit, net):
                        by_row[key].add(name)
