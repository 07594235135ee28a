"""Values of a YAML file that know where they stand.

What is wrong with one is noted with its line and column, and all of it is told at once. Nothing
here knows what a file is about.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from thence.errors import PlanningError
from thence.yaml import reader

TAG = "tag:yaml.org,2002:"
FILE_BYTES_MAX = 256 * 1024
DURATION_S_MAX = 7 * 86_400
_SCALARS = ("str", "int", "float", "bool")
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([smh]?)", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)


class YamlMark(Protocol):
    """A place in the YAML, by the index of its character."""

    index: int


class Node(Protocol):
    """A value as ruamel.yaml gives it: `id` is scalar, sequence or mapping."""

    id: str
    tag: object
    value: Any
    start_mark: YamlMark


# makes the error for a place in the YAML: index of a character, cause, hint
Fault = Callable[[int, str, str], PlanningError]


def composed(yaml: str, fault: Fault) -> Node | None:
    """Returns the node that a YAML document is, None for an empty one.

    Raises what `fault` makes of what is no YAML, or stands for more than `thence.yaml` lets pass.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        root: Any = reader("safe").compose(yaml)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        cause = (error.problem or error.context or "this is no YAML").splitlines()[0]
        raise fault(mark.index if mark else 0, cause, "correct the YAML there") from error
    except ReaderError as error:
        cause = f"character {error.character:#06x} has no place in YAML"
        raise fault(error.position, cause, "take it out") from error
    # it looks up, and asserts, what only files say
    except (YAMLError, ValueError, LookupError, AssertionError) as error:
        cause = (str(error).splitlines() or ["this is no YAML"])[0]
        raise fault(0, cause, "correct the YAML there") from error
    found: Node | None = root
    return found


class YamlFile:
    """One reading of one file, which notes what is wrong with its values.

    A value that can't be used is read as something harmless; `refuse` tells of it. `operation`
    says what the file is read for. Raises PlanningError at once for what is no YAML, no UTF-8, or
    over 256 KiB.
    """

    def __init__(self, data: bytes, file: str, operation: str) -> None:
        self._file = file
        self._operation = operation
        self._problems: list[dict[str, object]] = []
        self._yaml = self._decoded(data.removeprefix(b"\xef\xbb\xbf"))
        self.root = composed(self._yaml, self._fault)

    def note(self, node: Node | None, message: str, hint: str) -> None:
        """Notes that something is wrong with a value; None stands for the whole file."""
        self._note(node.start_mark.index if node is not None else 0, message, hint)

    def refuse(self) -> None:
        """Raises PlanningError with all that was noted if there is any; its cause is the first."""
        if self._problems:
            raise self._error()

    def pairs(self, node: Node | None, what: str) -> dict[str, Node]:
        """Returns the values of a map by their keys; none for what is no map."""
        if node is None or is_empty(node):
            return {}
        if node.id != "mapping":
            self.note(node, f"{what} is no map", "write `name: value`, one on a line")
            return {}
        found: dict[str, Node] = {}
        for key, value in node.value:
            if key.id != "scalar":
                self.note(key, "this is no name", "write `name: value`, one on a line")
            elif key.value in found:
                self.note(key, f"{key.value} stands twice", "keep one of them")
            else:
                found[key.value] = value
        return found

    def fields(self, node: Node | None, what: str, known: Sequence[str]) -> dict[str, Node]:
        """Returns the values that a map has for the keys that it may have; empty ones are left out.

        Any other key is noted with those that are known.
        """
        found = self.pairs(node, what)
        if node is not None and node.id == "mapping":
            for key, _ in node.value:
                if key.id == "scalar" and key.value not in known:
                    hint = f"what it may have: {', '.join(known)}"
                    self.note(key, f"{what} has no {key.value!r:.80}", hint)
        return {key: each for key, each in found.items() if key in known and not is_empty(each)}

    def items(self, node: Node | None, what: str) -> list[Node]:
        """Returns the values of a list; none for what is no list."""
        if node is None or is_empty(node):
            return []
        if node.id != "sequence":
            self.note(node, f"{what} is no list", "write [one, another]")
            return []
        return list(node.value)

    def text(self, node: Node, what: str) -> str:
        """Returns a text as it was written, one that looks like a number or a truth too."""
        if node.id != "scalar" or str(node.tag).removeprefix(TAG) not in _SCALARS:
            self.note(node, f"{what} is no text", 'write a text, "" for an empty one')
            return ""
        text = str(node.value)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self.note(node, f"{what} holds what no program can be given", "take it out")
            return ""
        return text

    def choice(self, node: Node, what: str, words: Iterable[str]) -> str:
        """Returns one of some words."""
        known, text = tuple(words), self.text(node, what)
        if text not in known:
            self.note(node, f"{what} is {text!r:.80}", f"write one of {', '.join(known)}")
            return known[0]
        return text

    def count(self, node: Node | None, what: str, default: int, least: int, most: int) -> int:
        """Returns a whole number within limits."""
        if node is None:
            return default
        text = str(node.value) if node.id == "scalar" else ""
        if not _COUNT.fullmatch(text) or not least <= int(text) <= most:
            self.note(node, f"{what} is no number from {least} to {most}", f"write {default}")
            return default
        return int(text)

    def duration_s(
        self, node: Node | None, what: str, default: float, most: float = DURATION_S_MAX
    ) -> float:
        """Returns a time in seconds, written like 90, 90s, 5m or 1h; it may be nought."""
        if node is None:
            return default
        found = _DURATION.fullmatch(str(node.value)) if node.id == "scalar" else None
        seconds = float(found[1]) * _UNITS_S[found[2]] if found else -1.0
        if not 0 <= seconds <= most:
            self.note(node, f"{what} is no time up to {most:g} s", "write it like 90s, 5m or 1h")
            return default
        return seconds

    def _decoded(self, data: bytes) -> str:
        if len(data) > FILE_BYTES_MAX:
            cause = f"it has {len(data)} bytes, more than {FILE_BYTES_MAX}"
            self._yaml = ""
            raise self._fault(0, cause, "put the bulk elsewhere")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            self._yaml = data[: error.start].decode()
            hint = "save the file as UTF-8"
            raise self._fault(len(self._yaml), "this is no UTF-8", hint) from error

    def _note(self, index: int, message: str, hint: str) -> None:
        before = self._yaml[:index]
        self._problems.append(
            {
                "file": self._file,
                "line": before.count("\n") + 1,
                "column": index - (before.rfind("\n") + 1) + 1,
                "key": "",
                "message": message,
                "hint": hint,
            }
        )

    def _fault(self, index: int, cause: str, hint: str) -> PlanningError:
        self._note(index, cause, hint)
        return self._error()

    def _error(self) -> PlanningError:
        problems = sorted(self._problems, key=lambda each: (each["line"], each["column"]))
        first, more = problems[0], len(problems) - 1
        told = f", and {more} more problem{'s' * (more > 1)}" if more else ""
        return PlanningError(
            self._operation,
            place=f"{first['file']}:{first['line']}:{first['column']}",
            cause=f"{first['message']}{told}",
            hint=str(first["hint"]),
            problems=problems,
        )


def is_empty(node: Node) -> bool:
    """Tells whether a value was left out: nothing stands behind its key, or null."""
    return bool(node.id == "scalar" and str(node.tag) == f"{TAG}null")
