"""Causes reach the tasks of Celery by its own hooks, as docs/concepts/cause.md has them."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.installed import environment
from tests.log.faults import WAIT_S

import thence

PAGE = Path(__file__).parents[1] / "docs/concepts/cause.md"
PROGRAM = """
import sys
from celery import Celery
from celery.signals import before_task_publish, task_postrun, task_prerun
import thence

app = Celery(broker="filesystem://", set_as_current=True)
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"
}
HOOKS
@app.task
def pack(shelf):
    with thence.open("log") as log:
        log.append("packed", {"shelf": shelf})

def submit():
    with thence.open("log") as log:
        for name in ("first", "second"):
            with thence.step(name, log=log):
                pack.delay(name)
    pack.delay("none")
"""


@pytest.mark.promise("A3")
def test_task_of_celery_has_the_cause_of_its_own_submission(tmp_path: Path) -> None:
    (hooks,) = re.findall(r"```python continued\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "jobs.py").write_text(PROGRAM.replace("HOOKS", hooks))
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    run = {"cwd": tmp_path, "env": environment()}
    subprocess.run(
        [sys.executable, "-c", "import jobs; jobs.submit()"], check=True, timeout=WAIT_S, **run
    )
    argv = ["-m", "celery", "-A", "jobs", "worker", "--pool", "prefork", "--concurrency", "1"]
    worker = subprocess.Popen(
        [sys.executable, *argv, "--without-gossip", "--without-mingle", "--loglevel", "ERROR"],
        **run,
    )
    try:
        with thence.open(tmp_path / "log") as log:
            deadline = time.monotonic() + WAIT_S
            while len(packed := [e for e in log.read() if e.event_type == "packed"]) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            begun = {e.event_type: e.event_id for e in log.read() if e.begins}
    finally:
        worker.terminate()
        worker.wait(WAIT_S)
    causes = {event.payload["shelf"]: event.caused_by for event in packed}
    assert causes == {
        "first": (begun["first.begun"],),
        "second": (begun["second.begun"],),
        "none": (),
    }
