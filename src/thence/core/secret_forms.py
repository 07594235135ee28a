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
    `rest` matches what is left of it behind. The first group of a pattern is the secret; without
    one it is the match.
    """

    name: str
    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    raw: re.Pattern[bytes]
    rest: re.Pattern[str]
    is_any_case: bool = False


def _rule(
    name: str, marks: str, pattern: str, rest: str = "[0-9A-Za-z_-]*+", raw: str = ""
) -> SecretRule:
    """Makes a rule; one with a `raw` of its own is for texts of any case."""
    text = re.compile(pattern, re.ASCII | re.IGNORECASE if raw else re.ASCII)
    places = re.compile((raw or pattern).encode()), re.compile(rest, re.ASCII)
    return SecretRule(name, tuple(marks.split()), text, *places, is_any_case=bool(raw))


# What stands in the place of a secret: a variable, a placeholder, a mask.
_STAND_IN = (
    r"\$[A-Z_][0-9A-Z_]*+(?![0-9A-Za-z])|\$[a-z_]++(?![0-9A-Za-z])|\$[({]|%[(A-Z]|[{<*]|\.\.\."
    r"|(?i:your|x{8}|\[redacted:)"
)
_CREDENTIALS = r"[0-9A-Za-z._~+/=-]"

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
    _rule("slack-token", "xapp-", r"xapp-[0-9]-[0-9A-Za-z-]{10}"),
    _rule(
        "slack-webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([0-9A-Za-z_/-]{20})",
        "[0-9A-Za-z_/-]*+",
    ),
    _rule("api-key", "sk-", r"sk-(?<![0-9A-Za-z_-]sk-)(?:[0-9a-z]{1,8}-){0,2}[0-9A-Za-z_]{16}"),
    _rule("api-key", "sk_live_ sk_test_ rk_live_", r"[rs]k_(?:live|test)_[0-9A-Za-z]{16}"),
    _rule("api-key", "aiza", r"AIza[0-9A-Za-z_-]{35}"),
    _rule("api-key", "gsk_", r"gsk_(?<![0-9A-Za-z_]gsk_)[0-9A-Za-z]{40}"),
    _rule("hugging-face-token", "hf_", r"hf_(?<![0-9A-Za-z_]hf_)[0-9A-Za-z]{30}"),
    _rule("npm-token", "npm_", r"npm_(?<![0-9A-Za-z_]npm_)[0-9A-Za-z]{36}"),
    _rule("pypi-token", "pypi-", r"pypi-AgE[0-9A-Za-z_-]{16}"),
    _rule("docker-token", "dckr_", r"dckr_[a-z]{3}_[0-9A-Za-z_-]{20}"),
    _rule(
        "sendgrid-key", "sg.", r"SG\.(?<![0-9A-Za-z]SG\.)[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{16}"
    ),
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
    # `user:password@` in an address; words that stand for a password in every manual are none
    _rule(
        "password",
        "://",
        r"://([^\s/@:\"'<>\\]{0,100}):(?!\1@)"
        rf"(?!{_STAND_IN}|(?:my|the)?[_-]?(?:pass(?:w(?:or)?d)?|pwd?|secret|token)@)"
        r"([^\s/\"'<>\\]{4,200})@[0-9A-Za-z\[]",
        "",
        r"://[^/]{5,1500}@",
    ),
    # behind the name of the header any value is one, elsewhere one that no word of prose is
    _rule(
        "authorization",
        "authorization",
        r"authorization\\{0,15}[\"']?\s{0,4}[:=]\s{0,4}\\{0,15}[\"']?"
        r"(?:(?:bearer|basic|token|digest|negotiate|api-?key) {1,4}"
        r"|(?:[A-Za-z0-9-]{1,20} {1,4})?(?=[^\s0-9]{0,64}[0-9]))"
        rf"(?!{_STAND_IN}|eyJ|(?-i:[A-Z_]{{3,40}})(?![0-9A-Za-z]))({_CREDENTIALS}{{8}})",
        rf"{_CREDENTIALS}*+",
        r"authorization[\s\"']{0,40}[:=]",
    ),
    _rule(
        "authorization",
        "bearer basic",
        r"(?:bearer|basic) {1,4}(?!eyJ)(?=[^0-9\s]{0,64}[0-9])"
        rf"(?=[^A-Za-z\s]{{0,64}}[A-Za-z])({_CREDENTIALS}{{16}})",
        rf"{_CREDENTIALS}*+",
        r"(?:bearer|basic) ",
    ),
    # -u USER:PASSWORD of curl and its like; --user www-data:www-data names a group
    _rule(
        "password",
        "-u",
        r"(?<=[\s\"'])(?:-u|--user)[ =]{1,4}[\"']?[^\s:\"']{1,64}:(?=[^\s0-9]{0,64}[0-9])"
        rf"(?!{_STAND_IN}|[0-9]{{1,12}}(?!\S))([^\s\"':/]{{8}})",
        r"[^\s\"']*+",
        r"-u(?:ser)?[ =\s]",
    ),
)
# What a password or token is assigned to, by the mark that stands in it.
_NAMES = {
    "passw": r"passw(?:or)?d",
    "passphrase": "passphrase",
    "pass": r"pass(?<=[0-9a-z-][_-]pass)",
    "pwd": "pwd",
    "secret": "secret",
    "token": "token",
    "key": "key(?:_base)?",
}
# Behind a name: what assigns, also amid the escapes of JSON in JSON; the end of a tag; the member
# that holds the value of a pair; blanks, behind an option.
_QUOTE = r"\\{0,15}[\"'`]?"
_SEPARATOR = (
    rf"(?P<sign>{_QUOTE}\]?[^\S\n]{{0,4}}(?:=>|:=|[:=])(?![:=])[^\S\n]{{0,4}})"
    rf"|(?P<pair>(?:\\{{0,15}}[\"'],\s{{0,16}}{_QUOTE}value{_QUOTE}|\n[ \t]{{0,40}}value)"
    r"[^\S\n]{0,4}:[^\S\n]{0,4})"
    r"|(?P<tag>>)|(?P<blank>[^\S\n]{1,4})"
)
_NAME_BEFORE = re.compile(r"[0-9A-Za-z_.-]*+\Z", re.ASCII)
_NAME_CHARACTERS_MAX = 64
# Any value of these is a secret. Other keys, in capitals, have one that is no word.
_STRONG = re.compile(
    r"(?:passw(?:or)?d|passphrase|[_-]pass|pwd|secret|token"
    r"|(?:api|access|private|auth|secret|crypt|encryption|encrypt|signing|sign|account|master"
    r"|shared|storage|client|service|license)[_-]?key(?:_base)?)\Z",
    re.ASCII | re.IGNORECASE,
)
_CAPITAL_KEY = re.compile(
    r"(?<![0-9A-Za-z])(?!(?:[0-9A-Z]+_)*(?:PUBLIC|PRIMARY|FOREIGN|SORT|CACHE|PARTITION|ROW)_KEY)"
    r"[0-9A-Z]+_(?:[0-9A-Z]+_){0,8}KEY(?:_BASE)?\Z"
)
_NO_WORD = re.compile(r"(?=[^A-Za-z\s]{0,64}[A-Za-z])[^0-9\s]{0,64}[0-9]\S*+\Z")
_IS_STAND_IN = re.compile(_STAND_IN).match
# A name, a path of names, or a call of one: `token`, `settings.api.token`, `get(name,`.
_WORD = r"(?:[A-Za-z]*[0-9]{0,3}_)*(?:[A-Za-z]+[0-9]?|[0-9]{1,3})?"
_OF_CODE = re.compile(
    rf"(?=[A-Za-z_]){_WORD}(?:(?:\.|::|->|/|-){_WORD})*"
    r"(?:[,;:.)\]}\"'`!?]*\Z|[(\[](?!.*[\])][0-9A-Za-z]))",
    re.ASCII,
)
# Where NAME=VALUE is an assignment of a shell, an environment or a command line.
_BEFORE_ASSIGNMENT = re.compile(
    r"(?:(?:\A|\n)[+>]?|\b(?:export|set|env) |-e ?|--env[ =])[\"']?\Z", re.ASCII
)
_CAPITALS = re.compile("[0-9A-Z_]+")
_BEFORE_NAME = " \t\n\"'`;(+>|"
_PLACEHOLDER = re.compile("[A-Z_-]+")
# Of the words behind `password:` one that ends its line is taken for the password itself.
_ITEM_START = re.compile(r"(?:\A|\n)[+>]?[ \t]*(?:- )?\Z")
_PASSWORD = re.compile("[A-Za-z_]{0,40}(?:password|passwd|passphrase)", re.IGNORECASE)
_LETTERS_TO_LINE_END = re.compile(r"[a-z]{12,64}[ \t\r]*(?:\n|\Z)")
_OPENING = re.compile(r"(?P<prefix>[bfruBFRU]{0,2})(?P<slashes>\\{0,15})(?P<quote>[\"'`])")
_TO_QUOTE = {quote: re.compile(rf"[^\n{quote}]*+{quote}") for quote in "\"'`"}
_TAGGED = re.compile("[^<\n]{1,4000}(?=</)")
_UNQUOTED = re.compile(r"\S*+")
# What an unquoted value ends before, by what stands before its name: in an address, a connection
# string, within quotes.
_UNTIL = {
    **dict.fromkeys("?&", re.compile(r"[^\s&#\"'<>]*+")),
    ";": re.compile(r"[^\s;\"']*+"),
    **{quote: re.compile(rf"[^\s{quote}]*+") for quote in "\"'`"},
}
_JUDGED_CHARACTERS_MAX = 128
ASSIGNMENT = "password"
_ASSIGNMENTS = tuple(
    _rule(
        ASSIGNMENT,
        mark,
        rf"(?P<name>{name})(?:{_SEPARATOR})",
        raw=rf"{name}[\s\"'`:=>\],\\]",
    )
    for mark, name in _NAMES.items()
)
RULES = (*_FORMS, *_ASSIGNMENTS)
_BY_MARK = {mark.encode(): rule for rule in RULES for mark in rule.marks}
_MARKS = re.compile(b"|".join(map(re.escape, _BY_MARK)))
_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)")
_PLAIN_ESCAPED = re.compile(rb"\\(?:u00[2-7]|/)")


def possible_rules(line: bytes) -> Sequence[SecretRule]:
    """Returns the rules that a line may match, by its bytes: few lines need to be decoded."""
    lowered = line.lower()
    marks = _MARKS.findall(lowered)
    if _PLAIN_ESCAPED.search(line):  # what a rule looks for may stand there as an escape
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
    if len(text) < _VALUE_CHARACTERS_MIN or not key or _IS_STAND_IN(text):
        return False
    name = key[-_NAME_CHARACTERS_MAX:]
    if _STRONG.search(name) or name.lower() == "authorization":
        return True
    return _CAPITAL_KEY.search(name) is not None and _NO_WORD.match(text) is not None


def spans_of(rule: SecretRule, text: str) -> Iterator[Span]:
    """Yields where the secrets begin and end that a rule finds in a text, in order.

    Of what is assigned to a name the value is the secret.
    """
    at, is_assignment, group = 0, "name" in rule.pattern.groupindex, rule.pattern.groups
    while match := rule.pattern.search(text, at):
        at = match.end()
        if is_assignment:
            secret = _assigned_secret(text, match)
        else:
            rest = rule.rest.match(text, match.end(group))
            secret = match.start(group), rest.end() if rest else match.end(group)
        if secret is not None:
            yield secret
            at = max(at, secret[1])


class _Value(NamedTuple):
    """A value that stands behind a name: where it begins, its end if it is quoted, its text.

    Of a long text it is the beginning. `stops` are what an unquoted one ends before, as a blank.
    """

    begin: int
    end: int | None
    text: str
    stops: str = ""


def _assigned_secret(text: str, match: re.Match[str]) -> Span | None:
    """Returns where the secret stands that is assigned to a name, None if it is none."""
    first = match.start()
    before = _NAME_BEFORE.search(text, max(0, first - _NAME_CHARACTERS_MAX), first)
    name_at = before.start() if before else first
    name = text[name_at : match.end("name")]
    is_strong = _STRONG.search(name) is not None
    is_key = match["sign"] == "=" and name.lstrip("-").lower() == "key"
    if not (is_strong or is_key or _CAPITAL_KEY.search(name)):
        return None
    if match["blank"] is not None and not name.startswith("--"):
        return None
    value = _value(text, name_at, match)
    if len(value.text) < _VALUE_CHARACTERS_MIN or _IS_STAND_IN(value.text):
        return None
    if is_strong:
        is_secret = value.end is not None or _is_secret_unquoted(text, name_at, match, value)
    else:
        is_long = not is_key or len(value.text) >= 2 * _VALUE_CHARACTERS_MIN
        is_secret = is_long and bool(_NO_WORD.match(value.text)) and not _OF_CODE.match(value.text)
    if not is_secret:
        return None
    if value.end is not None:
        return value.begin, value.end
    rest = (_UNTIL[value.stops] if value.stops else _UNQUOTED).match(text, value.begin)
    return value.begin, rest.end() if rest else value.begin + len(value.text)


def _value(text: str, name_at: int, match: re.Match[str]) -> _Value:
    """Returns the value behind a name; an empty one where none stands."""
    begin, above = match.end(), text[name_at - 1] if name_at else ""
    if match["tag"] is not None:
        tagged = _TAGGED.match(text, begin) if above == "<" else None
        return _Value(begin, tagged.end(), tagged[0]) if tagged else _Value(begin, None, "")
    opening = _OPENING.match(text, begin)
    if opening:
        begin = opening.end()
        end = _closing(text, opening)
        if end is not None:
            value = text[begin : min(end, begin + _JUDGED_CHARACTERS_MAX)]
            is_made = "f" in opening["prefix"].lower() and "{" in value
            return _Value(begin, end, "" if is_made else value)
    stops = above if match["sign"] == "=" and above in _UNTIL else ""
    judged = text[begin : begin + _JUDGED_CHARACTERS_MAX]
    value_text = (_UNTIL[stops] if stops else _UNQUOTED).match(judged)
    return _Value(begin, None, value_text[0] if value_text else "", stops)


def _closing(text: str, opening: re.Match[str]) -> int | None:
    """Returns where the text ends that a quote opens, on its line; None where no quote closes it.

    In JSON within JSON the quotes of the inner one have backslashes, as many at both ends.
    """
    at, depth = opening.end(), len(opening["slashes"])
    to_quote = _TO_QUOTE[opening["quote"]]
    while upto := to_quote.match(text, at):
        end = upto.end() - 1
        slashes = 0
        while end - slashes > opening.end() and text[end - slashes - 1] == "\\":
            slashes += 1
        if slashes <= depth if depth else slashes % 2 == 0:
            return end - min(slashes, depth)
        at = upto.end()
    return None


def _is_secret_unquoted(text: str, name_at: int, match: re.Match[str], value: _Value) -> bool:
    """Reports whether what stands unquoted behind the name of a secret is one."""
    name, sign = text[name_at : match.end("name")], match["sign"]
    before = text[max(0, name_at - 16) : name_at]
    if "pwd" in name[-3:].lower() and value.text[0] in "/~":
        return False  # the working directory
    if sign == "=":
        is_environments = _CAPITALS.fullmatch(name) and (not before or before[-1] in _BEFORE_NAME)
        if is_environments or name.startswith(("--", "-D")) or _BEFORE_ASSIGNMENT.search(before):
            return True
    if match["pair"] is not None:
        return True
    if match["blank"] is not None:
        is_placeholder = value.text[0] == "-" or _PLACEHOLDER.fullmatch(value.text)
        return not is_placeholder and not _OF_CODE.match(value.text)
    if ":" in (sign or ""):
        is_item = _ITEM_START.search(before) and _PASSWORD.fullmatch(name)
        if is_item and _LETTERS_TO_LINE_END.match(text, value.begin):
            return True
        if not any(character.isdecimal() for character in value.text):
            return False
    return value.text[0] not in "([" and not _OF_CODE.match(value.text)
