"""Patch-ids of commits, for whatever git can write as a patch."""

import random
import re
import subprocess
from pathlib import Path

import pytest
from tests.git.repositories import git

from thence.git.repository import repository
from thence.git.rows import files_of, patch_id

COMMITS = 60
OID = "1" * 40
# lines that look like something else in a patch
LINES = (
    *("a\n", "  b\tc\n", "\v \f\n", "\r\n", "\n", "-\n", "é \xa0\n", "\0 behind\n", f"{OID}\n"),
    *("--- x\n", "+++ y\n", "diff --git a/x b/x\n", "@@ -1 +1 @@\n", "index 1..2\n"),
    *(f"commit {OID}\n", f"From {OID}\n", "\\ No newline at end of file\n", "GIT binary patch\n"),
)
NAMES = ("a", "b c", "é", "e/f", 'g"h', "tab\there")
DRAWN = ("-r", "-p", "--root", "--full-index", "--no-renames", "-U3", "--inter-hunk-context=0")
# what an id leaves out; that a link went and not a file of its text, too
PLACE = re.compile(rb"(?m)^(?:@@ -.*|index .*\d{6}|deleted file mode \d{6})$")


def text(chance: random.Random, before: str) -> str:
    """Return a file's text, mostly much like the one before."""
    lines = before.splitlines(keepends=True)
    if lines and chance.random() < 0.7:
        at = chance.randrange(len(lines))
        lines[at : at + chance.randrange(3)] = chance.choices(LINES, k=chance.randrange(3))
    else:
        lines = chance.choices(LINES, k=chance.randrange(30))
        if chance.random() < 0.1:
            lines = ["long\n"] * 2000 + lines  # its NUL comes too late for git to call it binary
    text = "".join(lines)
    return text.rstrip("\n") if chance.random() < 0.2 else text


def history(folder: Path, chance: random.Random) -> list[str]:
    """Make commits that change, add, remove, rename and chmod files; return their ids."""
    git(folder, "init", "--quiet", "--bare")
    texts: dict[str, str] = {}
    stream = b""
    for number in range(COMMITS):
        stream += b"commit refs/heads/main\ncommitter a <a@example.org> %d +0000\n" % number
        stream += b"data 0\n"
        for name in chance.sample(NAMES, chance.randrange(4)):
            quoted = b'"%b"' % name.replace('"', '\\"').replace("\t", "\\t").encode()
            if name in texts and chance.random() < 0.2:
                del texts[name]
                stream += b"D %b\n" % quoted
                continue
            if name not in texts or chance.random() < 0.8:
                source = chance.choice(["", *texts.values()])
                texts[name] = text(chance, texts.get(name, source))
            mode = chance.choice([b"100644", b"100644", b"100755", b"120000"])
            if mode == b"120000":
                texts[name] = "target"
            data = texts[name].encode()
            stream += b"M %b inline %b\ndata %d\n%b\n" % (mode, quoted, len(data), data)
    git(folder, "fast-import", "--quiet", stdin=stream)
    return git(folder, "rev-list", "main").split()


def patch_ids(repo, *commits):
    """Return the patch-ids of commits; those without changes are left out."""
    files = files_of(repo, [(commit,) for commit in commits])
    return {commit: patch_id(one) for commit, one in zip(commits, files, strict=True) if one}


def of_git(folder: Path, *arguments: str, stdin: bytes) -> bytes:
    ended = subprocess.run(
        ["git", *arguments], cwd=folder, input=stdin, stdout=subprocess.PIPE, check=True
    )
    return ended.stdout


def test_file_that_becomes_a_link_of_its_text_is_not_the_change_back(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare")
    stream = b""
    for number, mode in enumerate((b"100644", b"120000", b"100644")):
        stream += b"commit refs/heads/main\ncommitter a <a@example.org> %d +0000\ndata 0\n" % number
        stream += b"M %b inline a\ndata 6\ntarget\n" % mode
    git(tmp_path, "fast-import", "--quiet", stdin=stream)
    back, there, _ = git(tmp_path, "rev-list", "main").split()
    ids = patch_ids(repository(tmp_path), there, back)
    assert len({*ids.values()}) == 2


@pytest.mark.promise("L15")
def test_patch_ids_of_random_changes_are_those_of_copies_at_other_places(tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    commits = history(tmp_path, random.Random(seed))
    repo, drawn = repository(tmp_path), set[tuple[bytes, ...]]()
    copying = ("-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "copy")
    copies = {
        git(tmp_path, *copying, f"{one}^{{tree}}", "-p", parent): one
        for one in commits[:-1]
        for parent in [git(tmp_path, *copying, f"{one}~1^{{tree}}")]
    }
    ids = patch_ids(repo, *commits, *copies)
    assert {c: ids.get(c) for c in copies} == {c: ids.get(one) for c, one in copies.items()}
    for commit in commits:
        patch = of_git(tmp_path, "diff-tree", "--no-commit-id", *DRAWN, commit, stdin=b"")
        assert bool(patch) == (commit in ids)
        drawn |= {tuple(sorted(PLACE.sub(b"", patch).split(b"\n")))} if patch else set()
    assert len({*ids.values()}) >= len(drawn) > COMMITS / 3
