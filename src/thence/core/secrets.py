"""Secrets: what is one by a rule is found in a line, or masked before an event becomes a line.

A part of a text that a rule matches becomes `[redacted: RULE]`, and so does the whole value of a
masked member; the path of each is listed in `repairs`, without what it was. Letters that are
written as escapes in such a text become letters; nothing else changes. What is returned of a line
names a rule and a place, and never shows a part of the secret.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import to_builtins

from thence.core.codec import DATA_BYTES_MAX, Draft, draft
from thence.core.event import EventFields
from thence.core.json_values import Repair, limited
from thence.core.secret_forms import (
    ASSIGNMENT,
    RULES,
    SecretRule,
    Span,
    is_value_of_secret,
    possible_rules,
    spans_of,
    without_escapes,
)
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent, ThenceError

# an own pattern sees no more of a text at once; what it matches across a border is found if it is
# no longer than the overlap
WINDOW_CHARACTERS = 16 * 1024
OVERLAP_CHARACTERS = 4 * 1024
MASK = re.compile(r"\[redacted: [0-9A-Za-z_.-]{1,100}\]", re.ASCII)
_NAME_IN_PATH = re.compile(r"[A-Za-z_][0-9A-Za-z_-]{0,39}", re.ASCII)
# ours, and no text of anybody: numbers, checksums, ids, what is made of chance
_SKIPPED = frozenset(
    (
        *("event_id", "node_id", "seq", "lamport_clock", "timestamp", "caused_by", "crc", "nonce"),
        *("body_sha256", "bodies", "external_causes", "correlation_id", "causation_id"),
        "project_uuid",
    )
)
# where words of the format stand: a broad pattern of a user's would match them in each line
_OURS = ("(key)", "event_type", "aggregate_type", "repairs")
_CONTENT = ("payload", "details")
# what is masked, and where the members stand that settings name
_MASKED = ("description", *_CONTENT)
_ROUNDS_MAX = 10
_E = TypeVar("_E", bound=ThenceError)
_T = TypeVar("_T")
_Ids = tuple[str, ...]
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class FoundSecret(NamedTuple):
    """The rule that a line matches, and the path of the member that does."""

    rule: str
    path: str


class FoundSpan(NamedTuple):
    """A part of a text that is a secret by a rule."""

    begin: int
    end: int
    rule: str


# The place of a value: a mapping or list and where in that, a path that may be shown, the names of
# the members on it, joined by dots, and the last of them. Both are empty for a key, which stands in
# a list of the keys. It is a bare tuple, as a walk makes thousands.
_Place = tuple[Any, Any, str, str, str]


class SecretRules:
    """The rules in force: the built-in ones, `own` patterns by name, `members` that hold secrets.

    A member is named by its name, at any depth, or by the last names of its path, joined by dots.
    Own rules and members leave out what was masked already.
    """

    def __init__(
        self,
        own: Sequence[tuple[str, re.Pattern[str]]] = (),
        members: Sequence[str] = (),
        has_defaults: bool = True,
    ) -> None:
        self.own = tuple(own)
        self.members = tuple(members)
        self.has_defaults = has_defaults
        self._endings = tuple(f".{name}" for name in self.members)

    @property
    def built_in(self) -> Sequence[SecretRule]:
        """The built-in rules that are in force."""
        return RULES if self.has_defaults else ()

    def found_in(self, line: bytes) -> FoundSecret | None:
        """Returns the first rule that a line of an event matches, with the path; None without one.

        All texts and keys are matched, at any depth. A line that is no JSON matches nothing.
        """
        built_in = self.possible(line)
        if built_in is None:
            return None
        try:
            members = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        for holder, at, path, names, key in _places(members, _shown, _SKIPPED):
            value = holder[at]
            if rule := self.member(path, names, value):
                return FoundSecret(rule, path)
            name = _name_of(holder, key)
            text = without_escapes(value) if isinstance(value, str) else ""
            for span in self.spans(built_in, name, text, is_ours=path.startswith(_OURS)):
                return FoundSecret(span.rule, path)
        return None

    def possible(self, line: bytes) -> Sequence[SecretRule] | None:
        """Returns the built-in rules that a line may match, by its bytes; None if no rule can."""
        built_in = possible_rules(line) if self.has_defaults else ()
        return built_in if built_in or self.own or self.members else None

    def spans(
        self, built_in: Sequence[SecretRule], key: str, text: str, *, is_ours: bool = False
    ) -> Iterator[FoundSpan]:
        """Yields the parts of a text, under a key, that are secret; they may overlap.

        Own rules don't see a text that `is_ours`: a word of the format.
        """
        if self.has_defaults and is_value_of_secret(key, text) and not MASK.fullmatch(text):
            yield FoundSpan(0, len(text), ASSIGNMENT)
        for rule in built_in:
            yield from (FoundSpan(begin, end, rule.name) for begin, end in spans_of(rule, text))
        if self.own and not is_ours:
            begin = 0
            for mask in (*MASK.finditer(text), None):
                end = len(text) if mask is None else mask.start()
                for name, pattern in self.own:
                    for first, last in _matches(pattern, text, begin, end):
                        yield FoundSpan(first, last, name)
                begin = end if mask is None else mask.end()

    def member(self, path: str, names: str, value: Any) -> str:
        """Returns the member of settings that a value stands under; empty if it may stay."""
        if not self._endings or not f".{names}".endswith(self._endings) or path in _CONTENT:
            return ""
        if names.partition(".")[0] not in _MASKED or value is None or isinstance(value, bool):
            return ""
        if isinstance(value, str) and MASK.fullmatch(value):
            return ""
        return max((name for name in self.members if f".{names}".endswith(f".{name}")), key=len)


class Masking:
    """The masking by rules.

    The members of a payload that identify something, by its vocabulary, stay as they are.
    """

    def __init__(self, rules: SecretRules) -> None:
        self._rules = rules

    def draft(self, item: Draft, vocabulary: Vocabulary, bytes_max: int = DATA_BYTES_MAX) -> Draft:
        """Returns the draft of an event with what is secret masked.

        Raises EventTooLarge for one that is too long by its masks.
        """
        line = b"%b%b}" % (item.head, item.tail)
        built_in = self._rules.possible(line)
        if built_in is None:
            return item
        members = _decode(line)
        before = members.get("repairs", [])
        repairs: list[Repair] = []
        for repair in before:  # it may quote a key
            member, dot, path = repair["path"].partition(".")
            texts = {key: self._text(repair[key], "", built_in) for key in repair if key != "path"}
            masked_path = f"{member}{dot}{self._text(path, '', built_in)}"
            repairs.append({"path": masked_path, **texts})
        content = {name: members[name] for name in _MASKED if name in members}
        masked = self._mask(content, built_in, vocabulary.identifying)
        if not masked and repairs == before:
            return item
        repairs = limited([*repairs, *masked])
        return draft(EventFields(**{**members, **content, "repairs": repairs}), bytes_max)

    def encoding(
        self, encode: Callable[[_T, _Ids, _Ids], Draft], vocabulary: Vocabulary
    ) -> Callable[[_T, _Ids, _Ids], Draft]:
        """Returns a host's function that drafts an event, followed by the masking.

        Raises EventTooLarge for an event that is too long by its masks.
        """

        def masked(event: _T, causes: _Ids, external: _Ids) -> Draft:
            try:
                item = encode(event, causes, external)
            except InvalidEvent as error:
                raise self.error(error) from None
            return self.draft(item, vocabulary)

        return masked

    def payload(self, payload: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
        """Returns a payload, of JSON values, with what is secret masked."""
        content = {"payload": to_builtins(payload)}
        self._mask(content, self._rules.built_in, vocabulary.identifying)
        masked: dict[str, Any] = content["payload"]
        return masked

    def text(self, text: str) -> str:
        """Returns a text with what is secret masked."""
        return self._text(text, "", self._rules.built_in)

    def error(self, error: _E) -> _E:
        """Masks the words of an error, and returns it."""
        for name in ("place", "cause", "hint"):
            setattr(error, name, self.text(getattr(error, name)))
        error.args = tuple(map(self.text, error.args))
        return error

    def _mask(
        self, content: dict[str, Any], built_in: Sequence[SecretRule], identifying: frozenset[str]
    ) -> list[Repair]:
        """Masks what is secret in content, in place, and returns where it did."""
        repairs: list[Repair] = []
        for holder, at, path, names, key in _places(content, str, identifying, _CONTENT):
            value = holder[at]
            if rule := self._rules.member(path, names, value):
                masked = f"[redacted: {rule}]"
            elif isinstance(value, str) and path != "(key)":
                masked = self._text(value, _name_of(holder, key), built_in)
            else:
                continue
            if masked != value:
                holder[at] = masked
                repairs.append({"path": path})
        return repairs

    def _text(self, text: str, key: str, built_in: Sequence[SecretRule]) -> str:
        """Returns a text under a key with what is secret masked."""
        masked, rules = without_escapes(text), built_in  # a name may be written with them
        for number in range(_ROUNDS_MAX):
            spans = sorted(self._rules.spans(rules, key, masked))
            if not spans:
                return masked if number else text
            masked = _replaced(masked, spans)
            # one secret may have hidden where another one ends, from the look at the line too
            rules = self._rules.built_in
        return f"[redacted: {spans[0].rule}]"


def _places(
    members: dict[str, Any],
    name_in_path: Callable[[str], str],
    left_out: Collection[str],
    left_out_at: Collection[str] = ("",),
) -> Iterator[_Place]:
    """Yields the place of each key and value, the outer before the inner, in the line's order.

    What the caller puts there is what the walk goes on with; a key that becomes one that is there
    already gets an underscore. Members of these names are left out at these paths.
    """
    waiting: list[_Place] = [([members], 0, "", "", "")]
    while waiting:
        place = holder, at, path, names, name = waiting.pop()
        if path:
            yield place
        value = holder[at]
        if isinstance(value, list):
            waiting += [
                (value, number, f"{path}[{number}]", names, name)
                for number in reversed(range(len(value)))
            ]
        elif isinstance(value, dict):
            before, above = f"{path}." if path else "", f"{names}." if names else ""
            old = [key for key in value if key not in left_out or path not in left_out_at]
            keys = list(old)
            yield from [(keys, number, f"{before}(key)", "", "") for number in range(len(keys))]
            if keys != old:
                keys = _renamed(value, dict(zip(old, keys, strict=True)))
            waiting += [
                (value, key, before + name_in_path(key), above + name, name)
                for key, name in zip(reversed(keys), reversed(old), strict=True)
            ]


def _renamed(mapping: dict[str, Any], names: Mapping[str, str]) -> list[str]:
    """Renames keys in place, none to one that is there; returns the names, in their order."""
    renamed: dict[str, Any] = {}
    keys = []
    for old, value in mapping.items():
        name = names.get(old, old)
        while name != old and (name in renamed or name in mapping):
            name += "_"  # another key has this text: both are kept
        renamed[name] = value
        if old in names:
            keys.append(name)
    mapping.clear()
    mapping.update(renamed)
    return keys


def _name_of(holder: Any, key: str) -> str:
    """Returns what a value is named by: its member, or the `name` beside a member `value`."""
    if key == "value" and isinstance(holder, dict):
        beside = holder.get("name", holder.get("key"))
        return beside if isinstance(beside, str) else key
    return key


def _shown(name: str) -> str:
    return name if _NAME_IN_PATH.fullmatch(name) else "…"


def _matches(pattern: re.Pattern[str], text: str, begin: int, end: int) -> Iterator[Span]:
    """Yields the matches of a pattern, which is shown a part of a long text at a time."""
    while True:
        stop = min(begin + WINDOW_CHARACTERS, end)
        for match in pattern.finditer(text, begin, stop):
            if match.end() > match.start():
                yield match.span()
        if stop == end:
            return
        begin = stop - OVERLAP_CHARACTERS


def _replaced(text: str, spans: Sequence[FoundSpan]) -> str:
    """Returns a text with its secrets, in order, replaced; overlapping ones become one."""
    parts, at = list[str](), 0
    for begin, end, rule in spans:
        if begin >= at:
            parts += text[at:begin], f"[redacted: {rule}]"
        at = max(at, end)
    return "".join((*parts, text[at:]))
