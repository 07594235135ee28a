"""The fields at the top of a package's file: YAML between two lines of `---`.

A file belongs to its author. So the lane, the only field that is written, is replaced in its line:
all other bytes stay. The result is read back before it is returned; a lane in another form is
refused.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from thence.errors import PlanningError
from thence.work.project.yaml_nodes import compose, is_empty

FIELDS_BYTES_MAX = 64 * 1024
_BLOCK = re.compile(
    rb"(?:\xef\xbb\xbf)?---[ \t]*(?P<newline>\r?\n)"
    rb"(?P<yaml>(?:[^\n]*\n)*?)"
    rb"---[ \t]*\r?(?:\n|\Z)"
)
_OPEN = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?(?:\n|\Z)")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+-]+)*")
# the plain words that some YAML readers do not take for text
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_FIRST_FIELD = re.compile(r"(?m)^( *)[^\s#]")
# a lane on one line, with or without quotes; a comment behind it stays
_LANE_FORM = (
    r"""(?m)^(?P<key>{indent}["']?lane["']?[ \t]*:)(?P<space>[ \t]*)"""
    r"""(?P<quote>["']?)[\w -]*?(?P=quote)(?=[ \t]*(?:[ \t]#[^\r\n]*)?\r?$)"""
)


class Fields(NamedTuple):
    """A file's fields, and the text below them.

    A value is a text as it was written, None, a list or a map. `line` is the number of the first
    line of `body`, from 1.
    """

    values: Mapping[str, Any]
    body: str
    line: int

    def text(self, key: str) -> str:
        """Returns a field as text: empty if it is absent, null, a list or a map."""
        value = self.values.get(key)
        return "" if value is None or isinstance(value, (list, dict)) else str(value)


class _Block(NamedTuple):
    """The YAML of a file: its bytes from `start` to `end`, with lines that end in `newline`."""

    yaml: str
    start: int
    end: int
    below: int
    newline: str


def read(data: bytes, file: str) -> Fields:
    """Reads a file's fields; one without any has no values.

    Raises PlanningError with line and column for what is no YAML, no map, no UTF-8, twice
    there, over 64 KiB, or never ends.
    """
    block = _block(data, file)
    if block is None:
        return Fields({}, data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"), 1)
    reader = _FieldsReader(file, block.yaml)
    values = reader.values()
    line = data[: block.below].count(b"\n") + 1
    return Fields(values, data[block.below :].decode("utf-8", "replace"), line)


def with_lane(data: bytes, lane: str, file: str = "") -> bytes:
    """Returns the file with its lane set, no other byte changed.

    A lane that is absent is added before the closing `---`; a file without fields gets it on top.
    Raises PlanningError as `read` does, and for a lane that is not a plain word on one line.
    """
    block = _block(data, file)
    if block is None:
        start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        newline = "\r\n" if b"\r\n" in data[: data.find(b"\n") + 1] else "\n"
        lines = ("---", f"lane: {as_yaml(lane)}", "---", "")
        return data[:start] + newline.join(lines).encode() + data[start:]
    reader = _FieldsReader(file, block.yaml)
    values = reader.values()
    if values.get("lane") == lane:
        return data
    first = _FIRST_FIELD.search(block.yaml)
    indent = first[1] if first else ""
    written = as_yaml(lane)
    if line := re.search(_LANE_FORM.format(indent=indent), block.yaml):
        quote = line["quote"] if written == lane else ""
        text = f"{line['key']}{line['space'] or ' '}{quote}{written}{quote}"
        yaml = block.yaml[: line.start()] + text + block.yaml[line.end() :]
    else:
        yaml = f"{block.yaml}{indent}lane: {written}{block.newline}"
    try:
        is_read_back = {**values, "lane": lane} == _FieldsReader(file, yaml).values()
    except PlanningError:
        is_read_back = False
    if not is_read_back:
        raise reader.fault(0, "the lane can't be changed alone", f"write it as lane: {written}")
    return data[: block.start] + yaml.encode() + data[block.end :]


def as_yaml(value: str) -> str:
    """Writes a text as YAML on one line, in quotes where they are needed."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


class _FieldsReader:
    """One reading of the YAML of one file; its first line is the second of the file."""

    def __init__(self, file: str, yaml: str) -> None:
        self._file = file
        self._yaml = yaml
        self._root = self._mapping()
        self._seen: dict[int, Any] = {}

    def values(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        if self._root is None:
            return {}
        fields: dict[str, Any] = self._plain(self._root)
        return fields

    def fault(self, index: int, cause: str, hint: str) -> PlanningError:
        """Returns the error for an index in the YAML, in characters."""
        before = self._yaml[:index]
        line, column = before.count("\n") + 2, index - (before.rfind("\n") + 1) + 1
        return _fault(self._file, line, column, cause, hint)

    def _mapping(self) -> Any:
        """Returns the node of the fields' map; None where there are no fields."""
        if directive := re.search(r"^%", self._yaml, re.MULTILINE):
            hint = "take the line out, or put the value in quotes"
            raise self.fault(directive.start(), "a directive has no place here", hint)
        root = compose(self._yaml, self.fault)
        if root is not None and root.id != "mapping":
            hint = "write fields, one on a line, such as `lane: planned`"
            raise self.fault(root.start_mark.index, "these are no fields", hint)
        return root

    def _plain(self, node: Any) -> Any:
        """Returns the value of a node; a node with aliases is converted once."""
        if node.id == "scalar":
            return None if is_empty(node) else str(node.value)
        if id(node) in self._seen:
            if self._seen[id(node)] is None:
                raise self.fault(node.start_mark.index, "it holds itself", "take the alias out")
            return self._seen[id(node)]
        self._seen[id(node)] = None
        if node.id == "sequence":
            value: Any = [self._plain(value_node) for value_node in node.value]
        else:
            value = {}
            for key_node, value_node in node.value:
                key = key_node.value if key_node.id == "scalar" else str(self._plain(key_node))
                if key in value:
                    hint = "keep one of them"
                    raise self.fault(key_node.start_mark.index, f"{key} stands twice", hint)
                value[key] = self._plain(value_node)
        self._seen[id(node)] = value
        return value


def _block(data: bytes, file: str) -> _Block | None:
    if _OPEN.match(data) is None:
        return None
    block = _BLOCK.match(data)
    if block is None:
        raise _fault(file, 1, 1, "the fields never end", "end them with a line `---`")
    if len(block["yaml"]) > FIELDS_BYTES_MAX:
        cause = f"the fields have {len(block['yaml'])} bytes, more than {FIELDS_BYTES_MAX}"
        raise _fault(file, 1, 1, cause, "put the bulk below them")
    try:
        yaml = block["yaml"].decode()
    except UnicodeDecodeError as error:
        before = block["yaml"][: error.start]
        column = error.start - before.rfind(b"\n")
        hint = "save the file as UTF-8"
        raise _fault(file, before.count(b"\n") + 2, column, "this is no UTF-8", hint) from error
    newline = block["newline"].decode()
    return _Block(yaml, block.start("yaml"), block.end("yaml"), block.end(), newline)


def _fault(file: str, line: int, column: int, cause: str, hint: str) -> PlanningError:
    problem = {"file": file, "line": line, "key": "", "message": cause, "hint": hint}
    return PlanningError(
        "could not read the fields",
        place=f"{file}:{line}:{column}",
        cause=cause,
        hint=hint,
        problems=[problem],
    )
