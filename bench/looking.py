"""What a page over a million events costs in a tab, and its answers: `python -m bench.looking`.

A log of 1,000,000 events by 9,998 actors, with 250,000 steps and 2,540 failures, is indexed, served
and opened in headless Chromium; so are one of 5,000,000 events and a folder of 1,000 runs, of which
the first paint counts. Times are from the start of the load, at the second one; a frame is the time
between two while keys move the lanes; the memory is what the process of the tab holds alone (USS),
after the lanes were moved and zoomed.
"""

import itertools
import json
import re
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from playwright.sync_api import Browser, CDPSession
from tests.server.pages.browser import chromium, tab_of
from tests.server.runs import make_run
from tests.server.serving import Serving, serving

import thence
from bench.load import processor_s
from thence.core.new_event import HostEvent

EVENTS, LARGEST, ACTORS, FAILURES = 1_000_000, 5_000_000, 9_998, 2_540
RUNS = 1_000
TAB_MB, HEAP_MB, FRAME_MS, ANSWER_MS = 300, 20, 8.0, 300
PAINT_S, LARGEST_PAINT_S, STRIP_S, LANES_S = 0.5, 1.0, 0.7, 1.0
PAN_MS = 17.0
_BATCH, _FRAMES = 5_000, 120
_FIRST_PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime"""
_ANSWERED = """(part) => {
  const found = performance.getEntriesByType("resource").find((one) => one.name.includes(part));
  return found?.responseEnd;
}"""
# a recorder of the times of frames
_FRAMES_OF = """() => {
  window.frameTimes = [];
  const note = (time) => { window.frameTimes.push(time); requestAnimationFrame(note); };
  requestAnimationFrame(note);
}"""
ANSWERS = (
    "overview?axis=order", "overview?axis=time", "lanes", "lanes?from=0&to=500000",
    "lanes?from=500000&to=510000", "marks?from=500000&to=502000", "failures?after=500000",
    "look?type=note", "overview?axis=time&failed=1", "lanes?failed=0", "look?actor=worker-7",
)  # fmt: skip


def make(folder: Path, events: int) -> None:
    """Makes a log of so many events, with its index."""
    steps = events // 4
    with thence.open(folder) as log:
        for start in range(0, events, _BATCH):
            batch = []
            for number in range(start, start + _BATCH):
                step, part = divmod(number, 4)
                actor = f"worker-{step * 7919 % ACTORS}"
                is_bad = part == 2 and step % (steps // FAILURES) == 0
                kind = (
                    "task.failed" if is_bad else ("task.begun", "call", "note", "task.done")[part]
                )
                batch.append(
                    HostEvent(kind, {"n": number}, f"task/{step}", actor, begins=part == 0)
                )
            log.append_many(batch)
        log.rebuild()


def metric(channel: CDPSession, name: str) -> float:
    """Returns a figure of the browser about the tab."""
    metrics = channel.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == name))


def own_mb() -> float:
    """Returns what the largest process of a tab on this machine holds alone."""
    sizes = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                text = (process / "smaps_rollup").read_text()
                sizes.append(sum(map(int, re.findall(r"Private_\w+: +(\d+) kB", text))))
    return max(sizes) / 1e3


def row(name: str, measured: str, target: str, is_reached: bool) -> None:
    """Prints one row of the table."""
    print(f"{name:<58} {measured:>12} {target:>10}  {'reached' if is_reached else 'NOT REACHED'}")


def tab_rows(browser: Browser, server: Serving) -> None:
    """Prints what the tab costs."""
    with tab_of(browser, server.url) as tab:
        channel = tab.page.context.new_cdp_session(tab.page)
        channel.send("Performance.enable")
        tab.go("/runs/big")
        for name, part, target in (("strip", "/overview?", STRIP_S), ("lanes", "/lanes?", LANES_S)):
            took_s = tab.wait(lambda part=part: tab.run(_ANSWERED, part)) / 1e3
            row(f"the {name} came", f"{took_s:.2f} s", f"{target} s", took_s <= target)
        tab.page.focus(".look-lanes canvas")
        before_s = metric(channel, "ScriptDuration")
        keys = ("+", "ArrowRight", "ArrowLeft", "ArrowDown", "+", "ArrowRight", "-", "f")
        for number in range(_FRAMES):
            tab.page.keyboard.press(keys[number % len(keys)])
        time.sleep(2)
        frame_ms = (metric(channel, "ScriptDuration") - before_s) * 1e3 / _FRAMES
        row("script for a key and its frames", f"{frame_ms:.1f} ms", "8 ms", frame_ms <= FRAME_MS)
        tab.run(_FRAMES_OF)
        for number in range(_FRAMES):
            tab.page.keyboard.press(("ArrowRight", "ArrowLeft")[number // 30 % 2])
        times = tab.run("window.frameTimes")
        apart = [after - before for before, after in itertools.pairwise(times)]
        pan_ms = statistics.quantiles(apart, n=20)[-1]
        row("a frame while the lanes move, p95", f"{pan_ms:.1f} ms", "17 ms", pan_ms <= PAN_MS)
        heap_mb, tab_mb = metric(channel, "JSHeapUsedSize") / 1e6, own_mb()
        row("the tab's process", f"{tab_mb:.0f} MB", f"{TAB_MB} MB", tab_mb <= TAB_MB)
        row("heap of the script", f"{heap_mb:.0f} MB", f"{HEAP_MB} MB", heap_mb <= HEAP_MB)


def paint_row(browser: Browser, server: Serving, name: str, address: str, target: float) -> None:
    """Prints when a page is painted first."""
    with tab_of(browser, server.url) as tab:
        for _ in range(2):
            tab.go(address)
            paint_s = tab.wait(lambda: tab.run(_FIRST_PAINT)) / 1e3
            tab.wait(lambda: "Not ready yet" not in tab.page.title())
        row(f"first paint, {name}", f"{paint_s:.2f} s", f"{target} s", paint_s <= target)


def answer_rows(server: Serving) -> None:
    """Prints what answers take of the server's processor."""
    used_s = partial(processor_s, server.process.pid)
    with urlopen(f"{server.url}/logs/big/lanes") as answer:
        lanes = ",".join(str(lane) for lane, *_ in json.load(answer)["lanes"][:20])
    words = "/runs/big?words=note+77"
    begun_s = time.monotonic()
    while True:
        with suppress(HTTPError), urlopen(server.url + words):
            break
        time.sleep(1)  # as the page does that says how far it is
    print(f"words of all events read in {time.monotonic() - begun_s:.0f} s")
    pages = ("/runs/big", words, "/")
    asked_paths = [f"/logs/big/{asked}" for asked in ANSWERS]
    for asked in (*pages, *asked_paths, f"/logs/big/tiles?level=12&tile=0&lanes={lanes}"):
        before_s = used_s()
        for _ in range(5):
            with urlopen(server.url + asked) as answer:
                answer.read()
        took_ms = (used_s() - before_s) * 1e3 / 5
        name = asked.partition("&lanes")[0]
        row(name, f"{took_ms:.0f} ms", f"{ANSWER_MS} ms", took_ms <= ANSWER_MS)


def main() -> int:
    """Prints all rows."""
    with tempfile.TemporaryDirectory() as place:
        begun_s = time.monotonic()
        make(Path(place, "logs", "big"), EVENTS)
        print(f"{EVENTS:,} events made and indexed in {time.monotonic() - begun_s:.0f} s")
        make(Path(place, "logs", "largest"), LARGEST)
        for number in range(RUNS):
            make_run(Path(place, "runs"), f"run-{number}", count=30)
        with chromium() as browser:
            with serving(Path(place, "logs")) as server:
                paint_row(browser, server, f"{EVENTS:,} events", "/runs/big", PAINT_S)
                paint_row(browser, server, f"{LARGEST:,} events", "/runs/largest", LARGEST_PAINT_S)
                tab_rows(browser, server)
                answer_rows(server)
            with serving(Path(place, "runs")) as server:
                paint_row(browser, server, f"home of {RUNS:,} runs", "/", PAINT_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
