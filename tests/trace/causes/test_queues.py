"""Causes reach the jobs of Celery, RQ and arq by the hooks that the guide on queues shows."""

import re
import sys
from pathlib import Path

import pytest
from tests.cli.installed import begin, in_python, ran
from tests.log.committers import until
from tests.log.faults import WAIT_S
from tests.redis_server import redis_server

import thence

PAGE = Path(__file__).parents[3] / "docs/guides/program/causes-across-queues.md"
CELERY = """
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
RQ = """
import rq, rq.job
from redis import Redis
import thence
HOOKS
def pack(shelf):
    with thence.open("log") as log:
        count = sum(event.payload.get("shelf") == shelf for event in log.read())
        log.append("packed", {"shelf": shelf})
    if shelf == "retried" and not count:
        raise ValueError("again")

def submit():
    queue = rq.Queue(connection=Redis(unix_socket_path="SOCKET"), job_class=CausedJob)
    with thence.open("log") as log:
        for name in ("first", "retried", "second"):
            with thence.step(name, log=log):
                queue.enqueue(pack, name, retry=rq.Retry(max=1), meta={"own": name})
    queue.enqueue(pack, "none")
"""
ARQ = """
import asyncio, pickle
from contextvars import ContextVar
import arq
import arq.connections
import thence
HOOKS
redis = arq.connections.RedisSettings(unix_socket_path="SOCKET")

async def pack(ctx, shelf):
    with thence.open("log") as log:
        log.append("packed", {"shelf": shelf})
    if shelf == "retried" and ctx["job_try"] == 1:
        raise arq.Retry(defer=0)

class Settings:
    functions = [pack]
    redis_settings = redis
    job_serializer, job_deserializer = staticmethod(send), staticmethod(receive)
    on_job_start = begin

async def submit_all():
    pool = await arq.create_pool(redis, job_serializer=send)
    with thence.open("log") as log:
        for name in ("first", "retried", "second"):
            with thence.step(name, log=log):
                await pool.enqueue_job("pack", name)
    await pool.enqueue_job("pack", "none")
    await pool.aclose()

def submit():
    asyncio.run(submit_all())
"""


def hooks(sign: str) -> str:
    """Returns the hooks that the page shows for a library, which hold a sign."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if sign in block)
    return str(block)


def submit(folder: Path, program: str, sign: str) -> None:
    """Writes a module of jobs, and submits them from a process of their own."""
    (folder / "jobs.py").write_text(program.replace("HOOKS", hooks(sign)))
    submitted = in_python("import jobs; jobs.submit()", cwd=folder)
    assert submitted.code == 0, submitted.err


def causes(folder: Path) -> tuple[list[tuple[str, tuple[str, ...]]], dict[str, str]]:
    """Returns what was packed, each with its causes, and the begins of the steps by their names."""
    with thence.open(folder / "log") as log:
        events = list(log.read())
    packed = [event for event in events if event.event_type == "packed"]
    begun = {event.event_type.removesuffix(".begun"): event.event_id for event in events}
    return sorted((event.payload["shelf"], event.caused_by) for event in packed), begun


@pytest.mark.promise("A3")
def test_task_of_celery_has_the_cause_of_its_own_submission(tmp_path: Path) -> None:
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    submit(tmp_path, CELERY, "task_prerun")
    argv = ["celery", "-A", "jobs", "worker", "--pool", "prefork", "--concurrency", "1"]
    argv += ["--without-gossip", "--without-mingle", "--loglevel", "ERROR"]
    worker = begin(sys.executable, "-m", *argv, cwd=tmp_path)
    try:
        until(lambda: len(causes(tmp_path)[0]) == 3)
    finally:
        worker.terminate()
        _, said = worker.communicate(timeout=WAIT_S)
    packed, begun = causes(tmp_path)
    assert "raised" not in said, "a hook failed, which Celery logs alone"
    assert packed == [("first", (begun["first"],)), ("none", ()), ("second", (begun["second"],))]


@pytest.mark.rest
@pytest.mark.promise("A3")
@pytest.mark.parametrize("library", ["rq", "arq"])
def test_job_on_redis_has_the_cause_of_its_own_submission_at_each_try(tmp_path, library):
    with redis_server() as socket:
        if library == "rq":
            submit(tmp_path, RQ.replace("SOCKET", str(socket)), "CausedJob")
            argv = ["rq.cli", "worker", "--burst", "--url", f"unix://{socket}"]
            argv += ["--job-class", "jobs.CausedJob", "--path", "."]
        else:
            submit(tmp_path, ARQ.replace("SOCKET", str(socket)), "ContextVar")
            argv = ["arq", "--burst", "jobs.Settings"]
        done = ran(sys.executable, "-m", *argv, cwd=tmp_path)
    packed, begun = causes(tmp_path)
    retried = ("retried", (begun["retried"],))
    expected = [("first", (begun["first"],)), ("none", ()), retried, retried]
    assert packed == [*expected, ("second", (begun["second"],))], done.err
