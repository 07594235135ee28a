"""Words that no tracked file holds: registries, paths of one machine, what is left unfinished."""

import ast
import re

from tests.house.tree import modules, texts

# Written in pieces, for this file is scanned too.
HOSTS = ("pypi" + ".org", "python" + "hosted", "npmjs" + ".", "debian" + ".org", "crates" + ".io")
MACHINE_PATH = re.compile(r"(?<![\w.})~/*-])/(?:work|root|home|Users)/(?=\w|\.)")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

# in errors, notices and sentences a reader expects during, again, no longer, someone, so, continue
STUMBLE = re.compile(
    r"\b(?:amid|anew|any more|(?:any|every|no|some)body|by which|goe?s? on|meanwhile|of which)\b"
)


def findings(name: str, text: str) -> list[str]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{name}:{number}"
        found += [f"{place}: a registry's host, {host}" for host in HOSTS if host in line.lower()]
        found += [f"{place}: a path of one machine" for _ in MACHINE_PATH.finditer(line)]
        found += [f"{place}: left unfinished" for _ in UNFINISHED.finditer(line)]
    return found


def test_tree_names_no_registry_host_and_no_path_of_a_machine_and_leaves_nothing_unfinished():
    found = [line for name, text in texts() for line in findings(name, text)]
    assert not found, "\n".join(found)


def test_texts_for_users_hold_no_word_that_a_reader_stumbles_over():
    found = []
    for module in modules("src"):
        nodes = list(ast.walk(module.syntax))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        shown = [n for n in nodes if isinstance(n, ast.Constant) and id(n) not in docstrings]
        found += [
            f"{module.path}:{node.lineno}: {word}"
            for node in shown
            for word in STUMBLE.findall(str(node.value))
        ]
    assert not found, "\n".join(found)
    assert STUMBLE.findall("nobody goes on anew") == ["nobody", "goes on", "anew"]


def test_scan_bites():
    home = "/" + "home/"
    assert findings("a", f"see https://files.{HOSTS[1]}.org/x")
    assert findings("a", f"cd {home}ada/thence")
    assert findings("a", f'open("{home}ada")')
    assert findings("a", "# TO" + "DO later")


def test_scan_lets_rooms_and_addresses_be():
    assert not findings("a", "src/thence/work/events.py and https://example.org/home/x, ~/work/x")
