"""What is tested is what a user installs: the built wheel, not the source tree."""

import sys
from importlib.metadata import distribution
from pathlib import Path

import thence

ROOT = Path(__file__).resolve().parent.parent


def test_package_comes_from_the_wheel_and_not_from_the_source_tree():
    place = Path(thence.__file__).resolve()
    assert place.is_relative_to(Path(sys.prefix).resolve())
    assert not place.is_relative_to(ROOT / "src")


def test_wheel_ships_the_type_marker_and_every_scenario_and_example():
    inside = {str(path) for path in distribution("thence").files or []}
    data = [*ROOT.glob("scenarios/*.*"), *ROOT.glob("examples/*.*")]
    assert inside >= {"thence/py.typed"} | {f"thence/{path.relative_to(ROOT)}" for path in data}
