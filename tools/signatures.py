"""Signatures of functions and classes, as their source writes them.

Types come from the source, so that they have the names that a reader knows, without modules;
defaults that are names of ours are shown as their values.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeVar, get_overloads, is_typeddict

import msgspec

WIDTH = 96
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Alias(NamedTuple):
    """A name for a type that is no class."""

    text: str


def _is_other_name(item: tuple[str, object]) -> bool:
    return getattr(item[1], "__name__", item[0]) != item[0]


class Names:
    """What the fronts export, and what else of ours their signatures have named so far."""

    def __init__(self, rooms: Mapping[str, Mapping[str, object]]) -> None:
        self._paths: dict[int, str] = {}
        for room, found in rooms.items():
            for name, value in sorted(found.items(), key=_is_other_name):
                self._paths.setdefault(id(value), f"{room}.{name}")
        self.met: dict[str, Alias | type] = {}
        self.is_noting = True

    def is_exported(self, value: object) -> bool:
        """Tells whether a front exports this."""
        return id(value) in self._paths

    def path_of(self, value: object) -> str:
        """Returns the name by which users import what a front exports."""
        return self._paths[id(value)]

    def type_text(self, annotation: ast.expr, module: ModuleType) -> str:
        """Writes a type as its source does, and notes which others of ours it names."""
        return _quoted(_Types(self, module).visit(annotation))

    def meet(self, name: str, module: ModuleType) -> str:
        """Notes a name that stands in a type, and returns how it is shown."""
        value, home = resolved(name, module)
        if (
            isinstance(value, str | TypeVar | None)
            or not home.startswith("thence")
            or name.startswith("_")
        ):
            if inspect.isclass(value) and home != "builtins" and value.__name__ != name:
                return f"{value.__module__}.{value.__name__}"
            return name
        if inspect.isclass(value) and value.__module__.startswith("thence"):
            if self.is_noting and not self.is_exported(value):
                self.met[value.__name__] = value
            return value.__name__
        if self.is_noting and not self.is_exported(value) and name not in self.met:
            self.met[name] = Alias("")  # it may name itself
            self.met[name] = Alias(self.alias_text(name, import_module(home)))
        return name

    def alias_text(self, name: str, module: ModuleType) -> str:
        """Writes what a name for a type stands for."""
        _, home = resolved(name, module)
        for node in _tree(import_module(home)).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.Assign) and name in map(ast.unparse, targets):
                return self.type_text(node.value, import_module(home))
        return name


def _quoted(node: ast.AST) -> str:
    """Writes code with the quotes of the house."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


class _Types(ast.NodeTransformer):
    """Takes quotes and modules from a type, but not from what a Literal or Annotated says."""

    def __init__(self, names: Names, module: ModuleType) -> None:
        self._names = names
        self._module = module

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        return node if name in ("Literal", "Annotated") else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_quoted = isinstance(node.value, str)
        return self.visit(ast.parse(str(node.value), mode="eval").body) if is_quoted else node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._names.meet(node.id, self._module))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not isinstance(node.value, ast.Name):
            return node
        module, _ = resolved(node.value.id, self._module)
        value = getattr(module, node.attr, None)
        exported = self._names.is_exported(value)
        return ast.Name(self._names.path_of(value) if exported else node.attr)


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text("utf-8"))


def resolved(name: str, module: ModuleType) -> tuple[object, str]:
    """Returns what a name of a module stands for, and the module that defines it."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    home = import_module(node.module)
                    is_module = not hasattr(home, alias.name)
                    path = f"{node.module}.{alias.name}" if is_module else node.module
                    found = import_module(path) if is_module else getattr(home, alias.name)
                    return found, path
    return getattr(module, name, None), module.__name__ if hasattr(module, name) else "builtins"


def _node(value: object) -> Function | ast.ClassDef:
    """Returns the definition of a function or class; the last one of several."""
    body = _tree(_module(value)).body
    found: Function | ast.ClassDef | None = None
    for part in str(getattr(value, "__qualname__", "")).split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == part][-1]
        body = found.body
    assert found is not None
    return found


def _module(value: object) -> ModuleType:
    return import_module(str(getattr(value, "__module__", "")))


def signatures(name: str, function: Callable[..., object], names: Names) -> list[str]:
    """Returns the signature of a function, or each of its overloads."""
    node, module = _node(function), _module(function)
    assert not isinstance(node, ast.ClassDef)
    nodes = [node]
    if get_overloads(function):
        defined = [each for each in _tree(module).body if isinstance(each, Function)]
        nodes = [each for each in defined if each.name == node.name][:-1]
    return [_signature(name, each, module, names) for each in nodes]


def _signature(name: str, node: Function, module: ModuleType, names: Names) -> str:
    """Writes a signature on one line, or a line for each parameter where it is long."""
    parameters = list(_parameters(node.args, module, names))
    returns = names.type_text(node.returns, module) if node.returns is not None else "None"
    if any(ast.unparse(each) == "contextmanager" for each in node.decorator_list):
        given = returns.removeprefix("Iterator[").removesuffix("]")
        return _laid_out(f"with {name}", parameters, "" if given == "None" else f" as {given}")
    prefix = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    return _laid_out(f"{prefix}{name}", parameters, f" -> {returns}")


def _laid_out(name: str, parameters: list[str], end: str = "") -> str:
    short = f"{name}({', '.join(parameters)}){end}"
    if len(short) <= WIDTH:
        return short
    lines = "".join(f"    {parameter},\n" for parameter in parameters)
    return f"{name}(\n{lines}){end}"


def _parameters(args: ast.arguments, module: ModuleType, names: Names) -> Iterator[str]:
    plain = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(args.defaults))
    defaults += args.defaults
    for place, (parameter, default) in enumerate(zip(plain, defaults, strict=True)):
        if place or parameter.arg not in ("self", "cls"):
            yield from _parameter(parameter, default, module, names)
        if args.posonlyargs and place == len(args.posonlyargs) - 1:
            yield "/"
    if args.vararg is not None:
        yield "*" + next(_parameter(args.vararg, None, module, names))
    keywords = [
        shown
        for parameter, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
        for shown in _parameter(parameter, default, module, names)
    ]
    if args.kwarg is not None:
        keywords += _rest(args.kwarg, module, names)
    if keywords and args.vararg is None and not keywords[0].startswith("**"):
        yield "*"
    yield from keywords


def _parameter(
    parameter: ast.arg, default: ast.expr | None, module: ModuleType, names: Names
) -> Iterator[str]:
    if default is not None and _is_private(parameter.annotation, module, names):
        return
    kind = parameter.annotation
    text = parameter.arg + (f": {names.type_text(kind, module)}" if kind is not None else "")
    yield text if default is None else f"{text} = {_default(default, module)}"


def _rest(parameter: ast.arg, module: ModuleType, names: Names) -> Iterator[str]:
    """Yields `**name`, or the keywords of a TypedDict that it unpacks."""
    kind = parameter.annotation
    if isinstance(kind, ast.Constant):
        kind = ast.parse(str(kind.value), mode="eval").body
    if isinstance(kind, ast.Subscript) and isinstance(kind.slice, ast.Name):
        keys, _ = resolved(kind.slice.id, module)
        if is_typeddict(keys):
            yield from _keys(keys, names)
            return
    yield "**" + next(_parameter(parameter, None, module, names))


def _keys(keys: object, names: Names) -> Iterator[str]:
    for base in getattr(_node(keys), "bases", ()):
        inherited, _ = resolved(ast.unparse(base), _module(keys))
        if is_typeddict(inherited):
            yield from _keys(inherited, names)
    for field in _fields(keys):
        yield f"{_name(field)}: {names.type_text(field.annotation, _module(keys))} = …"


def _is_private(annotation: ast.expr | None, module: ModuleType, names: Names) -> bool:
    """Tells whether a type is a class of ours that no front exports."""
    value = resolved(annotation.id, module)[0] if isinstance(annotation, ast.Name) else None
    is_ours = inspect.isclass(value) and value.__module__.startswith("thence")
    return is_ours and not names.is_exported(value)


def _default(node: ast.expr, module: ModuleType) -> str:
    if isinstance(node, ast.Name):
        value, _ = resolved(node.id, module)
        return _quoted(ast.Constant(value)) if isinstance(value, str | int | float) else "…"
    return "…" if isinstance(node, ast.Call) else _quoted(node)


def _constructor(kind: type) -> Function | None:
    for node in _node(kind).body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node
    return None


def is_value(kind: type) -> bool:
    """Tells whether a class is its fields."""
    return issubclass(kind, msgspec.Struct) or hasattr(kind, "_fields")


def is_made_by_users(kind: type, names: Names) -> bool:
    """Tells whether a constructor needs nothing that no front exports."""
    node = _constructor(kind)
    if node is None:
        needed_fields = [field for each in _structs(kind) for field in _fields(each)]
        return is_value(kind) and not any(
            field.value is None and _is_private(field.annotation, _module(kind), names)
            for field in needed_fields
        )
    args = [*node.args.posonlyargs, *node.args.args]
    needed = [*args[1 : len(args) - len(node.args.defaults)]]
    return not any(_is_private(each.annotation, _module(kind), names) for each in needed)


def _structs(kind: type) -> list[type]:
    return [each for each in kind.__mro__ if each.__module__.startswith("thence")]


def class_signature(name: str, kind: type, names: Names) -> str:
    """Returns how an object is made: its constructor, or its fields."""
    node = _constructor(kind)
    if node is not None:
        return _laid_out(name, list(_parameters(node.args, _module(kind), names)))
    fields = [
        f"{_name(field)}: {names.type_text(field.annotation, _module(kind))}"
        + (f" = {_default(field.value, _module(kind))}" if field.value is not None else "")
        for field in _fields(kind)
    ]
    kinds = [parameter.kind for parameter in inspect.signature(kind).parameters.values()]
    is_by_name = inspect.Parameter.KEYWORD_ONLY in kinds
    return _laid_out(name, ["*", *fields] if is_by_name else fields)


def _name(field: ast.AnnAssign) -> str:
    assert isinstance(field.target, ast.Name)
    return field.target.id


def _fields(kind: object) -> list[ast.AnnAssign]:
    """Returns the fields of a Struct, tuple or TypedDict: what is annotated in its body."""
    annotated = [each for each in _node(kind).body if isinstance(each, ast.AnnAssign)]
    return [
        each
        for each in annotated
        if not _name(each).startswith("_") and "ClassVar" not in ast.unparse(each.annotation)
    ]


def _own(kind: type, names: Names | None) -> Iterator[tuple[str, object]]:
    """Yields the members of a class and of those bases of it that are told nowhere else."""
    seen: set[str] = set()
    for each in kind.__mro__:
        is_ours = each.__module__.startswith("thence")
        if not is_ours or (each is not kind and (names is None or names.is_exported(each))):
            break
        for name, member in vars(each).items():
            if name not in seen and not name.startswith("_"):
                seen.add(name)
                yield name, member


def public_methods(
    kind: type, names: Names | None = None
) -> list[tuple[str, Callable[..., object]]]:
    """Returns the public methods that have something to tell, in the order of the source."""
    found: list[tuple[str, Callable[..., object]]] = []
    for name, member in _own(kind, names):
        function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if inspect.isfunction(function) and function.__doc__:
            found.append((name, function))
    return found


def properties(kind: type, names: Names | None = None) -> list[tuple[str, str, str]]:
    """Returns the properties, each with its type and what is said of it."""
    found = []
    for name, member in _own(kind, names):
        if isinstance(member, property) and member.fget is not None:
            node = _node(member.fget)
            assert not isinstance(node, ast.ClassDef)
            text = ""
            if names is not None and node.returns is not None:
                text = names.type_text(node.returns, _module(member.fget))
            found.append((name, text, inspect.getdoc(member) or ""))
    return found


def variables(kind: type, names: Names) -> list[tuple[str, str, str]]:
    """Returns class variables with a text behind them, and what `__init__` keeps in the open."""
    node, module = _node(kind), _module(kind)
    found = []
    for each, behind in zip(node.body, [*node.body[1:], None], strict=True):
        said = behind.value if isinstance(behind, ast.Expr) else None
        if isinstance(said, ast.Constant) and isinstance(each, ast.Assign | ast.AnnAssign):
            target = each.target if isinstance(each, ast.AnnAssign) else each.targets[0]
            text = (
                names.type_text(each.annotation, module) if isinstance(each, ast.AnnAssign) else ""
            )
            found.append((ast.unparse(target), text, str(said.value)))
    made = _constructor(kind)
    if made is None:
        is_shown = not names.is_exported(kind) or is_made_by_users(kind, names)  # in its signature
        fields = [] if is_shown else _fields(kind)
        kept = [(_name(field), names.type_text(field.annotation, module), "") for field in fields]
        return [*found, *kept]
    given = {each.arg: each.annotation for each in [*made.args.args, *made.args.kwonlyargs]}
    for statement in made.body:
        typed: ast.expr | None
        if isinstance(statement, ast.AnnAssign):
            target, typed = statement.target, statement.annotation
        elif isinstance(statement, ast.Assign):
            target, typed = statement.targets[0], _made(statement.value, given, module)
        else:
            continue
        if isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
            found.append((target.attr, names.type_text(typed, module) if typed else "", ""))
    return found


def _made(
    value: ast.expr, given: Mapping[str, ast.expr | None], module: ModuleType
) -> ast.expr | None:
    """Returns the type of a parameter, or of what a class or function of ours returns."""
    if isinstance(value, ast.Name):
        return given.get(value.id)
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name):
        return None
    called, home = resolved(value.func.id, module)
    if inspect.isclass(called):
        return value.func
    node = _node(called) if inspect.isfunction(called) and home.startswith("thence") else None
    return node.returns if isinstance(node, Function) else None
