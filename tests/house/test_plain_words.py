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

# path: so many at most; a count may only shrink, and a paper that is not named here has none
PAPERS: dict[str, int] = {
    "CONTRIBUTING.md": 1,
    "SECURITY.md": 21,
    "docs/concepts/cause.md": 1,
    "docs/concepts/event.md": 2,
    "docs/concepts/order.md": 1,
    "docs/decisions/0001-set-up-with-pip-and-a-hashed-lock.md": 2,
    "docs/decisions/0006-one-schema-of-scenarios.md": 1,
    "docs/decisions/0009-encode-in-the-caller-stamp-under-the-lock.md": 1,
    "docs/decisions/0011-a-flush-does-not-tell-of-drops.md": 1,
    "docs/decisions/0012-what-did-not-change-is-a-cause-too.md": 3,
    "docs/decisions/0013-a-cause-in-another-log-is-named-beside.md": 3,
    "docs/decisions/0014-a-verified-line-wins-over-a-foreign-one.md": 5,
    "docs/decisions/0019-a-stream-begins-at-the-first-event.md": 2,
    "docs/decisions/0022-the-same-command-records-what-lacks.md": 3,
    "docs/decisions/0024-lost-events-of-our-own-come-back.md": 4,
    "docs/decisions/0025-tests-fork-commands.md": 1,
    "docs/decisions/0026-one-index-a-column.md": 1,
    "docs/decisions/0027-a-block-in-a-generator-counts-while-it-runs.md": 2,
    "docs/decisions/0028-no-link-is-followed-in-a-working-tree.md": 1,
    "docs/decisions/0029-a-file-for-each-writer-session.md": 3,
    "docs/decisions/0030-a-gate-counts-where-it-was-seen.md": 1,
    "docs/decisions/0032-ordinary-commits.md": 1,
    "docs/decisions/0034-merges-are-made-in-memory.md": 1,
    "docs/decisions/0035-the-clone-that-gave-a-number-says-whose-it-is.md": 2,
    "docs/decisions/0038-argon2-cffi-for-passwords.md": 2,
    "docs/decisions/0040-websockets-on-both-sides.md": 2,
    "docs/decisions/0041-a-cursor-passes-what-was-brought.md": 1,
    "docs/decisions/0042-pushes-are-signed-and-the-server-judges.md": 1,
    "docs/decisions/0043-masking-has-files-of-its-own.md": 4,
    "docs/decisions/0046-an-action-stands-for-what-it-changed.md": 1,
    "docs/decisions/0048-an-error-remembers-the-ends-of-steps.md": 2,
    "docs/decisions/0050-metrics-by-prometheus-client.md": 2,
    "docs/decisions/0051-oidc-by-joserfc.md": 3,
    "docs/decisions/0052-two-cursors-in-a-chained-history.md": 2,
    "docs/decisions/0053-a-token-is-a-traceparent.md": 3,
    "docs/decisions/0054-spans-by-the-sdk-of-opentelemetry.md": 1,
    "docs/decisions/0055-mcp-by-its-own-sdk.md": 2,
    "docs/decisions/0056-hooks-leave-files-and-processes-own-commits.md": 1,
    "docs/decisions/0057-a-notice-stands-for-what-was-pruned.md": 5,
    "docs/decisions/0061-ray-by-a-lock-of-its-own.md": 2,
    "docs/decisions/0063-networkx-judges-the-map.md": 2,
    "docs/guides/agents/ask-why-a-line.md": 5,
    "docs/guides/operate/look-after-a-log.md": 2,
    "docs/guides/operate/look-at-a-log.md": 3,
    "docs/guides/program/quickstart.md": 4,
    "docs/guides/program/record-a-traced-program.md": 1,
    "docs/guides/simulations/build-a-simulation.md": 3,
    "docs/guides/simulations/people-from-a-table.md": 2,
    "docs/guides/simulations/simulate-with-models.md": 4,
    "docs/guides/simulations/sweep.md": 2,
    "docs/guides/simulations/what-mattered.md": 3,
    "docs/guides/simulations/worlds.md": 1,
    "docs/guides/team/postgresql.md": 2,
    "docs/guides/team/query-over-http.md": 2,
    "docs/guides/team/run-a-team-server.md": 6,
    "docs/guides/team/share-agents-with-a-team.md": 1,
    "docs/guides/team/sync-a-team.md": 2,
    "docs/guides/work/cut-a-feature.md": 1,
    "docs/guides/work/orchestrate-coding-agents.md": 7,
    "docs/guides/work/orchestrate.md": 3,
    "docs/guides/work/share-a-board.md": 2,
    "docs/project/figures.md": 17,
    "docs/project/mutants.md": 4,
    "docs/project/sizes.md": 1,
    "docs/project/track-record.md": 5,
    "docs/project/why.md": 1,
    "docs/reference/api.md": 3,
    "docs/reference/commands.md": 101,
    "docs/reference/errors.md": 1,
    "docs/reference/filters.md": 1,
    "docs/reference/formats/bodies.md": 1,
    "docs/reference/formats/index.md": 10,
    "docs/reference/formats/segment.md": 25,
    "docs/reference/formats/wire.md": 15,
    "docs/reference/formats/work.md": 10,
    "docs/reference/glossary.md": 3,
    "docs/reference/promises.md": 36,
    "docs/reference/scenario.md": 5,
    "docs/reference/tables.md": 2,
}


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


def test_papers_gain_no_odd_words():
    found = {name: list(findings(text)) for name, text in papers()}
    grown = [
        f"{name}: {len(words)}, {PAPERS.get(name, 0)} allowed: {', '.join(words)}"
        for name, words in found.items()
        if len(words) > PAPERS.get(name, 0)
    ]
    assert not grown, "\n".join(grown)
    assert PAPERS.keys() <= found.keys(), "take out papers that are gone"


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
