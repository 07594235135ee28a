"""Real agent frameworks behind thence: `make frameworks`.

`python -m tests.trace.frameworks [SCENE…]` runs small programs in .venv-frameworks, offline, and
prints how right the log is about each. It ends with 0 if all is right, 1 if something is wrong, and
2, with a sentence, where it can't run. `--record` writes the data of tests/trace/causes/spans anew.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.trace.frameworks.judge import COLUMNS, Tally, judge
from tests.trace.frameworks.played import looked_at, taped
from tests.trace.frameworks.recording import RECORDED, write
from tests.trace.frameworks.scenes import SCENES, Scene

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
RUN_S = 100
# of the faults of one kind in a scene
SHOWN_MAX = 3
# the service, and nothing that a developer's shell says to a tracer
SETTINGS = {"OTEL_SERVICE_NAME": "till", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}


def play(folder: Path, scene: Scene, **settings: str) -> str:
    """Runs a scene's programs in turn in a folder; returns what they printed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL", "THEN"))}
    output = ""
    for argument, code in scene.runs:
        program = HERE / "programs" / f"{scene.program}.py"
        done = subprocess.run(
            [ROOT / scene.place / "bin/python", program, argument],
            cwd=folder,
            env={**kept, **SETTINGS, **settings},
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        if done.returncode != code:
            raise AssertionError(f"ended with {done.returncode}:\n{done.stderr[-2_000:]}")
        output += done.stdout
    return output


def compare(folder: Path, scene: Scene, tally: Tally) -> None:
    """Judges what `thence diff` says of the scene played again, and with another order."""

    def diff(**settings: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="frameworks-") as place:
            play(Path(place), scene, **settings)
            logs = [folder / "agent", Path(place) / "agent"]
            words = [ROOT / scene.place / "bin/thence", "diff", *logs, "--json"]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        return dict(json.loads(done.stdout))

    first = diff()["first"]
    tally.add(first is None, f"played again it differs first at {first and first['differs']}")
    if place := scene.altered:
        first = diff(ORDER="882")["first"]
        fits = first and [one["path"] for one in first["differs"]] == [place]
        tally.add(bool(fits), f"with another order it differs first at {first}")


def judged(name: str, scene: Scene, is_recorded: bool) -> dict[str, Tally]:
    """Plays a scene and returns its tallies; a failure of the play itself is one of them."""
    with tempfile.TemporaryDirectory(prefix="frameworks-") as place:
        folder, program = Path(place).resolve(), ROOT / scene.place / "bin/thence"
        try:
            output = play(folder, scene)
            if is_recorded and name in RECORDED:
                write(name, taped(folder))
            seen = looked_at(folder, output, program, scene.why)
            seen.is_other_dialect = scene.asked is not None
            tallies = judge(seen, scene)
            if scene.asked:
                event, words = scene.asked
                command = [program, "why", event, "--log", folder / "agent"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                told = " ".join(done.stdout.split())
                tallies["asked"].add(words in told, f"why {event} does not say: {words}")
            if name in RECORDED or scene.is_compared:
                compare(folder, scene, tallies["diff"])
        except Exception as error:
            traceback.print_exc()
            return {"spans": Tally(0, 1, [f"could not be played: {error}"])}
        if tallies["spans"].total < scene.spans:
            tallies["spans"].add(False, f"{scene.spans} spans or more were expected")
        return tallies


def _cell(tally: Tally | None) -> str:
    if tally is None or not tally.total:
        return "-"
    return f"{tally.right}/{tally.total}" + (" !" if tally.faults else "")


def main(words: Sequence[str]) -> int:
    """Plays scenes and prints the table; returns the exit code."""
    is_recorded = "--record" in words
    names = [word for word in words if word != "--record"] or list(SCENES)
    if unknown := [name for name in names if name not in SCENES]:
        print(f"no scene {unknown[0]}; there are {', '.join(SCENES)}", file=sys.stderr)
        return 2
    places = {SCENES[name].place for name in names}
    if missing := [place for place in places if not (ROOT / place / "bin/thence").exists()]:
        print(f"there is no {missing[0]}: make frameworks makes it", file=sys.stderr)
        return 2
    faults: list[str] = []
    print(f"{'':48}{''.join(f'{column:>9}' for column in COLUMNS)}")
    for name in names:
        start_s = time.monotonic()
        tallies = judged(name, SCENES[name], is_recorded)
        own = [fault for tally in tallies.values() for fault in tally.faults]
        for column, tally in tallies.items():
            faults += [f"{name}, {column}: {fault}" for fault in tally.faults[:SHOWN_MAX]]
        cells = "".join(f"{_cell(tallies.get(column)):>9}" for column in COLUMNS)
        word = "wrong" if own else "right"
        title = SCENES[name].title
        print(f"{title:48}{cells}  {word}  {time.monotonic() - start_s:.0f} s", flush=True)
    print("\n".join(("", *faults)) if faults else "all is right")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
