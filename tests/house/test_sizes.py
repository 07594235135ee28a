"""Modules stay short enough to read at once, functions to see at once, calls to take in.

A private function with one caller is written where it is used, unless its name says more than its
lines; what goes into a call has names. Both are counted by room, and a count may only fall.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from tests.house.exceptions import MANY_PARAMETERS, OF_ONE_CALLER, STARRED, TOO_LONG
from tests.house.tree import PACKAGE, Module, modules, parsed

# one class or one sequence that is read from top to bottom may take all of it
MODULE_LINES_MAX = 900
FUNCTION_LINES_MAX = 90
# beside self or cls; what goes together is one settings object
PARAMETERS_MAX = 8
FOLDERS = ("src", "bench", "tools", "tests")


def too_long(module: Module) -> Iterator[tuple[str, int]]:
    """Yield what is over its limit, with its length."""
    if len(module.lines) > MODULE_LINES_MAX:
        yield module.path, len(module.lines)
    for name, node in functions(module.syntax):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield f"{module.path}:{name}", length


def too_many(module: Module) -> Iterator[tuple[str, int]]:
    """Yield the functions that take too many parameters; a command's are options."""
    for name, node in functions(module.syntax):
        taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([one for one in taken if one.arg not in ("self", "cls")])
        is_command = any("click." in ast.unparse(one) for one in node.decorator_list)
        if count > PARAMETERS_MAX and not is_command:
            yield f"{module.path}:{name}", count


def functions(
    node: ast.AST, outer: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield each function, however deep, under the name of what holds it."""
    for child in ast.iter_child_nodes(node):
        name = outer
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{child.name}".lstrip(".")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        yield from functions(child, name)


def of_one_caller(module: Module) -> Iterator[str]:
    """Yield the private functions of a module that it names once beside their definition."""
    for name, node in functions(module.syntax):
        is_plain = re.fullmatch(r"_[a-z]\w*", node.name) and not node.decorator_list
        if is_plain and len(re.findall(rf"(?<!\w){node.name}\b", module.text)) == 2:
            yield name


def with_fixed_parameters(inside: tuple[Module, ...]) -> set[str]:
    """Return the names of functions that take no `*arguments` wherever they are defined."""
    fixed: dict[str, bool] = {}
    for module in inside:
        for _, node in functions(module.syntax):
            fixed[node.name] = fixed.get(node.name, True) and node.args.vararg is None
    return {name for name, is_fixed in fixed.items() if is_fixed}


def starred(module: Module, fixed: set[str]) -> int:
    """Count the calls of functions with fixed parameters that are given a starred value."""
    calls = [node for node in ast.walk(module.syntax) if isinstance(node, ast.Call)]
    return sum(
        getattr(call.func, "attr", getattr(call.func, "id", "")) in fixed
        and any(
            isinstance(one, ast.Starred) and isinstance(one.value, ast.Name | ast.Attribute)
            for one in call.args
        )
        for call in calls
    )


def judged(
    found: dict[str, int], let_pass: dict[str, tuple[int, str]], what: str = "lines"
) -> list[str]:
    """Compare what was found with what is let pass, in both directions."""
    wrong = []
    for name, count in found.items():
        allowed, _ = let_pass.get(name, (0, ""))
        if count > allowed:
            wrong.append(f"{name} has {count} {what}")
    for name, (allowed, reason) in let_pass.items():
        if found.get(name, 0) < allowed:
            wrong.append(f"{name} has shrunk: lower or remove its exception of {allowed} {what}")
        if len(reason.split()) < 4:
            wrong.append(f"{name} has an exception without a reason")
    return wrong


def test_modules_and_functions_keep_to_their_limits():
    found = dict(entry for module in modules(*FOLDERS) for entry in too_long(module))
    wrong = judged(found, TOO_LONG)
    assert not wrong, "\n".join(wrong)


def test_functions_and_constructors_take_few_parameters():
    found = dict(entry for module in modules(PACKAGE) for entry in too_many(module))
    wrong = judged(found, MANY_PARAMETERS, "parameters")
    assert not wrong, "\n".join(wrong)


def test_helpers_of_one_caller_and_starred_arguments_become_fewer():
    inside = modules("src")
    fixed = with_fixed_parameters(inside)
    helpers, stars = Counter(), Counter()
    for module in inside:
        helpers[module.room] += len([*of_one_caller(module)])
        stars[module.room] += starred(module, fixed)
    for counts, counts_max in ((helpers, OF_ONE_CALLER), (stars, STARRED)):
        over = {room: count for room, count in counts.items() if count > counts_max.get(room, 0)}
        assert not over, f"at most {counts_max}"


def test_helper_of_one_caller_and_starred_argument_are_found():
    text = "def _a(x, y): ...\ndef _b(): ...\ndef c(*p): _b(); return [_a(*p), _b(), c(*p)]"
    sample = parsed("src/thence/a.py", text)
    assert [*of_one_caller(sample)] == ["_a"]
    assert starred(sample, with_fixed_parameters((sample,))) == 1


def test_ninth_parameter_is_found_but_of_a_command():
    eight = ", ".join("abcdefgh")
    methods = f"    def f(self, {eight}): ...\n    def g(self, {eight}, *, i=0): ...\n"
    command = f"@click.argument('a')\n@root.command()\ndef h({eight}, i): ...\n"
    sample = parsed("a.py", f"class C:\n{methods}{command}def k({eight}, i): ...")
    assert dict(too_many(sample)) == {"a.py:C.g": 9, "a.py:k": 9}


def test_long_module_and_long_method_are_found():
    body = "\n".join(["        x = 1"] * FUNCTION_LINES_MAX)
    sample = parsed("src/thence/a.py", f"class C:\n    def f(self):\n{body}\n" + "\n" * 900)
    assert dict(too_long(sample)) == {"src/thence/a.py": 992, "src/thence/a.py:C.f": 91}


def test_limits_themselves_are_allowed():
    body = "\n".join(["    x = 1"] * (FUNCTION_LINES_MAX - 1))
    assert not list(too_long(parsed("a.py", f"def f():\n{body}\n" + "\n" * 810)))


def test_exceptions_only_shrink():
    reason = "one table, and splitting it would hide the order"
    assert not judged({"a": 70}, {"a": (70, reason)})
    assert judged({"a": 71}, {"a": (70, reason)})
    assert judged({"a": 69}, {"a": (70, reason)})
    assert judged({}, {"a": (70, reason)})
    assert judged({"a": 70}, {"a": (70, "later")})
