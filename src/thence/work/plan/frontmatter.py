"""The fields at the top of a package's file: YAML between two lines of `---`.

A file belongs to its author. So the lane, the only field that is written, is replaced in its line:
all other bytes stay. The result is read back before it is returned; a lane in another form is
refused.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from thence.errors import PlanningError
from thence.work.project.yaml_nodes import YamlFile

_DOING = "could not read the fields"
_BLOCK = re.compile(
    rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n(?P<yaml>(?:[^\n]*\n)*?)(?P<end>---[ \t]*\r?(?:\n|\Z))"
)
_OPEN = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?(?:\n|\Z)")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_PLAIN = re.compile(r"(?!null\b)[a-z]+(?:_[a-z]+)*")
# a lane on one line, with or without quotes; a comment behind it stays
_LANE = re.compile(
    rb"""(?m)^(?P<key>["']?lane["']?[ \t]*:[ \t]*)(?P<quote>["']?)[\w -]*?(?P=quote)"""
    rb"""(?=[ \t]*(?:[ \t]#[^\r\n]*)?\r?$)"""
)


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


def with_lane(data: bytes, lane: str, file: str = "") -> bytes:
    """Returns the file with another lane, no other byte changed; one without a lane stays.

    Raises PlanningError as `read` does, and for a lane that is not a plain word on one line.
    """
    before = read(data, file).values
    if before.get("lane") in (None, lane):
        return data
    block = _BLOCK.match(data)
    assert block is not None, "it has fields"
    line = _LANE.search(data, block.start("yaml"), block.end("yaml"))
    if line is not None:
        is_plain = _PLAIN.fullmatch(lane)
        written = b"%b%b%b" % (line["quote"], lane.encode(), line["quote"])
        written = written if is_plain else as_yaml(lane).encode()
        changed = data[: line.end("key")] + written + data[line.end() :]
        with suppress(PlanningError):
            if read(changed, file).values == {**before, "lane": lane}:
                return changed
    yaml = YamlFile(data[: block.end("yaml")], file, _DOING)
    raise yaml.fault((), "the lane can't be changed alone", f"write it as lane: {lane}")


def as_yaml(value: str) -> str:
    """Writes a text as YAML on one line, in quotes."""
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
