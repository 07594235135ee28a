"""Patch-ids equal those of git, for whatever git can write as a patch."""

import random
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
from tests.work.repositories import git

from thence.work.git.patches import patch_id

COMMITS = 60
OID = "1" * 40
# lines that look like something else in a patch
LINES = (
    *("a\n", "  b\tc\n", "\v \f\n", "\r\n", "\n", "-\n", "é \xa0\n", "\0 behind\n", f"{OID}\n"),
    *("--- x\n", "+++ y\n", "diff --git a/x b/x\n", "@@ -1 +1 @@\n", "index 1..2\n"),
    *(f"commit {OID}\n", f"From {OID}\n", "\\ No newline at end of file\n", "GIT binary patch\n"),
)
NAMES = ("a", "b c", "é", "e/f", 'g"h', "tab\there")
DRAWN = ("-r", "-p", "--root", "--full-index", "--no-renames")


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


def of_git(folder: Path, *arguments: str, stdin: bytes) -> bytes:
    ended = subprocess.run(
        ["git", *arguments], cwd=folder, input=stdin, stdout=subprocess.PIPE, check=True
    )
    return ended.stdout


@pytest.mark.promise("L15")
def test_patch_ids_of_random_changes_are_those_of_git(tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    commits = history(tmp_path, chance)
    asked = [commit for commit in commits if chance.random() < 0.5]
    asked += [f"{commit} {chance.choice(commits)}" for commit in commits if commit not in asked]
    drawn = of_git(tmp_path, "diff-tree", "--stdin", *DRAWN, stdin="\n".join(asked).encode())
    listed = of_git(tmp_path, "patch-id", "--stable", stdin=drawn).decode().splitlines()
    expected = {line.split()[1]: line.split()[0] for line in listed}
    ids, commit = {}, ""
    lines = [line + b"\n" for line in drawn.split(b"\n")[:-1]]
    headers = {f"{commit}\n".encode() for commit in commits}
    for is_header, section in groupby(lines, lambda line: line in headers):
        if is_header:
            commit = next(section).decode().strip()
        else:
            ids[commit] = patch_id(section)
    assert b"\nBinary files " in drawn or b"\nold mode" in drawn
    assert len(ids) > COMMITS / 3
    assert ids == expected


def test_change_of_nothing_has_no_patch_id():
    assert patch_id([]) == patch_id([b"\n", b"a message\n"]) == ""


def test_patch_ids_of_a_repository_with_long_ids_are_long(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare", "--object-format=sha256")
    file = b"M 100644 inline a\ndata 2\na\n\n"
    stream = b"commit refs/heads/main\ncommitter a <a@example.org> 0 +0000\ndata 0\n" + file
    git(tmp_path, "fast-import", "--quiet", stdin=stream)
    drawn = of_git(tmp_path, "diff-tree", *DRAWN, "main", stdin=b"")
    expected = of_git(tmp_path, "patch-id", "--stable", stdin=drawn).decode().split()[0]
    assert patch_id(drawn.splitlines(keepends=True)[1:], 64) == expected
