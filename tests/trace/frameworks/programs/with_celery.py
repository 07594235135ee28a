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


POOLS = {"apart": "solo", "forked": "prefork"}
if SCENE == "worker":
    pool = ("--pool", sys.argv[2], "--concurrency", "2", "--loglevel", "ERROR")
    app.worker_main(["worker", *pool, "--without-gossip", "--without-mingle"])
    sys.exit()
worker = None
if pool := POOLS.get(SCENE):
    worker = subprocess.Popen([sys.executable, __file__, "worker", pool])
try:
    with tracer.start_as_current_span("order 881"):
        results = [pay.delay(order) for order in (881, 882, 883)]
        for result in results:
            assert result.get(timeout=60).endswith("is paid")
finally:
    if worker is not None:
        worker.terminate()
        worker.wait(60)
log.append("after")
log.close()
