"""Secrets: what is one by a rule is found in a line, or masked before an event becomes a line.

A part of a text that a rule matches becomes `[redacted: RULE]`, and so does the whole value of a
masked member; the path of each is listed in `repairs`, without what it was. Letters that are
written as escapes in such a text become letters; nothing else changes. What is returned of a line
names a rule and a place, and never shows a part of the secret.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
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
    is_value_of_secret,
    possible_rules,
    spans_of,
    without_escapes,
)
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent, ThenceError

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
# where a secret begins and ends in a text, and its rule
FoundSpan = tuple[int, int, str]
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class FoundSecret(NamedTuple):
    """The rule that a line matches, and the path of the member that does."""

    rule: str
    path: str


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
        look = _Look(self, built_in, ("",), _SKIPPED, shows_names=False)
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            look.masked(_decode(line))
        return look.found[0] if look.found else None

    def possible(self, line: bytes) -> Sequence[SecretRule] | None:
        """Returns the built-in rules that a line may match, by its bytes; None if no rule can."""
        built_in = possible_rules(line) if self.has_defaults else ()
        return built_in if built_in or self.own or self.members else None

    def spans(
        self, built_in: Sequence[SecretRule], key: str, text: str, is_ours: bool = False
    ) -> Iterator[FoundSpan]:
        """Yields the parts of a text, under a key, that are secret; they may overlap.

        Own rules don't see a text that `is_ours`: a word of the format.
        """
        if self.has_defaults and is_value_of_secret(key, text) and not MASK.fullmatch(text):
            yield 0, len(text), ASSIGNMENT
        for rule in built_in:
            yield from ((begin, end, rule.name) for begin, end in spans_of(rule, text))
        if self.own and not is_ours:
            begin = 0
            for mask in (*MASK.finditer(text), None):
                end = len(text) if mask is None else mask.start()
                for name, pattern in self.own:
                    for match in pattern.finditer(text, begin, end):
                        if match[0]:
                            yield match.start(), match.end(), name
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
            texts = {key: self.text(repair[key]) for key in repair if key != "path"}
            repairs.append({"path": f"{member}{dot}{self.text(path)}", **texts})
        look = _Look(self._rules, built_in, _CONTENT, vocabulary.identifying)
        content = {n: look.masked(members[n], n, n, n) for n in _MASKED if n in members}
        if not look.found and repairs == before:
            return item
        repairs = limited([*repairs, *({"path": secret.path} for secret in look.found)])
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
        look = _Look(self._rules, self._rules.built_in, _CONTENT, vocabulary.identifying)
        return dict(look.masked(to_builtins(payload), "payload", "payload", "payload"))

    def text(self, text: str) -> str:
        """Returns a text with what is secret masked."""
        return _Look(self._rules, self._rules.built_in).text(text)

    def error(self, error: _E) -> _E:
        """Masks the words of an error, and returns it."""
        for name in ("place", "cause", "hint"):
            setattr(error, name, self.text(getattr(error, name)))
        error.args = tuple(map(self.text, error.args))
        return error


class _Look(msgspec.Struct):
    """A look through JSON values, which masks what is secret, outer values first, and lists it.

    `built_in` are the rules that a line may match. In the maps at some `places` the members with
    `skipped` names stay as they are. The paths show no name that may be anything, unless it
    `shows_names`.
    """

    rules: SecretRules
    built_in: Sequence[SecretRule]
    places: Sequence[str] = ()
    skipped: Collection[str] = ()
    shows_names: bool = True
    found: list[FoundSecret] = []

    def masked(self, value: Any, path: str = "", names: str = "", key: str = "") -> Any:
        """Returns a JSON value without what is secret in it, by its path and what names it.

        `names` are those on the path, joined by dots. A key that becomes one that is there already
        gets an underscore. A member `value` is named by the `name` beside it.
        """
        if rule := self.rules.member(path, names, value):
            self.found.append(FoundSecret(rule, path))
            return f"[redacted: {rule}]"
        if isinstance(value, str):
            return self.text(value, path, key)
        if isinstance(value, list):
            return [self.masked(item, f"{path}[{n}]", names, key) for n, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        before, above = f"{path}." if path else "", f"{names}." if names else ""
        beside = value.get("name", value.get("key"))
        masked: dict[str, Any] = {}
        for name, item in value.items():
            if name in self.skipped and path in self.places:
                masked[name] = item
                continue
            new = self.text(name, f"{before}(key)")
            while new != name and (new in masked or new in value):
                new += "_"
            is_plain = self.shows_names or _NAME_IN_PATH.fullmatch(new)
            key = beside if name == "value" and isinstance(beside, str) else name
            masked[new] = self.masked(item, before + (new if is_plain else "…"), above + name, key)
        return masked

    def text(self, text: str, path: str = "", key: str = "") -> str:
        """Returns a text under a key with what is secret masked."""
        masked, rules, found = without_escapes(text), self.built_in, ""
        for _ in range(_ROUNDS_MAX):
            spans = sorted(self.rules.spans(rules, key, masked, path.startswith(_OURS)))
            if not spans:
                break
            found = found or spans[0][2]
            parts, at = list[str](), 0
            for begin, end, rule in spans:
                if begin >= at:  # overlapping ones become one
                    parts += masked[at:begin], f"[redacted: {rule}]"
                at = max(at, end)
            masked = "".join((*parts, masked[at:]))
            # one secret may have hidden where another one ends, from the look at the line too
            rules = self.rules.built_in
        else:
            masked = f"[redacted: {found}]"
        if not found:
            return text
        self.found.append(FoundSecret(found, path))
        return masked
