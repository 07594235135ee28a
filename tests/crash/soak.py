"""Every way of attack for as long as it takes to trust a release: `make soak`.

Each part is a command that anybody can run alone; it prints its seed and closing figures and
exits with another code than 0 if a promise was broken. `python -m tests.crash.soak [PART …]`
runs them all, or those named, and goes on behind one that failed.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10_000
HOOK_KILLS = 1_000
SPAN_KILLS = 2_000
POWER_CUTS = 10_000_000
LEAKS_S = 600
WORKTREE_ROUNDS = 100
FAULTS = 1_000
FLEET_STEPS = 1_000_000
WORLDS = 10_000
HISTORIES = 500
TEAM_REPLICAS, TEAM_S = 100, 600
MISSING = 2  # the code of a part that this machine can't run; it says why

# one line a part, in the order in which they run
PARTS: dict[str, tuple[str, ...]] = {
    "kills": ("tests.crash.campaign", str(KILLS)),
    "spans": ("tests.crash.span_kills", str(SPAN_KILLS)),
    "power": ("tests.crash.power_cuts", str(POWER_CUTS)),
    "leaks": ("tests.crash.leaks", str(LEAKS_S)),
    "faults": ("tests.crash.sweep",),
    "hooks": ("tests.trace.agents.campaign", str(HOOK_KILLS)),
    "agents": ("tests.trace.agents.real",),
    "orchestra": ("tests.work.chaos", str(FAULTS)),
    "worktrees": ("tests.git.implementers", str(WORKTREE_ROUNDS)),
    "landings": ("tests.work.landing_histories", str(HISTORIES)),
    "worlds": ("tests.sim.worlds", str(WORLDS)),
    "sessions": ("tests.sync.every_byte",),
    "fleets": ("tests.sync.fleet.fleet", str(FLEET_STEPS)),
    "team": ("tests.sync.fleet.storm", str(TEAM_REPLICAS), str(TEAM_S)),
    "tests": ("pytest", "-m", "whole", "-n", "3", "--dist", "loadgroup"),
}


def run(name: str) -> int:
    """Run one part to its end; tell how long it took and how it ended, and return its code."""
    module, *arguments = PARTS[name]
    print(f"== {name}: python -m {module} {' '.join(arguments)}", flush=True)
    start_s = time.monotonic()
    argv = [sys.executable, "-m", module, *arguments]
    # what the tests of the tiers try a part of, `tests.tiers` gives whole
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, "THENCE_WHOLE": "1"}, check=False)
    words = {0: "kept", MISSING: "NOT RUN"}
    word = words.get(done.returncode, f"BROKEN (exit code {done.returncode})")
    print(f"== {name}: {word}, {time.monotonic() - start_s:.0f} s\n", flush=True)
    return done.returncode


def main(names: list[str]) -> int:
    """Run parts; 1 if one was broken, 2 if one is unknown."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    codes = {name: run(name) for name in names or PARTS}
    broken = [name for name, code in codes.items() if code not in (0, MISSING)]
    if missing := [name for name, code in codes.items() if code == MISSING]:
        print(f"not run: {', '.join(missing)}")
    print(f"broken: {', '.join(broken)}" if broken else "all promises were kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
