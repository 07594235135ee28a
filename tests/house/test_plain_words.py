"""What users read is plain: a list of words is refused in texts of src and in the papers."""

import ast
import re
from collections.abc import Iterator

from tests.house.tree import ROOT, Module, modules, parsed, texts

# a pattern, and what a native engineer writes instead
WORDS = {
    r"\btells\b": "says, shows, reports",
    r"\b(?:is|are|was|were|be|been|being) told\b": "is reported, is shown",
    r"\bstands? in\b": "is in",
    r"\bc[oa]mes? of\b": "follows from",
    r"\bwho has\b": "the owner, a user with",
    r"\bwhoever\b": "anybody, a user",
    r"\black(?:s|ed)?\b": "has no, is missing",
    r"\w\(s\)": "counted(n, noun)",
    r"\bshall\b": "must, will",
    r"\bhereby\b": "leave it out",
    r"\butili[sz]e[sd]?\b": "use",
    r"\bleverag(?:e[sd]?|ing)\b": "use",
    r"\bin order to\b": "to",
}
_WORDS = re.compile("|".join(WORDS), re.IGNORECASE)
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])[\"')*`]*\s+|\n\s*\n|\n\s*(?:[-*]|\d+\.) |[|¶]")
_BEGINS = re.compile(r"(?:Who|Of)\s(?!course\b)|What\b.*\bthat\b")
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_SCRIPT_TEXT = re.compile(r'"[^"\n]* [^"\n]*"|`[^`]* [^`]*`')


def findings(text: str) -> Iterator[str]:
    """Yields the refused words of a text, and the beginnings of refused sentences."""
    for match in _WORDS.finditer(text):
        yield match[0]
    for sentence in _SENTENCE_ENDS.split(text):
        words = " ".join(sentence.strip(" #*\"'(").split())
        if _BEGINS.match(words) and not words.endswith("?"):
            yield words[:60]


def texts_of(module: Module) -> Iterator[tuple[int, str]]:
    """Yields the texts of a module for users: what is written in quotes, and help of commands.

    Other docstrings are left out: the papers hold those of public names.
    """
    skipped: set[int] = set()
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            decorators = getattr(node, "decorator_list", [])
            is_command = module.room == "cli" and any(
                "command" in ast.unparse(d) for d in decorators
            )
            if isinstance(first, ast.Expr) and not is_command:
                skipped.add(id(first.value))
        elif isinstance(node, ast.JoinedStr):
            skipped.update(map(id, node.values))
            parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in skipped
        ):
            yield node.lineno, node.value


def papers() -> Iterator[tuple[str, str]]:
    """Yields the papers for users, without their blocks of code."""
    for name, text in texts(".md"):
        if name.startswith("docs/") or name in (
            "README.md",
            "ARCHITECTURE.md",
            "SECURITY.md",
            "CONTRIBUTING.md",
            "CHANGELOG.md",
        ):
            yield name, _FENCE.sub("", text)


def test_texts_of_src_are_plain():
    found = [
        f"{module.path}:{line}: {word}"
        for module in modules("src")
        for line, text in texts_of(module)
        for word in findings(text)
    ]
    for script in sorted((ROOT / "src/thence/server/web/static").glob("*.js")):
        for quoted in _SCRIPT_TEXT.findall(script.read_text("utf-8")):
            found += [f"{script.name}: {word}" for word in findings(quoted)]
    assert not found, "\n".join(found)


def test_papers_are_plain():
    found = [f"{name}: {word}" for name, text in papers() for word in findings(text)]
    assert not found, "\n".join(found)


def test_odd_words_are_found():
    odd = "It tells what stands in it; whoever lacks 2 file(s) is told in order to leverage it."
    assert len(list(findings(odd))) == 8
    assert list(
        findings("Yes. Who decides is asked. Of these none.\n\nWhat it kept that day.")
    ) == [
        "Who decides is asked.",
        "Of these none.",
        "What it kept that day.",
    ]
    assert not list(findings("Who made it? What is it that lasts? Of course. Show what it is."))
    sample = '"""Tells."""\nraise E(f"it lacks {x}", hint="whoever")\ndef f():\n    """It tells."""'
    places = list(texts_of(parsed("src/thence/log/a.py", sample)))
    assert places == [(2, "it lacks …"), (2, "whoever")]
    sample = '@click.command("a")\ndef a_command():\n    """It tells."""'
    assert (3, "It tells.") in texts_of(parsed("src/thence/cli/a.py", sample))
