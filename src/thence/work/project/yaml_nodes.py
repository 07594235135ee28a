"""The values of a YAML file as plain text, lists and maps, with their positions.

The module knows nothing of the meaning of a file.
"""

from collections.abc import Sequence
from typing import Any

from thence.core.yaml import reader
from thence.errors import PlanningError

_NULL = "tag:yaml.org,2002:null"
FILE_BYTES_MAX = 256 * 1024
Node = Any  # of ruamel.yaml: `id` is scalar, sequence or mapping


class YamlFile:
    """The values of one YAML file: a scalar is the text that was written, None if it is null.

    `operation` is the operation in errors. Raises PlanningError for a file that is no YAML, no
    UTF-8, over 256 KiB, beyond the limits of `thence.core.yaml`, or has a key twice.
    """

    def __init__(self, data: bytes, file: str, operation: str) -> None:
        self._file = file
        self._operation = operation
        self._yaml = ""
        data = data.removeprefix(b"\xef\xbb\xbf")
        if len(data) > FILE_BYTES_MAX:
            cause = f"it has {len(data)} bytes, more than {FILE_BYTES_MAX}"
            raise self._fault(0, cause, "put the bulk elsewhere")
        try:
            self._yaml = data.decode()
        except UnicodeDecodeError as error:
            self._yaml = data[: error.start].decode()
            hint = "save the file as UTF-8"
            raise self._fault(len(self._yaml), "this is not UTF-8", hint) from error
        self.values: Any = None
        self._root: Node = None
        if not self._yaml:  # the import of ruamel.yaml takes 10 ms of processor
            return
        from ruamel.yaml.error import MarkedYAMLError, YAMLError
        from ruamel.yaml.reader import ReaderError

        try:
            self._root = reader("safe").compose(self._yaml)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            cause = (error.problem or error.context or "this is not YAML").splitlines()[0]
            index = mark.index if mark else 0
            raise self._fault(index, cause, "correct the YAML there") from error
        except ReaderError as error:
            cause = f"character {error.character:#06x} has no place in YAML"
            raise self._fault(error.position, cause, "take it out") from error
        # the parser fails with these errors on some malformed files
        except (YAMLError, ValueError, LookupError, AssertionError) as error:
            cause = (str(error).splitlines() or ["this is not YAML"])[0]
            raise self._fault(0, cause, "correct the YAML there") from error
        if self._root is not None:
            self.values = self._plain(self._root)

    def fault(self, path: Sequence[str | int], cause: str, hint: str) -> PlanningError:
        """Returns the error for a value, at the position of the last step that is there."""
        node = self._root
        for step in path:
            steps: dict[str | int, Node] = {}
            if node is not None and node.id == "mapping":
                steps = {str(key.value): value for key, value in node.value}
            elif node is not None and node.id == "sequence":
                steps = dict(enumerate(node.value))
            node = steps.get(step, node)
        return self._fault(node.start_mark.index if node is not None else 0, cause, hint)

    def _plain(self, node: Node) -> Any:
        """Returns the value of a node, whose size and depth the reader of YAML bounds."""
        if node.id == "scalar":
            return None if str(node.tag) == _NULL else str(node.value)
        if node.id == "sequence":
            return [self._plain(value_node) for value_node in node.value]
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value if key_node.id == "scalar" else self._plain(key_node))
            if key in values:
                index = key_node.start_mark.index
                raise self._fault(index, f"{key} appears twice", "keep one of them")
            values[key] = self._plain(value_node)
        return values

    def _fault(self, index: int, cause: str, hint: str) -> PlanningError:
        before = self._yaml[:index]
        line = before.count("\n") + 1
        problem = {"file": self._file, "line": line, "key": "", "message": cause, "hint": hint}
        return PlanningError(
            self._operation,
            place=f"{self._file}:{line}:{index - before.rfind(chr(10))}",
            cause=cause,
            hint=hint,
            problems=[problem],
        )
