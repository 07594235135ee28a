"""The built-in rules for secrets: common forms of keys, tokens and passwords.

What has no such form is not found. The rules' time grows with a text's length and no faster: no
pattern repeats without a limit what another could take.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

_VALUE_CHARACTERS_MIN = 8
_FOLLOWING_CHARACTERS_MIN = 4
Span = tuple[int, int]


class SecretRule(NamedTuple):
    """A rule for the texts of a line.

    A line in which no `mark` stands, in lower case, has no match; without marks only one that the
    pattern matches. The last group of a pattern is the secret; without one it is the match. With a
    group `name` or `value` it is what follows.
    """

    name: str
    marks: Sequence[str]
    pattern: re.Pattern[str]


def _rule(name: str, marks: str, pattern: str, flags: int = 0) -> SecretRule:
    """Makes a rule; a pattern without a group is a token, which goes on with letters and digits."""
    text = re.compile(pattern, re.ASCII | flags)
    if not text.groups:
        text = re.compile(pattern + "[0-9A-Za-z_-]*+", text.flags)
    return SecretRule(name, marks.split(), text)


# What stands in the place of a secret: a variable, a placeholder, a mask. Each is one as a whole
# and holds words alone, as no generator of passwords makes them.
_WORDS = r"[A-Za-z]++[0-9]{0,3}(?:[ _.:/|?-]{1,3}[A-Za-z]++[0-9]{0,3})*+"
_STAND_IN = (
    r"(?:(?:\$(?:[A-Z_][0-9A-Z_]*+|[a-z_]++|env:\w++)(?![0-9A-Za-z])"
    r"|\$\([a-z][\w./-]*+(?:\)| [^\n]*+)"
    r"|\$?\{\{[^{}\n]{0,100}+\}\}|%[A-Za-z_]++%|%\([A-Za-z_.]++\)s|<%[^%\n]{0,100}+%>"
    rf"|\$?\{{ ?(?:{_WORDS}(?:\[['\"]?\w{{0,30}}['\"]?\]|\(\))?|[0-9]?)(?:![ars])? ?\}}|<{_WORDS}>"
    rf"|(?i:your)(?:[ _-]?{_WORDS})?|[xX]{{8,}}+|\*{{3,}}+|\.{{3,}}+|•{{3,}}+)[:/@. _-]?+)++"
    rf"(?:(?<= ){_WORDS})?+"
)
_CREDENTIALS = r"[0-9A-Za-z._~+/=-]"
_BASE64 = "[0-9A-Za-z+/]"
_IN_MANUALS = "(?:my|the)?[_-]?(?:pass(?:w(?:or)?d)?|pwd?|secret|token)"

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
    _rule("slack-token", "xox xapp-", r"x(?:ox[abeoprs]|app-[0-9])-[0-9A-Za-z-]{10}"),
    _rule(
        "slack-webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([0-9A-Za-z_/-]{20,}+)",
    ),
    _rule("api-key", "sk-", r"sk-(?<![0-9A-Za-z_-]sk-)(?:[0-9a-z]{1,8}-){0,2}[0-9A-Za-z_]{16}"),
    _rule("api-key", "sk_live_ sk_test_ rk_live_", r"[rs]k_(?:live|test)_[0-9A-Za-z]{16}"),
    _rule("api-key", "whsec_", rf"(whsec_{_BASE64}{{20,}}+={{0,2}})"),
    _rule("api-key", "aiza", r"AIza[0-9A-Za-z_-]{35}"),
    _rule("api-key", "gsk_", r"gsk_(?<![0-9A-Za-z_]gsk_)[0-9A-Za-z]{40}"),
    _rule("hugging-face-token", "hf_", r"hf_(?<![0-9A-Za-z_]hf_)[0-9A-Za-z]{30}"),
    _rule("npm-token", "npm_", r"npm_(?<![0-9A-Za-z_]npm_)[0-9A-Za-z]{36}"),
    _rule("pypi-token", "pypi-", r"pypi-AgE[0-9A-Za-z_-]{16}"),
    _rule("docker-token", "dckr_", r"dckr_[a-z]{3}_[0-9A-Za-z_-]{20}"),
    _rule(
        "sendgrid-key", "sg.", r"SG\.(?<![0-9A-Za-z]SG\.)[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{16}"
    ),
    _rule("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _rule("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:[acp]a|at|ss)_[0-9A-Fa-f]{32}"),
    _rule("telegram-token", ":aa", r"[0-9]{8,12}:AA[0-9A-Za-z_-]{33}"),
    _rule("age-key", "age-secret-key-", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50}"),
    # these two have no letters of their own that are always the same: any line may hold them
    _rule("twilio-key", "", r"SK(?<![0-9A-Za-z_]SK)[0-9a-f]{32}(?![0-9A-Za-z])"),
    _rule(
        "discord-token",
        "",
        r"[MNO][DTjz](?<![0-9A-Za-z_.-]..)[0-9A-Za-z]{20,30}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27}",
    ),
    _rule(
        "private-key",
        "-----begin",
        r"(-----BEGIN (?:[0-9A-Z]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"[^-]*+(?:-(?!----END )[^-]*+)*+(?:-----END [0-9A-Z ]{0,60}-----)?)",
    ),
    # the same in Base64: before PRIVATE stands nothing, or RSA, EC, DSA, PGP, OPENSSH, ENCRYPTED
    _rule(
        "private-key",
        "ls0tls1crudjtib",
        r"(LS0tLS1CRUdJTiB(?:QUklW|SU0EgUFJJV|FQyBQUklW|EU0EgUFJJV|QR1AgUFJJV|PUEVOU1NIIFBSSV"
        rf"|FTkNSWVBURUQgUFJJV)(?:{_BASE64}++|(?:\\{{1,15}}n|\s{{1,40}}+)"
        rf"(?={_BASE64}{{20}}|{_BASE64}{{1,19}}=))*+={{0,2}})",
    ),
    _rule(
        "json-web-token",
        "eyj",
        r"(eyJ(?<![0-9A-Za-z_-]eyJ)[0-9A-Za-z_-]{8,}+\.eyJ[0-9A-Za-z_-]{8,}+\.[0-9A-Za-z_-]{8}"
        r"[0-9A-Za-z_.-]*+)",
    ),
    # `user:password@` in an address; words that stand for a password in every manual are none
    _rule(
        "password",
        "://",
        r"://([^\s/@:\"'<>\\]{0,100}):(?!\1@)"
        rf"(?!{_STAND_IN}(?<=@)|{_IN_MANUALS}@)"
        r"([^\s/\"'<>\\]{4,200})@[0-9A-Za-z\[]",
        re.IGNORECASE,
    ),
    _rule(
        "authorization",
        "bearer basic",
        r"(?:bearer|basic) {1,4}(?!eyJ)(?=[^0-9\s]{0,64}[0-9])"
        rf"(?=[^A-Za-z\s]{{0,64}}[A-Za-z])({_CREDENTIALS}{{16,}}+)",
        re.IGNORECASE,
    ),
    # -u USER:PASSWORD of curl and its like; --user www-data:www-data names a group
    _rule(
        "password",
        "-u curl",
        r"(?<=[\s\"'])(?:-(?-i:[A-Za-z]{0,5}u)[ =]{0,4}|--user[ =]{1,4})[\"']?"
        r"[^\s:\"'=/-][^\s:\"'/]{0,64}:(?=[^\s0-9]{0,64}[0-9])"
        rf"(?!{_STAND_IN}(?![^\s\"'])|[0-9]{{1,12}}(?!\S))([^\s\"':/]{{8}}"
        r"(?:[^\s\"'\\]|\\++(?![\"']))*+)",
        re.IGNORECASE,
    ),
    # the value follows: -pPASSWORD, a login of .netrc, a line of .pgpass with a usual port
    _rule(
        "password",
        "mysql mariadb sshpass machine :543 :6432: :*:",
        r"(?:(?:mysql|mariadb)[^\n|;&]{0,200}?[ \t]-p|sshpass[^\n|;&]{0,40}?[ \t]-p ?"
        r"|machine\s{1,16}\S{1,100}\s{1,16}login\s{1,16}\S{1,100}\s{1,16}password\s{1,16}"
        r"|:(?:543[0-9]|6432|\*):[^\s:\"']{1,64}:[^\s:\"']{1,64}:)(?P<value>)",
    ),
)
# What a password or token is assigned to; after a name in capitals may stand where it is for.
_FOR = r"(?:_(?-i:PROD(?:UCTION)?|STAG(?:E|ING)|DEV|TEST|LIVE|LOCAL|OLD|NEW|V?[0-9]{1,3}))?+"
_NAMES = (
    r"(?:pass(?:w(?:or)?d|phrase|(?<=[0-9a-z-][_-]pass))|pwd|secret|token|key(?:_base)?"
    r"|auth(?:(?P<header>orization)|(?<![0-9a-z]auth)))"
)
# Behind a name: what assigns, also amid the escapes of JSON in JSON, the colours of a terminal and
# the stars of Markdown, or behind a type; the member that holds the value of a pair; the end of a
# tag; blanks, behind an option.
_QUOTE = r"\\{0,15}[\"'`]?"
_BLANKS = r"[^\S\n]{0,4}"
_PAINT = r"(?:(?:\x1b|\\{1,15}(?:u001b|x1b|033|e))\[[0-9;]{0,12}m)?+"
_TYPE = r":[ \t]{0,4}&?[A-Za-z_][\w.]{0,40}(?:[\[<|? ][\w.,|? \[\]<>]{0,40})?[ \t]=(?=[ \t])"
_SEPARATOR = (
    rf"(?P<sign>{_QUOTE}\]?(?:\*\*|__)?{_PAINT}{_BLANKS}(?:=>|[:?]?=(?!=[\s=\"'(])|{_TYPE}|:(?![:=]))"
    rf"(?:(?:\*\*|__)(?=\s))?{_PAINT}{_BLANKS}{_PAINT})"
    rf"|(?P<pair>(?:\\{{0,15}}[\"'],\s{{0,16}}{_QUOTE}value{_QUOTE}|\n[ \t]{{0,40}}value)"
    rf"{_BLANKS}:{_BLANKS})|(?P<tag>>(?=[^<\n]{{1,4000}}</))|(?P<blank>[^\S\n]{{1,4}})"
)
_PAINTED = re.compile(_PAINT)
_NAME_BEFORE = re.compile(r"[0-9A-Za-z_.-]*+\Z", re.ASCII)
_NAME_CHARACTERS_MAX = 64
# Any value of these is a secret. Other keys, in capitals, have one that is no word.
_STRONG = re.compile(
    r"(?:passw(?:or)?d|passphrase|[_-]pass|pwd|secret|token|authorization"
    r"|(?:api|access|private|auth|secret|crypt|encryption|encrypt|signing|sign|account|master"
    rf"|shared|storage|client|service|license)[_-]?key(?:_base)?){_FOR}\Z",
    re.ASCII | re.IGNORECASE,
)
_CAPITAL_KEY = re.compile(
    r"(?<![0-9A-Za-z])(?!(?:[0-9A-Z]+_)*(?:PUBLIC|PRIMARY|FOREIGN|SORT|CACHE|PARTITION|ROW)_KEY)"
    rf"[0-9A-Z]+_(?:[0-9A-Z]+_){{0,8}}KEY(?:_BASE)?{_FOR}\Z"
)
_LOGIN = re.compile(r"(?<![0-9A-Za-z])auth\Z")
# USER:PASSWORD in Base64, as Docker keeps it: a colon stands at one of three places of four letters
_IS_LOGIN = re.compile(
    rf"(?:{_BASE64}{{4}}){{0,64}}?(?:O[g-v]..|.[DTjz][o-r].|..[AEIMQUYcgkosw048]6)"
    rf"(?:{_BASE64}{{4}}){{0,64}}+(?:{_BASE64}{{2,3}}={{1,2}})?\Z"
).match
_NO_WORD = re.compile(r"(?=[^A-Za-z\s]{0,64}[A-Za-z])[^0-9\s]{0,64}[0-9]\S*+\Z")
_IS_STAND_IN = re.compile(rf"{_STAND_IN}\Z|\[redacted:").match
_BEGINS_AS_STAND_IN = re.compile(rf"{_STAND_IN}(?=[,;)\]}}\"'`|&]*+(?:\s|\Z))|\[redacted:").match
# What may stand before a value, as in `Authorization: Bearer VALUE`.
_SCHEMES = "(?:bearer|basic|token|digest|negotiate|api-?key)"
_SCHEME = re.compile(f"(?:{_SCHEMES} {{1,4}})?", re.IGNORECASE)
# A name, a path of names, a call of one, what stands in brackets: `token`, `settings.api.token`,
# `get(name,`. The letters of each are words, so that few passwords made by chance are code. A
# newline stands for the rest of the line, of which the value is the beginning.
_LETTERS = r"(?:[A-Z]?[a-z]++|[A-Z]{1,8}(?![a-z]))(?:[A-Z][a-z]++|[A-Z]{2,8}(?![a-z]))*+[0-9]?+"
_NAME = rf"_{{0,2}}(?:{_LETTERS}|[0-9]{{1,3}})(?:_+(?:{_LETTERS}|[0-9]{{1,3}}))*+_{{0,2}}"
_PATH = rf"[~./&*!]{{0,3}}{_NAME}(?:(?:\.|::|->|\?\.|/|-){_NAME})*+[,;:.)\]}}\"'`!?]*+\n?\Z"
_INNER = (
    rf"(?:[^\n]*+\n|(?:{_NAME}(?![0-9A-Za-z_])|[.,:=|+/*-](?=[\w'\"(\[\]*-])|\\[a-z0]|['\"()\[\]{{}}])*+"
    r"(?<=[()\[\]{}'\"])[,;:.]*+\Z)"
)
_CALLED = rf"(?:(?:{_NAME}|[a-z]{{1,5}}[0-9]{{1,3}}[a-z]{{2,}})(?:\.|::|->)?+)+"
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")
_OF_CODE = re.compile(
    rf"(?:{_PATH}|https?://[^\s@]*+|(?:{_CALLED}[(\[]|[(\[{{<&*!]){_INNER})", re.ASCII
)
# Where NAME=VALUE is an assignment of a shell, an environment or a command line.
_OF_SHELL = re.compile(
    r"(?:(?:(?:\A|\n)[+>]?|\b(?:export|set|env) |-e ?|--env[ =])[\"']?|(?<![0-9A-Za-z_.-])-D)"
    r"[0-9A-Za-z_.-]*\Z|(?:\A|[\s\"'`;(+>|])[0-9A-Z_]+\Z",
    re.ASCII,
)
_PLACEHOLDER = re.compile(rf"-[a-z-]*|[A-Z_-]+|{_IN_MANUALS}")
# An item is all of a line, as the header of a request. Of words one is taken for the password.
_ITEM_BEFORE = re.compile(r"[+<>|]?[ \t]*(?:[-*] )?(?:\*\*|__)?(?:[A-Za-z]+ ){0,3}")
_TO_LINE_END = re.compile(r"[^\s\x1b]+[ \t\r]*(?:\n|\Z)")
_LETTERS_ALONE = re.compile("[A-Za-z_]{0,40}(?i:password|passwd|passphrase) [a-z]{12,64}")
# What opens a value: a quote, in JSON within JSON after backslashes, or three. Letters may stand
# before it in code; elsewhere they are the value's own.
_OPENING = re.compile(
    r"(?P<prefix>[bfruBFRU]{0,2}|[$@])(?P<slashes>\\{0,15})(?P<quote>\"\"\"|'''|[\"'`])"
)
_QUOTES = ('"', "'", "`")
_CLEAN_END = r"['\"`]{1,3}[,;)}\]&|]*+(?:\s|\Z)"
_IS_CLEAN_END = re.compile(_CLEAN_END).match
_UNQUOTED = re.compile(r"[^\s\x1b]*+")
# What an unquoted value in an address or a connection string ends before, by what its name follows.
_UNTIL = {
    **dict.fromkeys("?&", re.compile(r"[^\s&#\"'<>]*+")),
    ";": re.compile(r"[^\s;\"']*+"),
}
# So many quotes of its own a value in quotes has at most, so that no long text is read for each.
_QUOTES_MAX = 100
_JUDGED_CHARACTERS_MAX = 128
ASSIGNMENT = "password"
_ASSIGNED = _rule(
    ASSIGNMENT,
    "pass pwd secret token key auth",
    # after the name of the header also a scheme that is not known
    rf"(?=[akpst])(?P<name>{_NAMES}{_FOR})(?:{_SEPARATOR})"
    rf"(?(header)(?:(?P<scheme>{_SCHEMES}) {{1,4}}|[A-Za-z0-9-]{{1,20}} {{1,4}})?)",
    re.IGNORECASE,
)
RULES = (*_FORMS, _ASSIGNED)
# to look for each of some words is many times faster than a pattern for all of them
_MARKED = [(mark, rule) for rule in RULES for mark in rule.marks]
_PLAIN_ESCAPED = re.compile(rb"\\(?:u00[2-7]|/)")
_LETTER_ESCAPED = re.compile(r"\\{1,15}u00([46][1-9A-Fa-f]|[57][0-9Aa]|2[Dd]|5[Ff])")


def possible_rules(line: bytes) -> Sequence[SecretRule]:
    """Returns the rules that a line may match, by its bytes: few lines need to be decoded."""
    if _PLAIN_ESCAPED.search(line):  # what a rule looks for may stand there as an escape
        return RULES
    text, lowered = line.decode("latin-1"), line.lower().decode("latin-1")
    rules = {id(rule): rule for mark, rule in _MARKED if mark in lowered}
    unmarked = [rule for rule in RULES if not rule.marks and rule.pattern.search(text)]
    return [*rules.values(), *unmarked]


def without_escapes(text: str) -> str:
    """Returns a text with letters in the place of their escapes, as JSON may write them."""
    if "u00" not in text:
        return text
    return _LETTER_ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), text)


def is_value_of_secret(key: str, text: str) -> bool:
    """Reports whether a text is a secret by the name of the member that it stands under."""
    name = key[-_NAME_CHARACTERS_MAX:]
    if not _STRONG.search(name):
        is_login = _LOGIN.search(name) and _IS_LOGIN(text)
        if not is_login and not (_CAPITAL_KEY.search(name) and _NO_WORD.match(text)):
            return False
    return len(text) >= _VALUE_CHARACTERS_MIN and not _IS_STAND_IN(_SCHEME.sub("", text, 1))


def spans_of(rule: SecretRule, text: str) -> Iterator[Span]:
    """Yields where the secrets begin and end that a rule finds in a text, in order.

    Of what is assigned to a name the value is the secret.
    """
    at, group, is_before = 0, rule.pattern.groups, bool(rule.pattern.groupindex)
    while match := rule.pattern.search(text, at):
        begin, end = match.span(group)
        if is_before:
            begin = end = match.end()
            if value := _following(text, match):
                rest = value.rest.match(text, value.begin)
                begin, end = value.begin, value.end or (rest.end() if rest else end)
        if begin < end:
            yield begin, end
        at = max(match.end(), end)


class _Value(NamedTuple):
    """A value: where it begins, what it is judged by, its end if it is quoted.

    Of a long text it is judged by the beginning. An unquoted one ends with the characters of
    `rest`. An item is all of a line, or of a text in quotes, after its name.
    """

    begin: int
    text: str
    end: int | None = None
    rest: re.Pattern[str] = _UNQUOTED
    is_item: bool = False


def _following(text: str, match: re.Match[str]) -> _Value | None:
    """Returns the secret that follows a match, or is assigned to its name; None if it is none."""
    if match.re is not _ASSIGNED.pattern:
        value = _value(text, match.end(), "shell")
        is_stand_in = _IS_STAND_IN(value.text) or _PLACEHOLDER.fullmatch(value.text)
        return value if len(value.text) >= _FOLLOWING_CHARACTERS_MIN and not is_stand_in else None
    name_at = match.start()
    if head := _NAME_BEFORE.search(text, max(0, name_at - _NAME_CHARACTERS_MAX), name_at):
        name_at = head.start()
    name, before = text[name_at : match.end("name")], text[max(0, name_at - 16) : name_at]
    sign, is_option = _PAINTED.sub("", match["sign"] or ""), name.startswith("--")
    # of an option a value after a blank may begin with what else assigns one
    is_signed = is_option and sign[:1].isspace() and not sign[-1:].isspace()
    is_blank, begin = is_signed or match["blank"] is not None, match.end()
    if is_blank and not is_option:
        return None
    is_strong, is_login = _STRONG.search(name) is not None, _LOGIN.search(name) is not None
    is_key = sign == "=" and name.lstrip("-").lower() == "key"
    if not (is_strong or is_login or is_key or _CAPITAL_KEY.search(name)):
        return None
    # a shell's, an environment's or a command line's
    is_shells = (is_option and (is_blank or ":" not in sign)) or (
        sign in ("=", " ?= ", "") and _OF_SHELL.search(before + name) is not None
    )
    if sign.endswith("=") and text.startswith("=", begin) and not is_shells:
        return None  # a comparison
    above = before[-1:]
    if match["tag"]:
        end = text.index("<", begin) if above == "<" else begin
        value = _Value(begin, text[begin:end], end)
    elif match["pair"] is None and above in _QUOTES and sign.lstrip("\\")[:1] != above:
        # the quotes are around the name and the value, as those of a header for curl
        depth = len(before) - 1 - len(before[:-1].rstrip("\\"))
        value = _value(text, begin, "word", _contents(above, depth, "word"))
        value = value._replace(is_item=text.startswith(above, value.begin + len(value.text)))
    else:
        line = text.rfind("\n", max(0, name_at - _NAME_CHARACTERS_MAX), name_at) + 1
        is_item = ":" in sign and "=" not in sign and _ITEM_BEFORE.fullmatch(text, line, name_at)
        kind = "item" if is_item else "shell" if is_shells else "code"
        rest = _UNTIL.get(above, _UNQUOTED) if sign == "=" else _UNQUOTED
        value = _value(text, begin - len(sign.strip()) * is_signed, kind, rest)
    judged = value.text
    if len(judged) < _VALUE_CHARACTERS_MIN * (1 + is_key) or _IS_STAND_IN(judged):
        return None
    if not (value.end or value.is_item) and _BEGINS_AS_STAND_IN(text, value.begin):
        return None
    # a part of a program, whose words have 3.5 letters or more on average
    after, words = value.begin + len(judged), _WORD.findall(judged)
    is_cut = text[after : after + 1] in (" ", "\t") or len(judged) == _JUDGED_CHARACTERS_MAX
    is_wordy = sum(map(len, words)) >= 3.5 * len(words)
    is_code = is_wordy and _OF_CODE.match(judged + "\n" * is_cut) is not None
    if is_login:
        is_secret = _IS_LOGIN(judged) is not None
    elif not is_strong:
        is_secret = not is_code and _NO_WORD.match(judged) is not None
    elif value.end is not None:
        is_secret = True
    elif "pwd" in name[-3:].lower() and judged[0] in "/~":
        is_secret = False  # the working directory
    elif is_blank:
        is_secret = not is_code and not _PLACEHOLDER.fullmatch(judged)
    elif is_shells or match["pair"] is not None or match.lastgroup == "scheme":
        is_secret = True
    elif value.is_item:
        is_secret = not is_code or _LETTERS_ALONE.fullmatch(f"{name} {judged}") is not None
    else:
        is_words = ":" in sign and not any(map(str.isdecimal, judged))
        is_secret = not is_words and not is_code and judged[0] not in "([{<*"
    return value if is_secret else None


def _value(text: str, begin: int, kind: str, rest: re.Pattern[str] = _UNQUOTED) -> _Value:
    """Returns the value that begins at a place.

    It stands in `code`, of a `shell`, as an `item`, or as a `word` of a text in quotes.
    """
    opening = None if kind == "word" else _OPENING.match(text, begin)
    quoted = None
    if opening and (kind == "code" or not opening["prefix"]):
        contents = _contents(opening["quote"], len(opening["slashes"]), kind)
        quoted = contents.match(text, opening.end())
        if kind == "item" and quoted and not _IS_CLEAN_END(text, quoted.end()):
            quoted = None  # a quote of the password's own
    scheme = _SCHEME.match(text, opening.end() if opening and quoted else begin)
    start = scheme.end() if scheme else begin
    if opening and quoted:
        judged = text[start : min(quoted.end(), start + _JUDGED_CHARACTERS_MAX)]
        is_made = "f" in opening["prefix"].lower() and "{" in judged
        return _Value(start, "" if is_made else judged, quoted.end())
    unquoted = rest.match(text, start, start + _JUDGED_CHARACTERS_MAX)
    is_item = kind == "item" and _TO_LINE_END.match(text, start) is not None
    return _Value(start, unquoted[0] if unquoted else "", None, rest, is_item)


@lru_cache(256)
def _contents(quote: str, depth: int, kind: str) -> re.Pattern[str]:
    """Returns the pattern of what stands in quotes.

    In JSON within JSON the quotes of the inner one have backslashes, as many at both ends; twice
    as many and two more are a backslash of the text. Where a backslash may stand for itself, what
    ends its word decides.
    """
    one = quote[0]
    # a quote that closes nothing: one of three, or itself, doubled; the next part of a shell's word
    inner = one * 2 if one != "'" else r"'(?:'|\"'\"'|\\'')"
    stops = r"\s" if kind == "word" else r"\n"
    if len(quote) == 3:
        inner, stops = f"{one}(?!{one}{one}(?!{one}))", ""
    plain = rf"(?:[^{stops}\\{one}]|\\++(?!{one}))*+"
    slashes, end = rf"(?:\\{{{2 * depth + 2}}})*+", rf"\\{{0,{depth}}}{quote}"
    parts = rf"{slashes}(?!{end})\\*+{one}" + ("" if depth else f"|{inner}")
    readings = [f"{plain}(?:(?:{parts}){plain}){{0,{_QUOTES_MAX}}}+{slashes}(?={end})"]
    if quote == "'" and not depth:
        literal = rf"[^{stops}']*+(?:{inner}[^{stops}']*+){{0,{_QUOTES_MAX}}}+"
        clean = [] if kind == "code" else [f"{literal}(?={_CLEAN_END})"]
        readings = [*clean, *readings, f"{literal}(?=')"]
    if kind == "word":
        readings.append(f"[^{stops}{one}]*+")
    return re.compile("|".join(readings))
