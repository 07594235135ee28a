"""The fields at the top of a package's file: YAML between two lines of `---`."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from thence.work.project.yaml_nodes import YamlFile

_DOING = "could not read the fields"
_BLOCK = re.compile(
    rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n(?P<yaml>(?:[^\n]*\n)*?)(?P<end>---[ \t]*\r?(?:\n|\Z))"
)
_OPEN = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?(?:\n|\Z)")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Fields(NamedTuple):
    """A file's fields, and the text below them.

    A value is a text as it was written, None, a list or a map.
    """

    values: Mapping[str, Any]
    body: str

    def text(self, key: str) -> str:
        """Returns a field as text: empty if it is absent, null, a list or a map."""
        value = self.values.get(key)
        return "" if value is None or isinstance(value, (list, dict)) else str(value)


def read(data: bytes, file: str) -> Fields:
    """Reads a file's fields; one without any has no values.

    Raises PlanningError with line and column for what is no YAML, no map, no UTF-8, twice
    there, over 256 KiB, or never ends.
    """
    if _OPEN.match(data) is None:
        return Fields({}, data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    block = _BLOCK.match(data)
    if block is None:
        raise YamlFile(b"", file, _DOING).fault(
            (), "the fields never end", "end them with a line `---`"
        )
    yaml = YamlFile(data[: block.end("yaml")], file, _DOING)
    values = {} if yaml.values is None else yaml.values
    if not isinstance(values, dict):
        raise yaml.fault((), "these are not fields", "write fields, one on a line: `lane: planned`")
    return Fields(values, data[block.end() :].decode("utf-8", "replace"))


def as_yaml(value: str) -> str:
    """Writes a text as YAML on one line, in quotes."""
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
