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
from thence.work.project.yaml_nodes import YamlFile

FIELDS_BYTES_MAX = 64 * 1024
_DOING = "could not read the fields"
_BLOCK = re.compile(
    rb"(?:\xef\xbb\xbf)?---[ \t]*(?P<newline>\r?\n)"
    rb"(?P<yaml>(?:[^\n]*\n)*?)"
    rb"---[ \t]*\r?(?:\n|\Z)"
)
_OPEN = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?(?:\n|\Z)")
_DIRECTIVE = re.compile(rb"(?m)^%")
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
    """The fields of a file, and their text from the byte `start`, in lines that end in `newline`.

    `fields` are read from the top of the file, so that problems have its lines. What is below the
    fields begins at the byte `below`.
    """

    fields: YamlFile
    yaml: str
    start: int
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
    values = _values(block.fields)
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
    values = _values(block.fields)
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
    head = data[: block.start] + yaml.encode()
    try:
        is_read_back = {**values, "lane": lane} == _values(YamlFile(head, file, _DOING))
    except PlanningError:
        is_read_back = False
    if not is_read_back:
        hint = f"write it as lane: {written}"
        raise block.fields.fault((), "the lane can't be changed alone", hint)
    return head + data[block.start + len(block.yaml.encode()) :]


def as_yaml(value: str) -> str:
    """Writes a text as YAML on one line, in quotes where they are needed."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _values(yaml: YamlFile) -> dict[str, Any]:
    """Returns the fields as plain values; raises PlanningError where they are no map."""
    values = {} if yaml.values is None else yaml.values
    if not isinstance(values, dict):
        hint = "write fields, one on a line: `lane: planned`"
        raise yaml.fault((), "these are not fields", hint)
    return values


def _block(data: bytes, file: str) -> _Block | None:
    if _OPEN.match(data) is None:
        return None
    block = _BLOCK.match(data)
    if block is None:
        raise _fault(file, "the fields never end", "end them with a line `---`")
    if len(block["yaml"]) > FIELDS_BYTES_MAX:
        cause = f"the fields have {len(block['yaml'])} bytes, more than {FIELDS_BYTES_MAX}"
        raise _fault(file, cause, "put the bulk below them")
    if directive := _DIRECTIVE.search(block["yaml"]):
        line = data.count(b"\n", 0, block.start("yaml") + directive.start()) + 1
        hint = "take the line out, or put the value in quotes"
        raise _fault(file, "a directive has no place here", hint, line)
    fields = YamlFile(data[: block.end("yaml")], file, _DOING)
    newline = block["newline"].decode()
    return _Block(fields, block["yaml"].decode(), block.start("yaml"), block.end(), newline)


def _fault(file: str, cause: str, hint: str, line: int = 1) -> PlanningError:
    problem = {"file": file, "line": line, "key": "", "message": cause, "hint": hint}
    return PlanningError(
        _DOING, place=f"{file}:{line}:1", cause=cause, hint=hint, problems=[problem]
    )
