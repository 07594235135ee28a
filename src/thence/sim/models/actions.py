"""Declared actions: of one declaration come a prompt's text, the JSON Schema and every check."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Union

import msgspec
from msgspec import Meta

from thence.core.json_values import within
from thence.core.nearest import nearest
from thence.core.query.where import parse
from thence.core.ready import ready
from thence.errors import InvalidFilter

Name = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}\Z")]
NO_ACTION = "none"
EVERYONE = "all"
SAY = "say"
AGENTS = "agents"
NEIGHBOURS = "neighbours"
HEARD = "heard"  # the variable of an agent that others speak to
TEXT_CHARACTERS_MAX = 500
_TAG = "do"
_SETS_MAX = 1_000  # agents of one entry have one
_TYPES: Mapping[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
_WORDS = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false"}
_KEYS = {"kind": "type", "minimum": "min", "maximum": "max"}
_IMPORTANCE, _IMPORTANCE_MAX = 5, 10
_NOTE = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]
_NOTES: Mapping[str, Any] = {
    "note": _NOTE,
    "importance": Annotated[int, Meta(ge=1, le=_IMPORTANCE_MAX)],
}


class ActionField(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_KEYS
):
    """One field of an action; bounds are inclusive, `max_length` counts characters.

    `agents` as `choices` are the names of the other agents, `neighbours` of those next to it. What
    nobody could fill raises a ValueError that begins with the key to blame.
    """

    kind: Literal["int", "float", "str", "bool"]
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[int | str, ...] | Literal["agents", "neighbours"] | None = None
    max_length: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        lowest, highest = self.minimum, self.maximum
        for key, bound in (("min", lowest), ("max", highest)):
            if bound is not None and (self.kind not in ("int", "float") or self.choices):
                raise ValueError(f"{key} is for an int or float without choices")
            if bound is not None and self.kind == "int" and bound != int(bound):
                raise ValueError(f"{key} is not a whole number")
        if lowest is not None and highest is not None and lowest > highest:
            raise ValueError(f"min is above max, {highest:g}: swap them")
        if self.max_length is not None and self.kind != "str":
            raise ValueError("max_length is for a str")
        if self.choices is not None and not self.choices:
            raise ValueError("choices is empty, no one can choose: list at least one")
        is_word = isinstance(self.choices, str)
        kinds = {str} if is_word else {type(choice) for choice in self.choices or ()}
        if kinds and (self.kind not in ("int", "str") or kinds != {_TYPES[self.kind]}):
            raise ValueError(f"choices are of int or str, and all of the type, {self.kind}")

    @property
    def type(self) -> Any:
        """The type by which msgspec checks a value."""
        if self.choices:
            return Literal[self.choices]
        kind = _TYPES[self.kind]
        terms: dict[str, Any] = {"max_length": self.max_length}
        for name, bound in (("ge", self.minimum), ("le", self.maximum)):
            terms[name] = None if bound is None else kind(bound)
        return Annotated[kind, Meta(**terms)]

    @property
    def text(self) -> str:
        """The field in words, for a prompt."""
        words = [_WORDS[self.kind]]
        if self.choices:
            words = [f"one of {', '.join(map(repr, self.choices))}"]
        if self.minimum is not None:
            words.append(f"at least {self.minimum:g}")
        if self.maximum is not None:
            words.append(f"at most {self.maximum:g}")
        if self.max_length is not None:
            words.append(f"at most {self.max_length} characters")
        return f"({', '.join(words)})"

    @property
    def example(self) -> object:
        """A value that the field can hold."""
        if self.choices:
            return self.choices[0]
        if self.kind in ("str", "bool"):
            return "..."[: self.max_length] if self.kind == "str" else True
        bound = self.minimum if self.minimum is not None else min(self.maximum or 0, 0)
        return bound if self.maximum is None else min(bound, self.maximum)


class DeclaredAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action that an agent may take, with its fields by name.

    `when` are comparisons, as of a filter, with variables of its own and `global/` ones: the action
    can be taken where all hold, and none does of a value that is absent or null.
    """

    name: Name
    description: str = ""
    fields: Mapping[Name, ActionField] = {}
    when: str = ""

    def __post_init__(self) -> None:
        if self.name == NO_ACTION:
            raise ValueError(f"name can't be {NO_ACTION!r}, which means no action")
        if _TAG in self.fields:
            raise ValueError(f"fields can't have {_TAG!r}, which holds the action's name")
        if self.when:
            try:
                comparisons = parse(self.when)
            except InvalidFilter as error:
                raise ValueError(
                    f"when can't be read: {error.cause}, at column {error.column}"
                ) from error
            if not all(one.op for one in comparisons):
                raise ValueError("when compares: write night = true, not night alone")

    @property
    def reads(self) -> list[str]:
        """The variables that `when` compares: `money`, `global/night`."""
        return [one.path[0] for one in parse(self.when)] if self.when else []

    def is_open(self, value: Callable[[str], object]) -> bool:
        """Reports whether `when` holds; `value` returns that of a variable that it names."""
        for one in parse(self.when) if self.when else ():
            compared = within(value(one.path[0]), one.path[1:])
            if compared is None or not one.holds(compared):
                return False
        return True


class TalkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The talk of an agent: whom it may `say` something to."""

    reach: Literal["all", "neighbours"] = "all"


def talk_reach(talk: object) -> str:
    """Returns the reach of an agent with this key `talk`; "" if it does not talk."""
    if isinstance(talk, Mapping):
        return str(talk.get("reach", "all"))
    return talk.reach if isinstance(talk, TalkSettings) else "all" if talk is True else ""


def action_set(
    actions: Sequence[DeclaredAction],
    receivers: Sequence[str] = (),
    *,
    has_notes: bool = False,
    names: Mapping[str, Sequence[str]] = {},
) -> "ActionSet":
    """Returns the actions of an agent, with the one to speak to `receivers`, or to all of them.

    `names` are those of the choices `agents` and `neighbours`; without any the action is left out.
    """
    actions = [*filter(None, (_with_names(action, names) for action in actions))]
    if receivers:
        if any(action.name == SAY for action in actions):
            raise ValueError(f"actions can't have {SAY!r}, which talk brings along")
        to = ActionField(kind="str", choices=(*receivers, EVERYONE))
        fields = {"to": to, "text": ActionField(kind="str", max_length=TEXT_CHARACTERS_MAX)}
        words = "They hear it in the next turn."
        actions = [*actions, DeclaredAction(name=SAY, description=words, fields=fields)]
    return _action_set(msgspec.json.encode(actions), has_notes)


def _with_names(
    action: DeclaredAction, names: Mapping[str, Sequence[str]]
) -> DeclaredAction | None:
    fields = {
        name: msgspec.structs.replace(field, choices=tuple(names.get(field.choices, ())) or None)
        for name, field in action.fields.items()
        if isinstance(field.choices, str)
    }
    if any(field.choices is None for field in fields.values()):
        return None
    return msgspec.structs.replace(action, fields={**action.fields, **fields}) if fields else action


@lru_cache(maxsize=_SETS_MAX)
def _action_set(data: bytes, has_notes: bool) -> "ActionSet":
    return ActionSet(msgspec.json.decode(data, type=ready(list[DeclaredAction])), has_notes)


class TakenAction(NamedTuple):
    """The action of an answer, `none` for none, with its note; `repairs` say what was changed."""

    name: str
    fields: dict[str, Any]
    note: str = ""
    importance: int = 0
    repairs: tuple[str, ...] = ()


class ActionSet:
    """The actions that one agent may take; with `has_notes` an answer holds a note besides.

    `text` and `schema` are part of each request: in other words it is another request.
    """

    def __init__(self, actions: Sequence[DeclaredAction], has_notes: bool) -> None:
        self._actions = {action.name: action for action in actions}
        self._has_notes = has_notes
        fields = {**{action.name: action.fields for action in actions}, NO_ACTION: {}}
        types = {
            name: {key: field.type for key, field in of.items()} for name, of in fields.items()
        }
        terms: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True}
        choices = (
            msgspec.defstruct("Choice", [*of.items()], tag_field=_TAG, tag=name, **terms)
            for name, of in types.items()
        )
        self._choice: Any = Union[(*choices,)]
        notes = _NOTES if has_notes else {}
        self._answer, self._without_notes = (
            msgspec.defstruct("Answer", [("action", self._choice), *of], forbid_unknown_fields=True)
            for of in (notes.items(), ())
        )
        kinds = [_object(_schemas({_TAG: Literal[name], **of})) for name, of in types.items()]
        self.schema = _object({"action": {"anyOf": kinds}, **_schemas(notes)})
        self.text = self._text()

    def __bool__(self) -> bool:
        return bool(self._actions)

    def answer(self, text: str) -> TakenAction:
        """Returns the action that an answer holds; raises msgspec.DecodeError with what is wrong.

        No action is refused for its note: that is cut, its importance is brought within 1 to 10,
        and what lacks is "" and 5. In the action only what loses nothing is read otherwise: "3" for
        a number, the name in other letters.
        """
        try:
            answer: Any = msgspec.json.decode(text, type=ready(self._answer))
            notes = (answer.note, answer.importance) if self._has_notes else ("", 0)
            return self._taken(answer.action, *notes)
        except msgspec.ValidationError as error:
            try:
                members: Any = msgspec.json.decode(text)
            except RecursionError:
                raise error from None
        note, importance, repairs = "", 0, list[str]()
        if isinstance(members, dict):
            if self._has_notes:
                note, importance, repairs = repaired_note(members)
            members = {name: value for name, value in members.items() if name not in _NOTES}
        try:  # JSON Schema calls 3.0 an integer
            answer = msgspec.convert(_with_integers(members), ready(self._without_notes))
        except msgspec.ValidationError as error:
            action = members.get("action") if isinstance(members, dict) else None
            if not isinstance(action, dict):
                raise
            name = str(action.get(_TAG)).strip().casefold()
            alike = [own for own in (*self._actions, NO_ACTION) if own.casefold() == name]
            members["action"] = self._unquoted(alike[0], action) if len(alike) == 1 else action
            try:
                answer = msgspec.convert(_with_integers(members), ready(self._without_notes))
            except msgspec.ValidationError:
                raise error from None
            repairs.append(f"action read as {as_json(answer.action)}")
        return self._taken(answer.action, note, importance, tuple(repairs))

    def _unquoted(self, name: str, action: Mapping[str, Any]) -> dict[str, Any]:
        """Returns an action by its declared name, with the numbers that stand in quotes."""
        fields = {**action, _TAG: name}
        for key, field in self._actions[name].fields.items() if name in self._actions else ():
            if field.kind != "str" and isinstance(fields.get(key), str):
                with suppress(msgspec.DecodeError):
                    fields[key] = msgspec.json.decode(fields[key].strip().lower())
        return fields

    def _taken(self, action: Any, *notes: Any) -> TakenAction:
        fields = msgspec.to_builtins(action)
        return TakenAction(fields.pop(_TAG), fields, *notes)

    def fault(self, name: str, fields: Mapping[str, object]) -> str:
        """Returns the reason why an action is none of these; "" if it is one."""
        if name not in self._actions:
            near = nearest(name, [*self._actions], likeness=0)
            return f"there is no action {name!r}{f', the nearest is {near[0]!r}' if near else ''}"
        try:
            msgspec.convert({**fields, _TAG: name}, ready(self._choice))
        except msgspec.ValidationError as error:
            return str(error)
        return ""

    def _text(self) -> str:
        lines = ["In each turn you take one of these actions, or none:"]
        for action in self._actions.values():
            fields = ", ".join(f"{name} {field.text}" for name, field in action.fields.items())
            words = f"- {action.name}: {fields}" if fields else f"- {action.name}"
            lines.append(f"{words}. {action.description}" if action.description else words)
        note = {"note": "...", "importance": 5} if self._has_notes else {}
        examples = [
            {_TAG: action.name, **{name: field.example for name, field in action.fields.items()}}
            for action in self._actions.values()
        ]
        shapes = [as_json({"action": choice, **note}) for choice in (*examples, {_TAG: NO_ACTION})]
        lines.append(f"Answer with JSON and nothing else, such as {' or '.join(shapes)}")
        if self._has_notes:
            lines.append("The note is what you want to remember; its importance is from 1 to 10.")
        return "\n".join(lines)


def _schemas(types: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _strict(msgspec.json.schema(kind)) for name, kind in types.items()}


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a value as vendors take it: with a type, and lengths in words.

    See https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
    """
    if "enum" in schema:
        kind = "integer" if isinstance(schema["enum"][0], int) else "string"
        return {"type": kind, **schema}
    if (length := schema.pop("maxLength", None)) is not None:
        schema["description"] = f"at most {length} characters"
    return schema


def repaired_note(members: Mapping[str, Any]) -> tuple[str, int, list[str]]:
    """Returns the note of an answer and its importance, within their bounds, and what was changed.

    Raises msgspec.ValidationError for what is no map.
    """
    members, repairs = msgspec.convert(members, dict), list[str]()
    note, importance = members.get("note"), members.get("importance", "")
    text = "" if note is None else note if isinstance(note, str) else as_json(note)
    if len(text) > TEXT_CHARACTERS_MAX:
        repairs.append(f"note cut to {TEXT_CHARACTERS_MAX} characters")
    elif text != note:
        repairs.append(f"note read as {as_json(text)}")
    try:
        number = round(float(importance))
    except (TypeError, ValueError, OverflowError):
        number = _IMPORTANCE
    number = max(1, min(number, _IMPORTANCE_MAX))
    if number != importance:
        repairs.append(f"importance read as {number}")
    return text[:TEXT_CHARACTERS_MAX], number, repairs


def _with_integers(value: Any) -> Any:
    """Returns a value of JSON with each float without a fraction as the integer that it is."""
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value


def _object(members: dict[str, Any]) -> dict[str, Any]:
    terms = {"required": [*members], "additionalProperties": False}
    return {"type": "object", "properties": members, **terms}


def as_json(value: object) -> str:
    """Returns a value as a prompt shows it."""
    return msgspec.json.encode(value).decode()


INSIGHT_SCHEMA = _object(_schemas(_NOTES))
