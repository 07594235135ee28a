"""Commands that list events hold few of them at once, however large the log is."""

import subprocess
import sys
from itertools import pairwise

import pytest
from tests.cli.installed import THENCE, environment
from tests.events import new_id

import thence
from thence.core.codec import draft, stamper
from thence.core.event import EventFields

EVENTS = 50_000
LIMIT_KIB = 64 * 1024  # held whole they take 90
WHEN = "2026-11-20T07:13:00.123456Z"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Make a log of 50,000 events in a chain, all but the first without the log's own door."""
    folder = tmp_path_factory.mktemp("large")
    with thence.open(folder) as log:
        first = log.append("begun")
    ids = [first.event_id, *(new_id() for _ in range(EVENTS - 1))]
    text = "some text of a usual length, which an agent wrote about what it did" * 2
    drafts = [
        draft(
            EventFields(
                event_id,
                "order.failed" if number % 3 else "order.placed",
                1,
                WHEN,
                (cause,),
                subject=f"order/{number % 1000}",
                actor=f"worker-{number % 7}",
                payload={"number": number, "text": text},
            )
        )
        for number, (cause, event_id) in enumerate(pairwise(ids))
    ]
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b"".join(stamper(first.node_id)(drafts, 2, 2)))
    return folder


# what a process held before it becomes another program counts as that program's: so a small one
MEASURE = """
import os, sys
process = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def ran(folder, *arguments):
    """Run a command; return how many lines it wrote, and its peak memory in KiB."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", MEASURE, THENCE, *arguments, "--log", folder],
        capture_output=True,
        env=environment(),
        check=True,
    )
    return done.stdout.count(b"\n"), int(done.stderr.split()[-1])


@pytest.mark.promise("Q7")
def test_large_log_is_listed_in_little_memory(large):
    for arguments, lines in (
        (("log", "--json"), EVENTS),  # it makes the index too
        (("log", "--type", "order.placed"), EVENTS // 3),
        (("log", "--limit", "20000", "--json"), 20_000),
        (("log", "--last", "10000", "--json"), 10_000),
        (("tail", "-n", str(EVENTS), "--json"), EVENTS),
        (("export", "--csv", "--actor", "worker-3"), EVENTS // 7),
        (("show", "@last"), 10),
        (("why", "@last", "--json"), 1),
        (("effects", "@last", "--json"), 1),
    ):
        written, peak = ran(large, *arguments)
        assert written >= lines, arguments
        assert peak <= LIMIT_KIB, arguments
