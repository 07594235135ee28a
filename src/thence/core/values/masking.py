"""Masking: what is secret by a rule is replaced before an event becomes a line.

A part of a text that a rule matches becomes `[redacted: RULE]`, and so does the whole value of a
masked member; the path of each is listed in `repairs`, without what it was. Nothing else changes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import to_builtins
from msgspec.json import encode as to_json

from thence.core.values.codec import LINE_BYTES_MAX, Draft, Members, draft
from thence.core.values.payload import REPAIRS_MAX, Repair, shorten
from thence.core.values.secret_forms import SecretRule
from thence.core.values.secret_rules import CONTENT, FoundSpan, SecretRules, is_unmasked_value
from thence.core.values.vocabulary import Vocabulary
from thence.errors import EventTooLarge, InvalidEvent, ThenceError

_E = TypeVar("_E", bound=ThenceError)
_T = TypeVar("_T")
_Ids = tuple[str, ...]
CUT_CHARACTERS = 256
ROUNDS_MAX = 10
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Masking:
    """The masking by rules.

    A member is named by its name, at any depth, or by the last names of its path, joined by dots.
    The members of a payload that identify something, by its vocabulary, stay as they are.
    """

    def __init__(self, rules: SecretRules) -> None:
        self._rules = rules

    def draft(self, item: Draft, vocabulary: Vocabulary) -> Draft:
        """Returns the draft of an event with what is secret masked.

        Raises EventTooLarge for one that is too long by its masks.
        """
        members = self._masked(item, vocabulary)
        return item if members is None else draft(Members(**members))

    def encoding(
        self, encode: Callable[[_T, _Ids, _Ids], Draft], vocabulary: Vocabulary
    ) -> Callable[[_T, _Ids, _Ids], Draft]:
        """Returns a host's function that drafts an event, followed by the masking.

        The texts of an event that is too long by its masks are cut.
        """

        def masked(event: _T, causes: _Ids, external: _Ids) -> Draft:
            try:
                item = encode(event, causes, external)
            except InvalidEvent as error:
                raise self.error(error) from None
            members = self._masked(item, vocabulary)
            if members is None:
                return item
            try:
                return draft(Members(**members))
            except EventTooLarge:
                return draft(Members(**_cut(members)))

        return masked

    def _masked(self, item: Draft, vocabulary: Vocabulary) -> dict[str, Any] | None:
        """Returns the members of a draft with what is secret masked, None if nothing is."""
        line = b"%b%b}" % (item.head, item.tail)
        built_in = self._rules.possible(line)
        if not built_in and not self._rules.own and not self._rules.members:
            return None
        members = _decode(line)
        walk = _Walk(self._rules, built_in, vocabulary.identifying)
        given = {name: members[name] for name in ("description", *CONTENT) if name in members}
        changed = {name: walk.value(value, name) for name, value in given.items()}
        before = members.get("repairs", [])
        repairs = [walk.repair(each) for each in before]
        if not walk.repairs and repairs == before:
            return None
        return {**members, **changed, "repairs": _limited([*repairs, *walk.repairs])}

    def payload(self, payload: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
        """Returns a payload, of JSON values, with what is secret masked."""
        walk = _Walk(self._rules, self._rules.built_in, vocabulary.identifying)
        masked: dict[str, Any] = walk.value(to_builtins(payload), CONTENT[0])
        return masked

    def text(self, text: str) -> str:
        """Returns a text with what is secret masked."""
        return _Walk(self._rules, self._rules.built_in, frozenset()).text(text, "", "")

    def error(self, error: _E) -> _E:
        """Masks the words of an error, and returns it."""
        walk = _Walk(self._rules, self._rules.built_in, frozenset())
        for name in ("place", "cause", "hint"):
            setattr(error, name, walk.text(getattr(error, name), "", ""))
        error.args = tuple(walk.text(each, "", "") for each in error.args)
        return error


class _Walk:
    """One walk over a value; `repairs` lists what was masked."""

    def __init__(
        self, rules: SecretRules, built_in: Sequence[SecretRule], identifying: frozenset[str]
    ) -> None:
        self._rules = rules
        self._built_in = built_in
        self._identifying = identifying
        self.repairs: list[Repair] = []

    def value(self, value: Any, path: str, names: str = "", key: str = "") -> Any:
        """Returns a value with what is secret masked.

        `names` are those of the members on its path, joined by dots, `key` is the last of them.
        """
        names = names or path
        rule = self._rules.member(names) if path not in CONTENT else ""
        if rule and is_unmasked_value(value):
            self.repairs.append({"path": path})
            return f"[redacted: {rule}]"
        if isinstance(value, str):
            return self.text(value, path, key)
        if isinstance(value, list):
            return [self.value(each, f"{path}[{at}]", names, key) for at, each in enumerate(value)]
        return self._mapping(value, path, names) if isinstance(value, dict) else value

    def text(self, text: str, path: str, key: str) -> str:
        """Returns a text with what is secret masked; listed only with a path."""
        found = sorted(self._rules.spans(self._built_in, key, text))
        if path and found:
            self.repairs.append({"path": path})
        for _ in range(ROUNDS_MAX):
            if not found:
                break
            text = _replaced(text, found)
            # one secret may have hidden where another one ends, from the look at the line too
            found = sorted(self._rules.spans(self._rules.built_in, key, text))
        return f"[redacted: {found[0].rule}]" if found else text

    def repair(self, repair: Repair) -> Repair:
        """Returns an entry of `repairs` with what is secret masked: it may quote a key."""
        member, dot, path = repair["path"].partition(".")
        masked = {"path": f"{member}{dot}{self.text(path, '', '')}"}
        return masked | {key: self.text(repair[key], "", "") for key in repair if key != "path"}

    def _mapping(self, value: dict[str, Any], path: str, names: str) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        for key, each in value.items():
            if path in CONTENT and key in self._identifying:
                masked[key] = each
                continue
            name = self.text(key, "", "")
            if name != key:
                self.repairs.append({"path": f"{path}.(key)" if path else "(key)"})
                while name in masked or name in value:
                    name += "_"  # another key has this text: both are kept
            inner = f"{path}.{name}" if path else name
            masked[name] = self.value(each, inner, f"{names}.{key}" if names else key, key)
        return masked


def _replaced(text: str, found: Sequence[FoundSpan]) -> str:
    """Returns a text with its secrets, in order, replaced; overlapping ones become one."""
    parts: list[str] = []
    at = number = 0
    while number < len(found):
        begin, end, rule = found[number]
        number += 1
        while number < len(found) and found[number].begin < end:
            end = max(end, found[number].end)
            number += 1
        parts += text[at:begin], f"[redacted: {rule}]"
        at = end
    return "".join((*parts, text[at:]))


def _limited(repairs: list[Repair]) -> tuple[Repair, ...]:
    """Returns at most 100 entries, and one that counts the others."""
    more = len(repairs) - REPAIRS_MAX
    if more <= 0:
        return tuple(repairs)
    return (*repairs[:REPAIRS_MAX], {"path": "", "was": f"{more} more repairs"})


def _cut(members: dict[str, Any]) -> dict[str, Any]:
    """Returns the members of an event with its texts cut, or its content if that is not enough."""
    name = next(name for name in CONTENT if name in members)
    content, cuts = shorten(members[name], CUT_CHARACTERS, name)
    if len(to_json(content)) > LINE_BYTES_MAX // 2:
        content, cuts = {}, [{"path": name, "was": "longer than a line by its masks"}]
    return {**members, name: content, "repairs": _limited([*members["repairs"], *cuts])}
