"""Types that msgspec decodes are made ready by one thread: see `thence.core.ready`."""

import ast
from collections.abc import Iterator

from tests.house.tree import Module, modules, parsed

PLACES = {  # where each call has the type: a keyword, or the place among the arguments
    "msgspec.json.decode": "type",
    "msgspec.msgpack.decode": "type",
    "msgspec.convert": 1,
    "msgspec.json.Decoder": 0,
    "msgspec.msgpack.Decoder": 0,
}
HERE = "src/thence/core/ready.py"
PLAIN = {"str", "int", "float", "bool", "bytes", "dict", "list", "tuple", "Any", "msgspec"}


def is_decoder(node: ast.stmt) -> bool:
    """Reports whether a statement of a module is `name = Decoder(...).decode`."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)


def unready(module: Module) -> Iterator[str]:
    # one thread alone runs what a module says as it is imported
    imported = {id(node.value.value) for node in module.syntax.body if is_decoder(node)}
    for call in ast.walk(module.syntax):
        if id(call) in imported:
            continue
        place = PLACES.get(ast.unparse(call.func)) if isinstance(call, ast.Call) else None
        if place is None or module.path == HERE:
            continue
        kinds = [word.value for word in call.keywords if word.arg == place]
        if isinstance(place, int):
            kinds = call.args[place : place + 1]
        names = {name.id for kind in kinds for name in ast.walk(kind) if isinstance(name, ast.Name)}
        if "ready" not in names and names - PLAIN:
            yield f"{module.path}:{call.lineno}: {ast.unparse(call)}"


def test_each_type_that_is_decoded_is_made_ready_by_one_thread():
    assert [line for module in modules("src") for line in unready(module)] == []


def test_a_type_that_is_not_is_noticed():
    for call in (
        "msgspec.json.decode(data, type=Form)",
        "msgspec.convert(value, list[Form])",
        "msgspec.json.Decoder(Form).decode",
    ):
        assert [*unready(parsed("src/thence/a.py", call))]
        assert not [*unready(parsed("src/thence/a.py", call.replace("Form", "ready(Form)")))]
    for text in ("msgspec.json.decode(data, type=list[int])", "x = msgspec.json.Decoder(F).decode"):
        assert not [*unready(parsed("src/thence/a.py", text))]
