"""Hooks, the taking in of what they left, and spans with large values, killed at random instants.

Acknowledged is a hook that ended with 0, and a span whose start returned: its event is in the log
once all is taken in, once, with its secret masked, and what it ended has ended.
`python -m tests.trace.agents.campaign KILLS [SEED]` soaks.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from tests.trace.agents.firing import PROGRAM, clean_environment, hook, log_in

import thence
from thence.otel import SpanProcessor
from thence.trace.agents.intake import take_in

HOOK_TIMES_MAX = 3.0  # of what a hook takes here
INTAKE_S_MAX = 0.03
# of the calls in which a taking in writes, syncs and removes
CALLS_MAX = 30
SPANS_S_MAX = 0.2
WAIT_S = 60
SECRET = "AKIA" + "IOSFODNN7EXAMPLE"


class Campaign:
    """Kills over one repository: what was acknowledged, and what was seen."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.repository, self.spans = folder / "shop", folder / "spans"
        (folder / "home").mkdir(exist_ok=True)
        self.env = clean_environment(folder / "home")
        subprocess.run(["git", "init", "-q", self.repository], env=self.env, check=True)
        self.prompts: set[str] = set()
        self.begun: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.dies_at = 0
        self.hook_s_max = HOOK_TIMES_MAX * min(self._hook_s() for _ in range(3))

    def _hook_s(self) -> float:
        begun_s = time.monotonic()
        prompt, child = self._fire()
        assert child.wait(WAIT_S) == 0
        self.prompts.add(prompt)
        return time.monotonic() - begun_s

    def round(self) -> None:
        """Fire hooks at once, take in beside them or record spans, and kill what still runs."""
        children = [self._fire() for _ in range(self.chance.randrange(1, 4))]
        if self.chance.random() < 0.5:
            self.dies_at = self.chance.choice((0, self.chance.randrange(1, CALLS_MAX)))
            s_max = WAIT_S if self.dies_at else INTAKE_S_MAX
            self._killed_fork(self._take_in, s_max, "intakes killed")
        if self.chance.random() < 0.3:
            told = self._killed_fork(self._record_spans, SPANS_S_MAX, "recorders killed")
            self.begun.update(told.decode().split("\n")[:-1])
        for prompt, child in children:
            code = self._ended(child)
            if code == 0:
                self.prompts.add(prompt)
                self.seen["hooks acknowledged"] += 1
            else:
                assert code == -signal.SIGKILL, code
                self.seen["hooks killed"] += 1
                self.seen["kills"] += 1

    def _fire(self) -> tuple[str, subprocess.Popen[bytes]]:
        """Fire a hook with a name of its own: a prompt, which ends calls, or a call."""
        name = f"{self.chance.getrandbits(64):x}"
        record = hook("UserPromptSubmit", prompt=f"{name} {SECRET} " * self.chance.choice((1, 200)))
        if self.chance.random() < 0.5:
            call = {"tool_name": "Bash", "tool_input": {"command": f"login {SECRET}"}}
            record = hook("PreToolUse", tool_use_id=name, **call)
        argv = [sys.executable, "-I", "-S", str(PROGRAM), "claude-code"]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=self.repository, env=self.env)
        assert child.stdin is not None
        child.stdin.write(json.dumps(record).encode())
        child.stdin.close()
        return name, child

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        try:
            return child.wait(self.chance.random() * self.hook_s_max)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait(WAIT_S)

    def _killed_fork(self, work: Callable[[int], object], s_max: float, word: str) -> bytes:
        """Run work in a child, kill it at an instant, and return what it told until then."""
        reading, telling = os.pipe()
        pid = os.fork()
        if not pid:
            work(telling)
            os._exit(0)
        os.close(telling)
        end_s = time.monotonic() + self.chance.random() * s_max
        ended, status = 0, 0
        while not ended and time.monotonic() < end_s:
            ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        is_killed = os.WIFSIGNALED(status)
        assert is_killed or status == 0, status
        self.seen[word] += is_killed
        self.seen["kills"] += is_killed
        with open(reading, "rb") as pipe:
            return pipe.read()

    def _take_in(self, telling: int) -> None:
        if self.dies_at:
            for name in ("write", "fdatasync", "unlink"):
                self._die_in(name)
        take_in(log_in(self.repository))

    def _die_in(self, name: str) -> None:
        """Have this process die before one of its calls of the operating system."""
        call = getattr(os, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.dies_at -= 1
            if not self.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        setattr(os, name, counted)

    def _record_spans(self, telling: int) -> None:
        chance = random.Random(os.urandom(8))
        provider = TracerProvider()
        provider.add_span_processor(SpanProcessor(thence.open(self.spans, bodies_from=1024)))
        tracer = provider.get_tracer("campaign")
        for _ in range(50):
            name = f"{chance.getrandbits(64):x}"
            text = f"{name} " * chance.choice((1, 200))
            with tracer.start_as_current_span("call", attributes={"name": name, "text": text}):
                os.write(telling, f"{name}\n".encode())

    def problems(self) -> list[str]:
        """Take in what is left, and compare what stands in the logs with what was acknowledged."""
        folder = log_in(self.repository)
        take_in(folder)
        problems = [f"waits: {path.name}" for path in (folder / "spool").glob("*.json")]
        prompts: Counter[str] = Counter()
        with thence.open(folder) as log:
            log.recover()
            problems += map(str, log.verify().findings)
            events = [*log.read()]
        last = max((n for n, e in enumerate(events) if e.event_type == "prompt"), default=-1)
        ended = {event.ends for event in events}
        for number, event in enumerate(events):
            if event.event_type == "prompt":
                prompts[event.payload["prompt"].split()[0]] += 1
            elif event.event_type == "tool.begun":
                prompts[str(event.subject).removeprefix("tool/")] += 1
                if number < last and event.event_id not in ended:
                    problems.append(f"never ended: {event.subject}")
        ends = Counter(event.ends for event in events if event.ends)
        problems += [f"ended twice: {name}" for name, times in ends.items() if times > 1]
        files = [*folder.glob("events*.jsonl"), *folder.glob("bodies*")]
        problems += [f"unmasked: {file}" for file in files if SECRET.encode() in file.read_bytes()]
        with thence.open(self.spans) as log:
            log.recover()
            problems += map(str, log.verify().findings)
            begun = {event.payload["attributes"]["name"] for event in log.read() if event.begins}
        problems += [f"lost: {text[:20]}" for text in self.prompts - prompts.keys()]
        problems += [f"doubled: {text[:20]}" for text, count in prompts.items() if count > 1]
        return problems + [f"span lost: {name}" for name in self.begun - begun]


def campaign(folder: Path, seed: int, kills: int) -> tuple[list[str], Counter[str]]:
    """Go on until so many processes were killed; return the broken promises and what was seen."""
    running = Campaign(folder, random.Random(seed))
    while running.seen["kills"] < kills:
        running.round()
        if running.chance.random() < 0.05 and (problems := running.problems()):
            return problems, running.seen
    running.seen["spans acknowledged"] = len(running.begun)
    return running.problems(), running.seen


def main(kills: int, seed: int) -> int:
    """Soak, and print what was seen."""
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".soak-") as folder:
        problems, seen = campaign(Path(folder), seed, kills)
    print(dict(seen), *problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    named = [int(text) for text in sys.argv[1:]]
    sys.exit(main(named[0], named[1] if len(named) > 1 else random.randrange(2**32)))
