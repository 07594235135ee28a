"""The glossary can be looked up in, and leads on to where each word is told."""

import re
from itertools import pairwise

from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "reference" / "glossary.md"
SENTENCES_MAX = 4


def entries(text):
    """The words of a glossary with what is said of each."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def faults(text):
    words = [word for word, _ in entries(text)]
    yield from (f"{b} stands behind {a}" for a, b in pairwise(words) if a >= b)
    for word, said in entries(text):
        before, _, behind = " ".join(said.split()).partition(" More: ")
        if not re.search(r"\]\(\S+\.md", behind):
            yield f"{word} leads nowhere"
        if not 1 <= len(re.findall(r"\.(?: |$)", before)) <= SENTENCES_MAX:
            yield f"{word} is told in no sentence, or in too many"


def test_words_are_in_order_told_briefly_and_lead_on():
    assert not list(faults(PAGE.read_text("utf-8")))


def test_faults_of_a_glossary_are_found():
    good = "## a\n\nOne. More: [a](a.md).\n\n## b\n\nTwo. More:\n[b](b.md#b).\n"
    assert not list(faults(good))
    assert list(faults(good.replace("## b", "## A")))
    assert list(faults(good.replace(" More: [a](a.md).", "")))
    assert list(faults(good.replace("One.", "One. " * 9)))


def test_each_concept_is_led_to():
    text = PAGE.read_text("utf-8")
    concepts = [file.name for file in (ROOT / "docs" / "concepts").glob("*.md")]
    assert concepts
    assert not [name for name in concepts if f"(../concepts/{name})" not in text]
