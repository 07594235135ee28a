"""What the import contract can't say: the front door, the settings, what a room may bring in."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

from tests.house.tree import ROOT, Module, modules, parsed

# what these begin with brings in no package but msgspec
WITHOUT_GUESTS = (
    "src/thence/errors.py",
    "src/thence/core/",
    "src/thence/git/",
    "src/thence/log/",
    "src/thence/trace/causes/",
    "src/thence/sync/wire/",
)
# the one module each that drives a library for its room
HOSTS = (
    "src/thence/core/yaml.py",
    "src/thence/log/index/page.py",
    "src/thence/trace/causes/spans.py",
)
GUESTS = {"thence", "msgspec"}
CLI_GUESTS_AT_START = GUESTS | {"click"}
READERS_OF_VARIABLES = (
    "src/thence/cli/",
    "src/thence/server/app.py",
    "src/thence/log/files/disk.py",
    "src/thence/settings.py",
    "src/thence/log/open.py",
    "src/thence/sim/models/client.py",  # the variable that an endpoint names, and that of sweeps
    "src/thence/sim/record/writer.py",
    "src/thence/git/git.py",
    "src/thence/trace/agents/fired.py",  # a program of its own
)
READERS_OF_SETTINGS = ("src/thence/cli/", "src/thence/server/app.py", "src/thence/settings.py")


def imports(module: Module) -> Iterator[tuple[ast.AST, str, list[str]]]:
    """Yield each import: its place, the module it names, what it takes out of it."""
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, []
        elif isinstance(node, ast.ImportFrom):
            yield node, node.module or ".", [alias.name for alias in node.names]


def enters_by_the_front_door(module: Module) -> list[str]:
    """Find `import thence` inside; cli alone may ask it for the version."""
    found = []
    for node, name, taken in imports(module):
        is_version = module.room == "cli" and taken == ["__version__"]
        if name == "thence" and not is_version:
            found.append(f"{module.path}:{node.lineno}: imports the front door")
    return found


def reads_settings(module: Module) -> list[str]:
    """Find who reads settings without being a door."""
    if module.path.startswith(READERS_OF_SETTINGS):
        return []
    names = [f"{name}.{part}" for _, name, taken in imports(module) for part in ["", *taken]]
    is_named = any(name.startswith("thence.settings") for name in names)
    return [f"{module.path}: settings are read at the door"] if is_named else []


def reads_variables(module: Module) -> list[str]:
    """Find who asks for environment variables; programs have two doors here."""
    if module.path.startswith(READERS_OF_VARIABLES):
        return []
    names = [f"{name}.{part}" for _, name, taken in imports(module) for part in ["", *taken]]
    asks = [name for name in names if name == "thence.log.files.disk.variable"]
    asks += re.findall(r"\b(?:os\.)?(?:environb?|getenv)\b", module.text)
    return [f"{module.path}: reads the environment, which is for the doors"] if asks else []


def brings_guests(module: Module) -> list[str]:
    """Find packages that a room may not import, or, for cli, not at its start."""
    allowed, seen = None, imports(module)
    if module.path in HOSTS:
        return []
    if module.path.startswith(WITHOUT_GUESTS):
        allowed = GUESTS
    elif module.room == "cli":
        allowed, at_start = CLI_GUESTS_AT_START, {id(node) for node in start(module.syntax)}
        seen = (entry for entry in imports(module) if id(entry[0]) in at_start)
    if allowed is None:
        return []
    tops = {name.split(".")[0] for _, name, _ in seen}
    guests = tops - allowed - sys.stdlib_module_names
    return [f"{module.path}: {guest} may not come in here" for guest in sorted(guests)]


def start(syntax: ast.Module) -> Iterator[ast.AST]:
    """Yield what runs when a module is imported: all but functions and TYPE_CHECKING."""
    waiting: list[ast.AST] = [syntax]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def test_rooms_keep_to_their_doors_and_guests():
    rules = (enters_by_the_front_door, reads_settings, reads_variables, brings_guests)
    inside = [module for module in modules("src") if module.path != "src/thence/__init__.py"]
    found = [line for module in inside for rule in rules for line in rule(module)]
    assert not found, "\n".join(found)


def sample(path: str, text: str) -> Module:
    return parsed(f"src/thence/{path}", text)


def test_front_door_is_found_in_every_form():
    for text in ("import thence", "from thence import open", "def f():\n    import thence"):
        assert enters_by_the_front_door(sample("log/a.py", text))
    assert enters_by_the_front_door(sample("log/a.py", "from thence import __version__"))
    assert not enters_by_the_front_door(sample("cli/a.py", "from thence import __version__"))
    assert not enters_by_the_front_door(sample("log/a.py", "from thence.core.ids import parse"))


def test_settings_are_found_in_every_form():
    for text in ("from thence.settings import Settings", "import thence.settings"):
        assert reads_settings(sample("log/a.py", text))
        assert not reads_settings(sample("cli/a.py", text))
    assert reads_settings(sample("log/a.py", "from thence import settings"))


def test_variables_are_found_in_every_form():
    for text in (
        "from thence.log.files.disk import OS_DISK, variable",
        "import os\nos.environ['A']",
        "from os import environ",
        "import os\nos.getenv('A')",
    ):
        assert reads_variables(sample("sim/a.py", text))
        assert not reads_variables(sample("cli/a.py", text))
    assert not reads_variables(sample("log/a.py", "from thence.log.files.disk import Disk"))


def test_guests_are_found():
    assert brings_guests(sample("core/a.py", "def f():\n    import structlog"))
    assert brings_guests(sample("cli/a.py", "import rich.table"))
    assert not brings_guests(sample("cli/a.py", "import click\ndef f():\n    import rich"))
    assert not brings_guests(
        sample("cli/a.py", "if TYPE_CHECKING:\n    from rich.table import Table")
    )
    assert not brings_guests(sample("core/a.py", "import re\nimport msgspec"))


def test_measurements_import_what_is_there():
    # nothing else in a test run reads them, so that a renamed function is found out here
    names = sorted(path.stem for path in (ROOT / "bench").glob("*.py"))
    code = f"import importlib\nfor name in {names}: importlib.import_module('bench.' + name)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
