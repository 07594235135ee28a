"""The rules by which a line that seems to hold a secret is found, before it is brought to a server.

The rules know common forms of keys, tokens and passwords; what has no such form is not found. Their
time grows with a text's length and no faster: no pattern repeats without a limit what another
could take. What is returned names a rule and a place, and never shows a part of the secret.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

_SHOWN = re.compile(r"[A-Za-z_][0-9A-Za-z_-]{0,39}", re.ASCII)
# ours, and no text of anybody: numbers, checksums, what is made of chance
_SKIPPED = frozenset(
    ("event_id", "node_id", "seq", "lamport_clock", "timestamp", "caused_by", "crc", "nonce")
) | {"body_sha256"}
_VALUE_CHARACTERS_MIN = 8


class FoundSecret(NamedTuple):
    """The rule that a line matches, and the path of the member that does."""

    rule: str
    path: str


class SecretRule(NamedTuple):
    """A rule for the texts of a line.

    A line in which no `mark` stands, in lower case, or in which `raw` finds nothing, has no match;
    `raw` of a rule for any case is for lines in lower case.
    """

    name: str
    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    raw: re.Pattern[bytes]
    is_any_case: bool = False


def _rule(name: str, marks: str, pattern: str) -> SecretRule:
    raw = re.compile(pattern.encode())
    return SecretRule(name, tuple(marks.split()), re.compile(pattern, re.ASCII), raw)


# A pattern begins with letters, which are searched for fast; what stands before them is asked then.
_FORMS = (
    _rule(
        "aws-access-key",
        "akia asia",
        r"A(?:KIA|SIA)(?<![0-9A-Za-z]A[KS]IA)[0-9A-Z]{16}(?![0-9A-Za-z])",
    ),
    _rule("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[0-9A-Za-z]{36}"),
    _rule("github-token", "github_pat_", r"github_pat_[0-9A-Za-z_]{22}"),
    _rule("gitlab-token", "glpat- glrt- gldt-", r"gl(?:pat|rt|dt)-[0-9A-Za-z_-]{20}"),
    _rule("slack-token", "xox", r"xox[abeoprs]-[0-9A-Za-z-]{10}"),
    _rule("api-key", "sk-", r"sk-(?<![0-9A-Za-z_-]sk-)(?:[0-9a-z]{1,8}-){0,2}[0-9A-Za-z_]{16}"),
    _rule("api-key", "sk_live_ sk_test_ rk_live_", r"[rs]k_(?:live|test)_[0-9A-Za-z]{16}"),
    _rule("api-key", "aiza", r"AIza[0-9A-Za-z_-]{35}"),
    _rule(
        "private-key",
        "-----begin",
        r"-----BEGIN (?:[0-9A-Z]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----",
    ),
    _rule(
        "json-web-token",
        "eyj",
        r"eyJ(?<![0-9A-Za-z_-]eyJ)[0-9A-Za-z_-]{8,}+\.eyJ[0-9A-Za-z_-]{8,}+\.[0-9A-Za-z_-]{8}",
    ),
)
# What a password or token is assigned to, by the mark. Prose has colons too, so that a value
# behind one has a digit.
_NAMES = {
    "passw": r"passw(?:or)?d",
    "passphrase": "passphrase",
    "pwd": "pwd",
    "secret": "secret",
    "token": "token",
    "key": r"(?:api|access|private|auth)[_-]?key",
}
_NAME = f"(?:{'|'.join(_NAMES.values())})"
_NO_VALUE = r"\s\"'\\<>${}*()\[\],;&"
_ASSIGNED = re.compile(
    rf"{_NAME}[\"']?\s{{0,4}}(?:=\s{{0,4}}[\"']?[^{_NO_VALUE}]{{{_VALUE_CHARACTERS_MIN}}}"
    rf"|:\s{{0,4}}[\"']?(?=[^\s0-9]{{0,64}}[0-9])[^{_NO_VALUE}]{{{_VALUE_CHARACTERS_MIN}}})",
    re.ASCII | re.IGNORECASE,
)
_ASSIGNMENT = "password"
_ASSIGNMENTS = tuple(
    SecretRule(
        _ASSIGNMENT,
        (mark,),
        _ASSIGNED,
        re.compile(rf"{name}[\"']?\s{{0,4}}[:=]".encode()),
        is_any_case=True,
    )
    for mark, name in _NAMES.items()
)
_KEY_OF_SECRET = re.compile(rf"{_NAME}\Z", re.ASCII | re.IGNORECASE)
RULES = (*_FORMS, *_ASSIGNMENTS)
_BY_MARK = {mark.encode(): rule for rule in RULES for mark in rule.marks}
_MARKS = re.compile(b"|".join(map(re.escape, _BY_MARK)))
_ESCAPE = re.compile(rb"\\.")


def secret_in(line: bytes) -> FoundSecret | None:
    """Returns the first rule that a line of an event matches, with the path; None without one.

    All texts and keys are matched, at any depth. A line that is no JSON matches nothing.
    """
    rules = _possible(line)
    if not rules:
        return None
    try:
        members = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    for key in _SKIPPED:
        members.pop(key, None)
    for path, key, text in _texts(members):
        rule = _matched(rules, key, text)
        if rule:
            return FoundSecret(rule, path)
    return None


def _possible(line: bytes) -> Sequence[SecretRule]:
    """Returns the rules that a line may match, by its bytes: few lines need to be decoded."""
    lowered = line.lower()
    found = _MARKS.findall(lowered)
    if b"\\u" in line:  # letters may stand there as numbers
        return RULES
    if not found:
        return ()
    if b"\\" in line:
        line = _ESCAPE.sub(b"  ", line)
        lowered = line.lower()
    rules = {id(rule): rule for rule in map(_BY_MARK.__getitem__, found)}
    return [
        rule for rule in rules.values() if rule.raw.search(lowered if rule.is_any_case else line)
    ]


def _matched(rules: Sequence[SecretRule], key: str, text: str) -> str:
    for rule in rules:
        if rule.pattern.search(text):
            return rule.name
    is_value = len(text) >= _VALUE_CHARACTERS_MIN and text[0] not in "$<{*"
    return _ASSIGNMENT if is_value and _KEY_OF_SECRET.search(key[-40:]) else ""


def _texts(members: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields the path of each text, the key that it stands under, and the text; keys too."""
    waiting: list[tuple[str, str, Any]] = [("", "", members)]
    while waiting:
        path, key, value = waiting.pop()
        if isinstance(value, str):
            yield path, key, value
        elif isinstance(value, list):
            waiting += [(f"{path}[{at}]", key, each) for at, each in enumerate(value)][::-1]
        elif isinstance(value, dict):
            for name, each in reversed(value.items()):
                shown = name if _SHOWN.fullmatch(name) else "…"
                inner = f"{path}.{shown}" if path else shown
                waiting += ((inner, name, each), (f"{path}.(key)" if path else "(key)", "", name))
