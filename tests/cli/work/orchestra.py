"""A project whose feature is worked off by agents that follow a script."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.installed import THENCE, environment
from tests.cli.warm import warm
from tests.cli.work.three_packages import lanes
from tests.git.repositories import commit, git

AGENT = Path(__file__).resolve().parents[2] / "work/agent_program.py"
WAIT_S = 120.0
SLUG = "001-sync"
DO = [["write", "{wp}.txt", "done\n"], ["commit", "Do it"]]
APPROVE = [["verdict", "approve"]]


def tasks(packages):
    """Write a tasks.md of {wp_id: dependencies}."""
    parts = ["# Tasks"]
    for wp_id, dependencies in packages.items():
        on = f"- Depends on {', '.join(dependencies)}" if dependencies else "- None"
        parts.append(
            f"## Work Package {wp_id}: Do {wp_id} (Priority: P1)\n\n### Dependencies\n{on}"
        )
    return "\n\n".join(parts) + "\n"


class Project:
    """A project with a feature, agents that follow a script, and the events of its log."""

    def __init__(self, folder, packages, template):
        self.folder = shutil.copytree(template, folder / "sync é", symlinks=True)
        self.script = folder / "script.json"
        self.packages = list(packages)

    def setup(self, *, agents=("coder",), review=(), limits=(), **more):
        """Write the agents into the configuration; each follows the script.

        The first of them has the limits: on a busy machine others may take long.
        """
        config = self.folder / ".kittify/config.yaml"
        command = [sys.executable, str(AGENT), str(self.script), "{wp_id}", "{phase}"]
        told = {
            "backoff": 0.1,
            "agents": {
                name: {
                    "command": command,
                    "stall": 600,
                    **dict(limits if name == agents[0] else ()),
                }
                for name in agents
            },
            "review": list(review),
            "implement": [name for name in agents if name not in review],
            **more,
        }
        old = config.read_text().partition("orchestrate:")[0]
        config.write_text(f"{old}orchestrate: {json.dumps(told)}\n")
        if git(self.folder, "status", "--porcelain", ".kittify"):
            commit(self.folder, {".kittify/config.yaml": config.read_text()}, "Set agents up")

    def tell(self, **attempts):
        """Set the script by package, by package and phase, or for all: a list of attempts."""
        script = {
            key.replace("__", "/").replace("ANY", "*"): each for key, each in attempts.items()
        }
        for wp_id in self.packages:
            script.setdefault(wp_id, script.get("*", [DO]))
            script.setdefault(f"{wp_id}/review", [APPROVE])
        text = {
            key: json.loads(json.dumps(each).replace("{wp}", key[:4]))
            for key, each in script.items()
        }
        self.script.write_text(json.dumps(text))

    def events(self, kind=None, **wanted):
        """Return the events of a type, or all, whose payload has these values."""
        lines = warm("log", "--json", cwd=self.folder).out.splitlines()
        found = [json.loads(line) for line in lines]
        return [
            event
            for event in found
            if kind in (None, event["event_type"])
            and all(event["payload"].get(key) == value for key, value in wanted.items())
        ]

    def lanes(self):
        return lanes(self.folder)


def orchestrate(project, *arguments):
    return warm("work", "orchestrate", *arguments, cwd=project.folder)


def begun(project, *arguments, **env):
    """Start an orchestrator that goes on beside the test."""
    return subprocess.Popen(
        [THENCE, "work", "orchestrate", *arguments],
        cwd=project.folder,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def is_alive(process):
    """Report whether a process runs; a zombie does not."""
    told = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, check=False
    )
    return bool(told.stdout.strip()) and not told.stdout.startswith(b"Z")
