"""What `make real-agents` needs of this tree; it is itself run by hand, and in the soak."""

import json
import subprocess
import sys
from pathlib import Path

from tests.trace.agents.real.scenarios import HOOKS, SCENARIOS

from thence.trace.agents.known_agents import AGENTS

ROOT = Path(__file__).resolve().parents[3]
LOCK = Path(__file__).parent / "real/package-lock.json"


def test_agents_are_pinned_by_version_and_digest_and_no_registry_is_named():
    packages = json.loads(LOCK.read_text())["packages"]
    asked = json.loads(LOCK.with_name("package.json").read_text())
    wanted = asked["dependencies"] | asked["optionalDependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    pinned = [package for name, package in packages.items() if name]
    assert all(package["integrity"].startswith("sha512-") for package in pinned)
    assert not any("resolved" in package for package in pinned)


def test_all_agents_are_played_and_each_act_names_a_script():
    for name, scenario in SCENARIOS.items():
        asked = {words[2] for words in scenario.acts if words[0] in ("ask", "say")}
        assert asked <= set(scenario.scripts), name
    scripts = {script[0] for scenario in SCENARIOS.values() for script in scenario.scripts}
    assert scripts == {*HOOKS}
    assert {words.split()[0] for words in HOOKS.values()} == {*AGENTS}


def test_program_that_is_missing_is_named_with_a_code_of_its_own(tmp_path: Path):
    argv = [sys.executable, "-m", "tests.trace.agents.real", "claude"]
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "npm is not on PATH, and the real agents need it.\n"
