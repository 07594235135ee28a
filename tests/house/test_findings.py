"""Every code that verify can tell has its section in the page of findings, and the other way."""

import re

from tests.house.tree import ROOT

from thence.log.files.findings import SEVERITIES

PAGE = "docs/reference/findings.md"
PART = re.compile(r"^## (\w+)$", re.MULTILINE)
SECTION = re.compile(r"^### `(\w+)`$", re.MULTILINE)


def written(page: str) -> dict[str, str]:
    """Read each code of the page with the part that it stands in."""
    _, *parts = PART.split(page)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {code: part.lower() for part, text in pairs for code in SECTION.findall(text)}


def judged(known: dict[str, str], page: str) -> list[str]:
    """Compare codes and their severities with the page, in both directions."""
    told = written(page)
    wrong = [f"{code} has no section in {PAGE}" for code in known if code not in told]
    wrong += [f"{PAGE} tells of {code}, which is no code" for code in told if code not in known]
    moved = [code for code in known if code in told and told[code] != known[code]]
    return wrong + [f"{code} is {known[code]}, not {told[code]}" for code in moved]


def test_codes_and_their_sections_name_each_other():
    wrong = judged(dict(SEVERITIES), (ROOT / PAGE).read_text(encoding="utf-8"))
    assert not wrong, "\n".join(wrong)


def test_codes_are_spelt_nowhere_without_being_known():
    told = re.compile(r'(?:BadLine|_add\(line,|Finding|_missing)\(?\s*"(\w+)"')
    found = {
        code
        for path in sorted((ROOT / "src").rglob("*.py"))
        for code in told.findall(path.read_text(encoding="utf-8"))
    }
    assert found <= set(SEVERITIES)
    assert len(found) == len(SEVERITIES) == 9


def test_missing_and_stale_sections_are_found():
    page = "# Findings\n\n## Damaged\n\n### `bad_one`\n\ntext\n\n## Noted\n\n### `note`\n"
    assert not judged({"bad_one": "damaged", "note": "noted"}, page)
    assert judged({"bad_one": "damaged"}, page)
    assert judged({"bad_one": "damaged", "note": "noted", "new": "lost"}, page)
    assert judged({"bad_one": "lost", "note": "noted"}, page)
