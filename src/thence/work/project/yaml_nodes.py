"""Values of a YAML file with their positions.

Problems are recorded with line and column, and raised all at once. The module knows nothing of the
meaning of a file.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from thence.core.yaml import reader
from thence.errors import PlanningError

TAG = "tag:yaml.org,2002:"
FILE_BYTES_MAX = 256 * 1024
DURATION_S_MAX = 7 * 86_400
_SCALARS = ("str", "int", "float", "bool")
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([smh]?)", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)


class YamlMark(Protocol):
    """A position in the YAML, by the index of its character."""

    index: int


class Node(Protocol):
    """A value as ruamel.yaml gives it: `id` is scalar, sequence or mapping."""

    id: str
    tag: object
    value: Any
    start_mark: YamlMark


# makes the error for a position in the YAML: index of a character, cause, hint
Fault = Callable[[int, str, str], PlanningError]


def _compose(yaml: str, fault: Fault) -> Node | None:
    """Returns the root node of a YAML document, None for an empty one.

    Raises the error of `fault` for invalid YAML, and for aliases beyond the limits of
    `thence.core.yaml`.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        root: Any = reader("safe").compose(yaml)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        cause = (error.problem or error.context or "this is not YAML").splitlines()[0]
        raise fault(mark.index if mark else 0, cause, "correct the YAML there") from error
    except ReaderError as error:
        cause = f"character {error.character:#06x} has no place in YAML"
        raise fault(error.position, cause, "take it out") from error
    # the parser fails with these errors on some malformed files
    except (YAMLError, ValueError, LookupError, AssertionError) as error:
        cause = (str(error).splitlines() or ["this is not YAML"])[0]
        raise fault(0, cause, "correct the YAML there") from error
    node: Node | None = root
    return node


class YamlFile:
    """A reader of one YAML file, which records the problems of its values.

    An invalid value is replaced by a harmless one; `refuse` raises the problems. `operation` is the
    operation in errors. Raises PlanningError at once for a file that is no YAML, no UTF-8, or over
    256 KiB.
    """

    def __init__(self, data: bytes, file: str, operation: str) -> None:
        self._file = file
        self._operation = operation
        self._problems: list[dict[str, object]] = []
        self._yaml = self._decoded(data.removeprefix(b"\xef\xbb\xbf"))
        self.root = _compose(self._yaml, self._fault)

    def report(self, node: Node | None, message: str, hint: str) -> None:
        """Records a problem of a value; None stands for the whole file."""
        self._add_problem(node.start_mark.index if node is not None else 0, message, hint)

    def refuse(self) -> None:
        """Raises PlanningError with all problems if there are any; its cause is the first."""
        if self._problems:
            raise self._error()

    def pairs(self, node: Node | None, what: str) -> dict[str, Node]:
        """Returns the values of a map by their keys; empty for any other node."""
        if node is None or is_empty(node):
            return {}
        if node.id != "mapping":
            self.report(node, f"{what} is not a map", "write `name: value`, one on a line")
            return {}
        values: dict[str, Node] = {}
        for key, value in node.value:
            if key.id != "scalar":
                self.report(key, "this is not a name", "write `name: value`, one on a line")
            elif key.value in values:
                self.report(key, f"{key.value} appears twice", "keep one of them")
            else:
                values[key.value] = value
        return values

    def fields(self, node: Node | None, what: str, names: Sequence[str]) -> dict[str, Node]:
        """Returns the non-empty values of a map's known keys.

        Any other key is recorded as a problem that lists the known ones.
        """
        values = self.pairs(node, what)
        if node is not None and node.id == "mapping":
            for key, _ in node.value:
                if key.id == "scalar" and key.value not in names:
                    hint = f"what it may have: {', '.join(names)}"
                    self.report(key, f"{what} has no {key.value!r:.80}", hint)
        return {key: value for key, value in values.items() if key in names and not is_empty(value)}

    def items(self, node: Node | None, what: str) -> list[Node]:
        """Returns the values of a list; empty for any other node."""
        if node is None or is_empty(node):
            return []
        if node.id != "sequence":
            self.report(node, f"{what} is not a list", "write [one, another]")
            return []
        return list(node.value)

    def text(self, node: Node, what: str) -> str:
        """Returns a scalar as it was written, also one that looks like a number or a boolean."""
        if node.id != "scalar" or str(node.tag).removeprefix(TAG) not in _SCALARS:
            self.report(node, f"{what} is not text", 'write a text, "" for an empty one')
            return ""
        text = str(node.value)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self.report(node, f"{what} holds what no program can be given", "take it out")
            return ""
        return text

    def choice(self, node: Node, what: str, words: Iterable[str]) -> str:
        """Returns one of some words."""
        choices, text = tuple(words), self.text(node, what)
        if text not in choices:
            self.report(node, f"{what} is {text!r:.80}", f"write one of {', '.join(choices)}")
            return choices[0]
        return text

    def count(self, node: Node | None, what: str, default: int, least: int, most: int) -> int:
        """Returns a whole number within limits."""
        if node is None:
            return default
        text = str(node.value) if node.id == "scalar" else ""
        if not _COUNT.fullmatch(text) or not least <= int(text) <= most:
            self.report(node, f"{what} is not a number from {least} to {most}", f"write {default}")
            return default
        return int(text)

    def duration_s(
        self, node: Node | None, what: str, default: float, most: float = DURATION_S_MAX
    ) -> float:
        """Returns a time in seconds, written like 90, 90s, 5m or 1h; it may be nought."""
        if node is None:
            return default
        match = _DURATION.fullmatch(str(node.value)) if node.id == "scalar" else None
        seconds = float(match[1]) * _UNITS_S[match[2]] if match else -1.0
        if not 0 <= seconds <= most:
            self.report(
                node, f"{what} is not a time up to {most:g} s", "write it like 90s, 5m or 1h"
            )
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
            raise self._fault(len(self._yaml), "this is not UTF-8", hint) from error

    def _add_problem(self, index: int, message: str, hint: str) -> None:
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
        self._add_problem(index, cause, hint)
        return self._error()

    def _error(self) -> PlanningError:
        problems = sorted(self._problems, key=lambda problem: (problem["line"], problem["column"]))
        first, others = problems[0], len(problems) - 1
        told = f", and {others} more problem{'s' * (others > 1)}" if others else ""
        return PlanningError(
            self._operation,
            place=f"{first['file']}:{first['line']}:{first['column']}",
            cause=f"{first['message']}{told}",
            hint=str(first["hint"]),
            problems=problems,
        )


def is_empty(node: Node) -> bool:
    """Reports whether a value is missing or null."""
    return bool(node.id == "scalar" and str(node.tag) == f"{TAG}null")
