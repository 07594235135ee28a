"""Only an outermost boundary catches everything, where it says why."""

import ast

from tests.house.tree import Module, modules, parsed

CATCH_ALL = {"Exception", "BaseException"}
MARK = "# boundary: "
REASON_WORDS_MIN = 3


def catches_everything(module: Module) -> list[str]:
    """Find handlers that catch all, are no marked boundary, and do not merely clean up."""
    found = []
    for node in ast.walk(module.syntax):
        if not isinstance(node, ast.ExceptHandler):
            continue
        place = f"{module.path}:{node.lineno}"
        if node.type is None:
            found.append(f"{place}: bare except")
        elif caught(node.type) & CATCH_ALL and not (is_door(module, node) or cleans_up(node)):
            found.append(f"{place}: catches everything without '{MARK}reason' on its line")
    return found


def caught(type_: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(type_) if isinstance(node, ast.Name)}


def is_door(module: Module, node: ast.ExceptHandler) -> bool:
    _, mark, reason = module.lines[node.lineno - 1].partition(MARK)
    return bool(mark) and len(reason.split()) >= REASON_WORDS_MIN


def cleans_up(node: ast.ExceptHandler) -> bool:
    """Tell `except BaseException: undo(); raise`, which swallows nothing."""
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_only_boundaries_catch_everything():
    found = [
        line for module in modules("src", "bench", "tools") for line in catches_everything(module)
    ]
    assert not found, "\n".join(found)


def handler(line: str, body: str = "pass") -> list[str]:
    return catches_everything(parsed("a.py", f"try:\n    f()\n{line}\n    {body}\n"))


def test_catching_everything_is_found():
    assert handler("except:")
    assert handler("except Exception:")
    assert handler("except (ValueError, Exception) as error:")
    assert handler("except Exception:  # boundary:")
    assert handler("except Exception as error:", "raise OSError from error")


def test_doors_and_clean_ups_pass():
    assert not handler("except Exception:  # boundary: a host's command never fails for its log")
    assert not handler("except BaseException:", "raise")
    assert not handler("except OSError:")
