"""The locks are closed: what a pinned package requires, where thence runs, is pinned beside it.

What each requires is read in the table that `make lock` writes beside the locks.
"""

import json
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.house.tree import ROOT
from tools.lock_table import ENVIRONMENTS, TABLE, applies, pin_key, read_pins

RUN, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
RAY = ROOT / "requirements-ray.lock"
MUTANTS, BENCH = ROOT / "requirements-mutants.lock", ROOT / "requirements-bench.lock"
RELEASE = ROOT / "requirements-release.lock"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, GROUPS = PYPROJECT["project"], PYPROJECT["dependency-groups"]
EXTRAS = [line for name in ("server", "sync") for line in PROJECT["optional-dependencies"][name]]
OTEL = PROJECT["optional-dependencies"]["otel"]
RUNS = [*PROJECT["dependencies"], *EXTRAS, *PYPROJECT["build-system"]["requires"]]
# a table in a group includes the group dev
TESTS = [*RUNS, *GROUPS["dev"], *(line for line in GROUPS["mutants"] if isinstance(line, str))]


def unmet(
    pins: list[Requirement],
    roots: list[str],
    table: dict[str, list[str]],
    environment: dict[str, str],
) -> set[str]:
    """List what no pin satisfies of what the roots require and the pins themselves."""
    applying = {pin.name: pin for pin in pins if applies(pin, environment)}
    waiting = [Requirement(line) for line in (*roots, *applying)]
    missing, followed = set(), set()
    while waiting:
        requirement = waiting.pop()
        pin = applying.get(canonicalize_name(requirement.name))
        version = pin and next(iter(pin.specifier)).version
        if not version or not requirement.specifier.contains(version, prereleases=True):
            missing.add(str(requirement))
        elif pin_key(pin) not in table:
            missing.add(f"{pin_key(pin)} in {TABLE.name}")
        else:
            news = {(pin.name, extra) for extra in ("", *requirement.extras)} - followed
            followed |= news
            lines = [Requirement(line) for line in table[pin_key(pin)]]
            waiting += [
                line for line in lines for _, extra in news if applies(line, environment, extra)
            ]
    return missing


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda place: "-".join(place.values()))
@pytest.mark.parametrize(
    ("locks", "roots"),
    [
        ([RUN], RUNS),
        ([RUN, DEV], [*RUNS, *GROUPS["dev"]]),
        ([RUN, DEV, RAY], PROJECT["optional-dependencies"]["ray"]),
        ([MUTANTS], TESTS),
        ([BENCH], GROUPS["bench"]),
        ([RELEASE], GROUPS["release"]),
        *(
            ([ROOT / f"requirements-{group}.lock"], [*PROJECT["dependencies"], *OTEL, *lines])
            for group, lines in GROUPS.items()
            if group.startswith("frameworks")
        ),
    ],
    ids=[
        *("run", "dev", "ray", "mutants", "bench", "release"),
        *(group for group in GROUPS if group.startswith("frameworks")),
    ],
)
def test_locks_are_closed(locks, roots, environment):
    pins = [pin for lock in locks for pin in read_pins(lock)]
    missing = unmet(pins, roots, json.loads(TABLE.read_text()), environment)
    assert not missing, f"no pin satisfies {', '.join(sorted(missing))}: make lock"


def test_what_runs_is_pinned_once_and_without_what_tests():
    run, dev, ray = ({pin.name for pin in read_pins(lock)} for lock in (RUN, DEV, RAY))
    assert not run & dev
    assert not (run | dev) & ray
    assert not run & {"pytest", "mypy", "schemathesis"}


def test_missing_pins_are_told():
    pins = [Requirement(line) for line in ("coverage==7.1", "idna==3 ; sys_platform == 'linux'")]
    lines = ["tomli>=2; extra == 'toml'", "idna<3; python_version > '3.11'"]
    table = {"coverage==7.1": lines, "idna==3": []}

    def missing(root: str, python: str = "3.11", system: str = "linux") -> set[str]:
        return unmet(pins, [root], table, {"python_version": python, "sys_platform": system})

    assert not missing("Coverage>=7")
    assert missing("coverage[toml]") == {'tomli>=2; extra == "toml"'}
    assert missing("coverage>=8") == {"coverage>=8"}
    assert missing("coverage", python="3.12") == {'idna<3; python_version > "3.11"'}
    assert missing("idna", system="darwin") == {"idna"}
    assert unmet(pins, [], {"idna==3": []}, ENVIRONMENTS[0]) == {f"coverage==7.1 in {TABLE.name}"}
