"""The documents say what is there: their links, the names in the picture, every command."""

import pkgutil
import re
import subprocess
from pathlib import Path, PurePosixPath

from tests.house.test_circles import name_of
from tests.house.tree import PACKAGE, ROOT, modules, texts, tracked_files

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
ROOMS = {"core", "git", "log", "sync", "sim", "work", "trace", "server", "cli"}
FILES_OF_LOGS = {"events.jsonl"}
DOCUMENT = re.compile(r"(?<![\w/.-])[A-Z][A-Z_]{2,}\.md\b")
# Files of those who use thence, which its text may name though the tree has none.
DOCUMENTS_OF_USERS = {"AGENTS.md", "CLAUDE.md", "SKILL.md"}


def slug(heading: str) -> str:
    """Make the anchor that a forge makes of a heading."""
    bare = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return bare.replace(" ", "-")


def broken_links(name: str, text: str, root: Path = ROOT) -> list[str]:
    """Find links to files or headings that are not there; the web is not asked."""
    found = []
    for match in LINK.finditer(FENCE.sub("", text)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (root / name).parent / path if path else root / name
        if not file.exists():
            found.append(f"{name}: no file {target}")
        elif anchor and anchor not in anchors(file):
            found.append(f"{name}: no heading {target}")
    return found


def anchors(file: Path) -> set[str]:
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    return {slug(heading) for heading in HEADING.findall(text)}


def missing_names(text: str, *places: str) -> list[str]:
    """Find paths and dotted names in backticks that the tree lacks."""
    codes = CODE.findall(FENCE.sub("", text))
    return [code for code in codes if not is_there(code, ("", PACKAGE, *places))]


def missing_in_drawings(text: str) -> list[str]:
    """Find paths, and members of modules and classes, in drawings that the tree lacks."""
    drawings = "\n".join(match[0] for match in FENCE.finditer(text))
    names = re.findall(r"\w+(?:[./]\w+)+", drawings)
    return [name for name in names if name not in FILES_OF_LOGS and not is_drawn_rightly(name)]


def is_drawn_rightly(name: str) -> bool:
    """Judge a path below the package, a dotted module, or a member of a class that it has."""
    if "/" in name:
        return is_there(name, (PACKAGE,))
    if has_dotted_name(f"thence.{name}"):
        return True
    classes = re.compile(rf"^class {name.partition('.')[0]}\b", re.MULTILINE)
    owners = [module for module in modules(PACKAGE) if classes.search(module.text)]
    return any(has_dotted_name(f"{name_of(owner)}.{name}") for owner in owners)


def is_there(code: str, places: tuple[str, ...]) -> bool:
    """Judge one piece of code; what is neither path nor dotted name of ours passes."""
    if re.fullmatch(r"thence(\.\w+)+", code):
        return has_dotted_name(code)
    is_path = re.fullmatch(r"[\w./-]+", code) and ("/" in code or code.endswith((".py", ".md")))
    if not is_path or code.startswith((".thence", "/", "-")):
        return True
    return any((ROOT / place / code).exists() for place in places)


def has_dotted_name(dotted: str) -> bool:
    """Follow a dotted name through packages, into a module, and to what that has."""
    try:
        pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


def missing_documents(name: str, text: str, known: set[str]) -> list[str]:
    """Find documents that text sends a reader to though nobody can read them here."""
    named = set(DOCUMENT.findall(text)) - known - DOCUMENTS_OF_USERS
    return [f"{name}: names {document}, which is not in the tree" for document in sorted(named)]


def test_links_in_the_documents_resolve():
    found = [line for name, text in texts(".md") for line in broken_links(name, text)]
    assert not found, "\n".join(found)


def test_broken_links_are_found(tmp_path):
    (tmp_path / "b.md").write_text("# It's `here`, now\n```\n# not here\n```\n")
    good = "[b](b.md) [b](b.md#its-here-now) [w](https://example.org/x) [t](#top)\n# top\n"
    (tmp_path / "a.md").write_text(good)
    assert not broken_links("a.md", good, tmp_path)
    for bad in ("[b](c.md)", "[b](b.md#gone)", "[b](b.md#not-here)", "![p](p.png)", "[t](#gone)"):
        assert broken_links("a.md", bad, tmp_path), bad
    assert not broken_links("a.md", "```\n[b](c.md)\n```\n", tmp_path)


def test_names_in_the_architecture_and_the_pages_of_rooms_exist():
    rooms = [name for name in tracked_files() if re.fullmatch(rf"{PACKAGE}/\w+/README\.md", name)]
    assert {name.split("/")[2] for name in rooms} == ROOMS
    for name in ("ARCHITECTURE.md", *rooms):
        text = (ROOT / name).read_text(encoding="utf-8")
        places = (PACKAGE, str(PurePosixPath(name).parent))
        wrong = [*missing_names(text, *places), *missing_in_drawings(text)]
        assert not wrong, f"{name} names what is not there: {', '.join(wrong)}"


def test_missing_names_in_drawings_are_found():
    there = "```\n Log.append, Log.emit ─► log/write/writer.py ─► events.jsonl\n```"
    assert not missing_in_drawings(there)
    for gone in ("replica.Log", "log.write.relaying", "log/gone.py", "Log.gone"):
        assert missing_in_drawings(f"```\n a ─► {gone}\n```") == [gone]


def test_missing_names_are_found():
    there = "`pyproject.toml` `docs/reference/` `thence.__version__` `thence` `__init__.py`"
    assert not missing_names(f"{there} `.thence/lock` `events.jsonl` `make check`")
    for gone in ("`thence.gone`", "`docs/gone.md`", "`log/gone.py`", "`thence.core.gone`"):
        assert missing_names(gone), gone


def test_text_names_no_document_that_is_not_here():
    known = {PurePosixPath(name).name for name in tracked_files()}
    found = [
        line
        for name, text in texts()
        if name != "tests/house/test_docs.py" and not name.endswith("-lock.json")
        for line in missing_documents(name, text, known)
    ]
    assert not found, "\n".join(found)


def test_missing_documents_are_found():
    assert missing_documents("a.py", "see GONE.md section 3", {"README.md"})
    assert not missing_documents("a.py", "README.md, plan.md, CLAUDE.md", {"README.md"})


def test_ci_begins_with_the_two_commands_of_the_readme_in_a_fresh_clone_and_an_empty_home():
    readme, run = ((ROOT / name).read_text() for name in ("README.md", ".ci/run"))
    commands = re.findall(r"^(make \w+) +#", readme, re.MULTILINE)
    lines = [line for line in run.splitlines() if line and not line.startswith("#")]
    first = lines.index(commands[0])
    beside = 'make check >"$place/check" 2>&1 &'
    assert lines[first : first + 4] == [commands[0], beside, "check=$!", commands[1]]
    assert not [line for line in lines[:first] if "make" in line.split()]
    before = "\n".join(lines[:first])
    assert 'git clone --quiet . "$place/thence"' in before
    assert 'HOME="$place/home" PIP_NO_CACHE_DIR=1' in before


def _fake_python(place, ends_with):
    place.parent.mkdir(parents=True)
    place.write_text(f"#!/bin/sh\n{ends_with}\n")
    place.chmod(0o755)


def test_ci_takes_each_further_python_where_it_starts_on_path_or_of_a_version_manager(tmp_path):
    shims, pyenv, uv = tmp_path / "shims", tmp_path / ".pyenv/versions", tmp_path / "uv"
    _fake_python(shims / "python3.12", "exit 127")
    _fake_python(pyenv / "3.12.7/bin/python3.12", "exit 127")
    _fake_python(pyenv / "3.12.9/bin/python3.12", "echo of pyenv")
    _fake_python(uv / "cpython-3.13.1-linux/bin/python3.13", "echo of uv")
    environment = {
        "PATH": f"{shims}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "UV_PYTHON_INSTALL_DIR": str(uv),
    }
    out = subprocess.check_output([ROOT / ".ci/pythons"], env=environment, text=True)
    assert [line for line in out.splitlines() if line.startswith("of")] == ["of pyenv", "of uv"]
