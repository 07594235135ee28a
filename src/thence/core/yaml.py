"""The reader of YAML that anybody may have written, within limits.

A few lines of YAML can stand for more values than memory holds, where each alias doubles the one
before, and thousands of brackets are deeper than any reader can follow. Both are refused beyond the
limits, with the place. The time of a reading grows with the length of the text alone.
"""

from typing import Any, Literal

BYTES_MAX = 1024 * 1024
DEPTH_MAX = 50
# values that a document stands for, those behind an alias counted wherever it stands
VALUES_MAX = 100_000
_TOO_DEEP = f"it is deeper than {DEPTH_MAX} levels"
_TOO_MANY = f"it expands to more than {VALUES_MAX} values"


def reader(kind: Literal["safe", "rt"]) -> Any:
    """Returns a reader of ruamel.yaml, of its own pure kind, for one document.

    Its `compose` and `load` raise MarkedYAMLError for what is deeper than DEPTH_MAX, stands for
    more than VALUES_MAX, or holds itself.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.composer import Composer, ComposerError
    from ruamel.yaml.events import AliasEvent
    from ruamel.yaml.scanner import Scanner, ScannerError

    yaml = YAML(typ=kind, pure=True)
    usual: Any = yaml.Scanner or Scanner

    class BoundedScanner(usual):  # type: ignore[misc]
        """The scanner, which stops at too many brackets before it looks for what they enclose.

        That of ruamel.yaml searches the next thousand characters for the end of a key, in time
        that grows with their square.
        """

        def fetch_flow_collection_start(self, *positional: Any, **named: Any) -> None:
            if len(self.flow_context) >= DEPTH_MAX:
                raise ScannerError(None, None, _TOO_DEEP, self.reader.get_mark())
            super().fetch_flow_collection_start(*positional, **named)

    class BoundedComposer(Composer):
        """The composer of ruamel.yaml, which counts."""

        def __init__(self, loader: Any = None) -> None:
            super().__init__(loader)
            self.warn_double_anchors = False  # YAML allows it
            self._levels = 0
            self._values = 0
            self._sizes: dict[int, int] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.parser.peek_event()
            before = self._values
            self._levels += 1
            self._check(self._levels > DEPTH_MAX, _TOO_DEEP, event)
            if not isinstance(event, AliasEvent):
                self._values += 1
            node = super().compose_node(parent, index)
            if isinstance(event, AliasEvent):
                self._check(id(node) not in self._sizes, "it holds itself", event)
                self._values += self._sizes[id(node)]
            self._sizes[id(node)] = self._values - before
            self._levels -= 1
            self._check(self._values > VALUES_MAX, _TOO_MANY, event)
            return node

        def _check(self, is_too_much: bool, problem: str, event: Any) -> None:
            if is_too_much:
                raise ComposerError(None, None, problem, event.start_mark)

    yaml.Composer, yaml.Scanner = BoundedComposer, BoundedScanner
    return yaml
