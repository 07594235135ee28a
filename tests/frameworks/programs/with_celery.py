"""Celery: a task that is called in a span, eagerly or by a worker in a process of its own."""

import subprocess
import sys
from pathlib import Path

import page
from celery import Celery

SCENE = sys.argv[1]
names = page.recorded("Celery")
log, provider = names["log"], names["provider"]
tracer = provider.get_tracer("shop")
folder = Path("broker")
folder.mkdir(exist_ok=True)
app = Celery("shop", broker="filesystem://", backend=f"file://{Path('results').absolute()}")
Path("results").mkdir(exist_ok=True)
app.conf.broker_transport_options = {
    "data_folder_in": str(folder),
    "data_folder_out": str(folder),
    "control_folder": str(folder / "control"),
}
app.conf.task_always_eager = SCENE == "eager"


@app.task(name="pay")
def pay(order: int) -> str:
    log.append("money.sent", {"order": order})
    with tracer.start_as_current_span("gateway"):
        pass
    return f"{order} is paid"


if SCENE == "worker":
    app.worker_main(
        [
            "worker",
            "--pool",
            "solo",
            "--loglevel",
            "ERROR",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
else:
    worker = None
    if SCENE == "apart":
        worker = subprocess.Popen([sys.executable, __file__, "worker"])
    try:
        with tracer.start_as_current_span("order 881"):
            result = pay.delay(881)
            assert result.get(timeout=60) == "881 is paid"
    finally:
        if worker is not None:
            worker.terminate()
            worker.wait(60)
    log.append("after")
    log.close()
