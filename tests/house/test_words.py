"""Words that no tracked file holds: hosts of registries, paths of one machine, what is left open.

Nor does src hold names of our own where the field has a term.
"""

import ast
import re

from tests.house.tree import modules, texts

# Written in pieces, for this file is scanned too.
HOSTS = ("pypi" + ".org", "python" + "hosted", "npmjs" + ".", "debian" + ".org", "crates" + ".io")
MACHINE_PATH = re.compile(r"(?<![\w.})~/*-])/(?:work|root|home|Users)/(?=\w|\.)")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

# name of our own: the field's term for it
FIELD_TERMS = {
    "Disowned": "a duplicate",
    "Exchange": "ExchangeResult, SyncService",
    "Hull": "bounds",
    "Numbered": "RequiredFields",
    "Pace": "RateLimiter",
    "PendingAppend": "AppendFuture",
    "Ranking": "the order of duplicates",
    "StepMembers": "EventFields",
    "WaiterCount": "the waiters themselves",
    "WaysIn": "AuthRoutes",
    "_Terms": "Awaiting",
    "_bring": "push",
    "_is_unread": "skips_recording",
    "_poison": "a fenced writer",
    "_set_aside": "copy forward",
    "_take_in": "import_shared",
    "_those": "digests_matching",
    "contested": "a duplicate",
    "entitle": "set_title",
    "from_here": "relative_path",
    "generator_around": "owning_generator_frame",
    "given_again": "reused_numbers",
    "instead_of": "redacted_form",
    "isolating": "record_failure",
    "leave_reused_node": "renew_node_if_cloned",
    "look_again": "refresh",
    "nobodys": "dummy_hash",
    "other_lines": "duplicates",
    "outranked": "a duplicate",
    "patiently": "run_in_thread",
    "replica": "log",
    "supersede": "the order of duplicates",
    "to_explain": "prefers_failure",
    "twins": "duplicates",
}
NAME_OF_OUR_OWN = re.compile(rf"\b(?:{'|'.join(FIELD_TERMS)})\b")
# in errors, notices and sentences a reader expects during, again, no longer, someone, so, continue
STUMBLE = re.compile(
    r"\b(?:amid|anew|any more|(?:any|every|no|some)body|by which|goe?s? on|meanwhile|of which)\b"
)
# public: the old value of a decision is given under this name
PUBLIC_NAMES = {("sim", "instead_of")}


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


def test_source_says_the_term_of_the_field():
    found = [
        f"{module.path}: {name}, say {FIELD_TERMS[name]}"
        for module in modules("src")
        for name in sorted(set(NAME_OF_OUR_OWN.findall(module.text)))
        if (module.room, name) not in PUBLIC_NAMES
    ]
    assert not found, "\n".join(found)
    assert NAME_OF_OUR_OWN.findall("self.twins = Numbered()") == ["twins", "Numbered"]


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
