"""Words that no tracked file holds: hosts of registries, paths of one machine, bridges in src."""

import re

from tests.house.tree import texts

# Written in pieces, for this file is scanned too.
HOSTS = ("pypi" + ".org", "python" + "hosted", "npmjs" + ".", "debian" + ".org", "crates" + ".io")
MACHINE_PATH = re.compile(r"(?<![\w.})~/*-])/(?:work|root|home|Users)/(?=\w|\.)")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


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


def test_scan_bites():
    home = "/" + "home/"
    assert findings("a", f"see https://files.{HOSTS[1]}.org/x")
    assert findings("a", f"cd {home}ada/thence")
    assert findings("a", f'open("{home}ada")')
    assert findings("a", "# TO" + "DO later")


def test_scan_lets_rooms_and_addresses_be():
    assert not findings("a", "src/thence/work/events.py and https://example.org/home/x, ~/work/x")
