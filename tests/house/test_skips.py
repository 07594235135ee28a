"""A test is skipped for the operating system alone, never because something is missing."""

import ast

from tests.house.tree import Module, modules, parsed

SKIPS = {"skip", "skipif", "importorskip", "xfail", "skipTest", "skipIf", "skipUnless", "SkipTest"}
LICENCE = "sys.platform"


def skips(module: Module) -> list[str]:
    """Find what leaves a test out, but `skipif` whose condition looks at the system alone."""
    nodes = list(ast.walk(module.syntax))
    licensed = {node.func for node in nodes if isinstance(node, ast.Call) and is_licensed(node)}
    found = []
    for node in nodes:
        name = getattr(node, "attr", None) or getattr(node, "id", None)
        if name in SKIPS and node not in licensed:
            found.append(f"{module.path}:{getattr(node, 'lineno', 0)}: {name}")
    return found


def is_licensed(node: ast.Call) -> bool:
    """Tell `skipif(sys.platform ...)`."""
    if getattr(node.func, "attr", "") != "skipif" or not node.args:
        return False
    condition = node.args[0]
    return isinstance(condition, ast.Compare) and ast.unparse(condition.left) == LICENCE


def test_no_test_is_skipped_for_what_is_missing():
    found = [line for module in modules("tests") for line in skips(module)]
    assert not found, "\n".join(found)


def test_skips_are_found():
    for line in (
        "pytest.skip('no browser')",
        "@pytest.mark.skip\ndef test(): ...",
        "@pytest.mark.skipif(not shutil.which('git'), reason='no git')\ndef test(): ...",
        "@pytest.mark.skipif(os.geteuid() == 0, reason='root')\ndef test(): ...",
        "httpx = pytest.importorskip('httpx')",
        "@pytest.mark.xfail\ndef test(): ...",
    ):
        assert skips(parsed("a.py", line)), line


def test_skip_for_the_system_passes():
    line = "@pytest.mark.skipif(sys.platform != 'linux', reason='/proc')\ndef test(): ..."
    assert not skips(parsed("a.py", line))
