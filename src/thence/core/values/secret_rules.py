"""The rules by which a text is taken for a secret: those built in, and those of settings.

What is returned of a line names a rule and a place, and never shows a part of the secret.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from thence.core.values.secret_forms import (
    ASSIGNMENT,
    RULES,
    SecretRule,
    Span,
    is_value_of_secret,
    possible_rules,
    spans_of,
)

# an own pattern sees no more of a text at once; what it matches across a border is found if it is
# no longer than the overlap
WINDOW_CHARACTERS = 16 * 1024
OVERLAP_CHARACTERS = 4 * 1024
_SHOWN = re.compile(r"[A-Za-z_][0-9A-Za-z_-]{0,39}", re.ASCII)
MASK = re.compile(r"\[redacted: [0-9A-Za-z_.-]{1,100}\]", re.ASCII)
# ours, and no text of anybody: numbers, checksums, ids, what is made of chance
_SKIPPED = frozenset(
    (
        *("event_id", "node_id", "seq", "lamport_clock", "timestamp", "caused_by", "crc", "nonce"),
        *("body_sha256", "external_causes", "correlation_id", "causation_id", "project_uuid"),
    )
)
# where words of the format stand: a broad pattern of a user's would match them in each line
_OURS = ("(key)", "event_type", "aggregate_type", "repairs")
CONTENT = ("payload", "details")


class FoundSecret(NamedTuple):
    """The rule that a line matches, and the path of the member that does."""

    rule: str
    path: str


class FoundSpan(NamedTuple):
    """A part of a text that is a secret by a rule."""

    begin: int
    end: int
    rule: str


class SecretRules:
    """The rules in force: the built-in ones, `own` patterns by name, `members` that hold secrets.

    A member is named as in `Masking`. Own rules and members leave out what was masked already.
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
        if not built_in and not self.own and not self.members:
            return None
        try:
            members = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        for key in _SKIPPED:
            members.pop(key, None)
        for path, key, text in _texts(members):
            is_ours = path.startswith(_OURS)
            for found in self.spans(built_in, key, text, is_ours=is_ours):
                return FoundSecret(found.rule, path)
        return self._found_member(members) if self.members else None

    def possible(self, line: bytes) -> Sequence[SecretRule]:
        """Returns the built-in rules that a line may match, by its bytes."""
        return possible_rules(line) if self.has_defaults else ()

    def spans(
        self, built_in: Sequence[SecretRule], key: str, text: str, *, is_ours: bool = False
    ) -> Iterator[FoundSpan]:
        """Yields the parts of a text, under a key, that are secret; they may overlap.

        Own rules don't see a text that `is_ours`: a word of the format.
        """
        if self.has_defaults and is_value_of_secret(key, text) and not MASK.fullmatch(text):
            yield FoundSpan(0, len(text), ASSIGNMENT)
        for rule in built_in:
            yield from (FoundSpan(*span, rule.name) for span in spans_of(rule, text))
        if self.own and not is_ours:
            for begin, end in _unmasked(text):
                for name, pattern in self.own:
                    for span in _matches(pattern, text, begin, end):
                        yield FoundSpan(*span, name)

    def member(self, names: str) -> str:
        """Returns the member of settings that names, joined by dots, end in; empty without one."""
        if not f".{names}".endswith(self._endings):
            return ""
        return max((m for m in self.members if f".{names}".endswith(f".{m}")), key=len)

    def _found_member(self, members: Mapping[str, Any]) -> FoundSecret | None:
        content = {name: members[name] for name in CONTENT if name in members}
        waiting: list[tuple[str, str, Any]] = [("", "", content)]
        while waiting:
            names, shown, value = waiting.pop()
            rule = self.member(names) if names not in CONTENT else ""
            if rule and not is_unmasked_value(value):
                continue
            if rule:
                return FoundSecret(rule, shown)
            if isinstance(value, list):
                waiting += [(names, f"{shown}[{at}]", each) for at, each in enumerate(value)]
            elif isinstance(value, dict):
                for name, each in value.items():
                    inner = _shown(name)
                    path = f"{shown}.{inner}" if shown else inner
                    waiting.append((f"{names}.{name}" if names else name, path, each))
        return None


def is_unmasked_value(value: Any) -> bool:
    """Reports whether a value of a masked member still has to be masked."""
    is_nothing = value is None or value is True or value is False
    return not is_nothing and not (isinstance(value, str) and MASK.fullmatch(value))


def secret_in(line: bytes) -> FoundSecret | None:
    """Returns the first built-in rule that a line of an event matches, with the path."""
    return _BUILT_IN.found_in(line)


_BUILT_IN = SecretRules()


def _shown(name: str) -> str:
    return name if _SHOWN.fullmatch(name) else "…"


def _unmasked(text: str) -> Iterator[Span]:
    """Yields the parts of a text between those that were masked already."""
    at = 0
    for mask in MASK.finditer(text):
        yield at, mask.start()
        at = mask.end()
    yield at, len(text)


def _matches(pattern: re.Pattern[str], text: str, begin: int, end: int) -> Iterator[Span]:
    """Yields the matches of a pattern, which is shown a part of a long text at a time."""
    while True:
        stop = min(begin + WINDOW_CHARACTERS, end)
        for found in pattern.finditer(text, begin, stop):
            if found.end() > found.start():
                yield found.span()
        if stop == end:
            return
        begin = stop - OVERLAP_CHARACTERS


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
                inner = f"{path}.{_shown(name)}" if path else _shown(name)
                waiting += ((inner, name, each), (f"{path}.(key)" if path else "(key)", "", name))
