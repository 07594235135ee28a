"""The table of what each pinned package requires, as the packages themselves tell it.

`tools/lock.sh` writes it beside the locks, and tests/house/test_locks.py proves with it, without a
network, that the locks are closed.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "requirements.table.json"
SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
)
# the Pythons and systems that thence runs on, in the words of markers
ENVIRONMENTS = [
    {"python_version": python, "python_full_version": f"{python}.0", **system}
    for python in ("3.11", "3.12", "3.13")
    for system in SYSTEMS
]


def applies(requirement: Requirement, environment: dict[str, str], extra: str = "") -> bool:
    """Tell whether a requirement counts somewhere, of a package asked with an extra or none."""
    marker = requirement.marker
    return marker is None or marker.evaluate({**environment, "extra": extra})


def read_pins(lock: Path) -> list[Requirement]:
    """Read the pins of a lock, with their markers and without their hashes."""
    lines = lock.read_text().splitlines()
    return [Requirement(line.rstrip(" \\")) for line in lines if line[:1].isalnum()]


def pin_key(pin: Requirement) -> str:
    """Name a pin in the table."""
    return f"{pin.name}{pin.specifier}"


def required(python: str, pins: list[str]) -> dict[str, list[str]]:
    """Ask pip what some pins require, for it reads their own metadata and installs nothing."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "report.json")
        choices = ["--dry-run", "--no-deps", "--only-binary=:all:", "--python-version", python]
        outputs = ["--target", place, "--report", str(report)]
        command = [sys.executable, "-m", "pip", "install", "--quiet", *choices, *outputs, *pins]
        subprocess.run(command, check=True)
        packages = [item["metadata"] for item in json.loads(report.read_bytes())["install"]]
    keys = [f"{canonicalize_name(one['name'])}=={one['version']}" for one in packages]
    return dict(zip(keys, (sorted(one.get("requires_dist", [])) for one in packages), strict=True))


def main() -> None:
    """Write the table of all locks."""
    table: dict[str, list[str]] = {}
    for lock in sorted(ROOT.glob("requirements*.lock")):
        pins = read_pins(lock)
        for environment in ENVIRONMENTS:
            applying = {pin_key(pin) for pin in pins if applies(pin, environment)}
            if news := sorted(applying - table.keys()):
                table |= required(environment["python_version"], news)
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
