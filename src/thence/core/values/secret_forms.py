"""The built-in rules for secrets: common forms of keys, tokens and passwords.

What has no such form is not found. The rules' time grows with a text's length and no faster: no
pattern repeats without a limit what another could take.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_VALUE_CHARACTERS_MIN = 8
Span = tuple[int, int]


class SecretRule(NamedTuple):
    """A rule for the texts of a line.

    A line in which no `mark` stands, in lower case, or in which `raw` finds nothing, has no match;
    `raw` of a rule for any case is for lines in lower case. A match may end within the secret:
    `rest` matches what is left of it behind.
    """

    name: str
    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    raw: re.Pattern[bytes]
    rest: re.Pattern[str]
    is_any_case: bool = False


def _rule(name: str, marks: str, pattern: str, rest: str = "[0-9A-Za-z_-]*+") -> SecretRule:
    raw = re.compile(pattern.encode())
    texts = re.compile(pattern, re.ASCII), raw, re.compile(rest, re.ASCII)
    return SecretRule(name, tuple(marks.split()), *texts)


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
        r"[^-]*(?:-(?!----END )[^-]*)*(?:-----END [0-9A-Z ]{0,60}-----)?",
    ),
    _rule(
        "json-web-token",
        "eyj",
        r"eyJ(?<![0-9A-Za-z_-]eyJ)[0-9A-Za-z_-]{8,}+\.eyJ[0-9A-Za-z_-]{8,}+\.[0-9A-Za-z_-]{8}",
        r"[0-9A-Za-z_.-]*+",
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
# A value in quotes goes on to the closing one on its line, any other to a blank. Before 3.11.5 a
# repeated group of Python that gives nothing back (`*+`) does not match what it should.
_UNQUOTED = re.compile(r"\S*+")
_QUOTED = {
    quote: re.compile(rf"[^\n\\{quote}]*(?:\\.[^\n\\{quote}]*)*(?={quote})") for quote in "\"'"
}
_SEPARATOR = re.compile(r"[:=]\s{0,4}([\"']?)")
ASSIGNMENT = "password"
_ASSIGNMENTS = tuple(
    SecretRule(
        ASSIGNMENT,
        (mark,),
        _ASSIGNED,
        re.compile(rf"{name}[\"']?\s{{0,4}}[:=]".encode()),
        _UNQUOTED,
        is_any_case=True,
    )
    for mark, name in _NAMES.items()
)
_KEY_OF_SECRET = re.compile(rf"{_NAME}\Z", re.ASCII | re.IGNORECASE)
RULES = (*_FORMS, *_ASSIGNMENTS)
_BY_MARK = {mark.encode(): rule for rule in RULES for mark in rule.marks}
_MARKS = re.compile(b"|".join(map(re.escape, _BY_MARK)))
_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)")
_PLAIN_AS_NUMBER = re.compile(rb"\\u00[2-7]")


def possible_rules(line: bytes) -> Sequence[SecretRule]:
    """Returns the rules that a line may match, by its bytes: few lines need to be decoded."""
    lowered = line.lower()
    marks = _MARKS.findall(lowered)
    if _PLAIN_AS_NUMBER.search(line):  # what a rule looks for may stand there as a number
        return RULES
    if not marks:
        return ()
    if b"\\" in line:
        line = _ESCAPE.sub(b" ", line)
        lowered = line.lower()
    rules = {id(rule): rule for rule in map(_BY_MARK.__getitem__, marks)}
    return [
        rule for rule in rules.values() if rule.raw.search(lowered if rule.is_any_case else line)
    ]


def is_value_of_secret(key: str, text: str) -> bool:
    """Reports whether a text is a secret by the name of the member that it stands under."""
    is_value = len(text) >= _VALUE_CHARACTERS_MIN and text[0] not in "$<{*"
    return is_value and _KEY_OF_SECRET.search(key[-40:]) is not None


def spans_of(rule: SecretRule, text: str) -> Iterator[Span]:
    """Yields where the secrets begin and end that a rule finds in a text, in order.

    Of what is assigned to a name the value is the secret.
    """
    at = 0
    while secret := rule.pattern.search(text, at):
        begin, rest = secret.start(), rule.rest.match(text, secret.end())
        if rule.name == ASSIGNMENT and (separator := _SEPARATOR.search(secret[0])):
            begin += separator.end()
            quote = separator[1]
            rest = (quote and _QUOTED[quote].match(text, secret.end())) or rest
        at = rest.end() if rest else secret.end()
        yield begin, at
