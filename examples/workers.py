"""A queue of jobs worked off by processes: each job carries a token of what asked for it.

`python examples/workers.py [FOLDER]`
"""

import multiprocessing
import sys
from multiprocessing.queues import Queue
from typing import Any

import thence

WORKERS = 3
Job = dict[str, Any]


def work(folder: str, jobs: "Queue[Job | None]") -> None:
    """Takes jobs until the queue says that none comes."""
    with thence.open(folder) as log:
        while (job := jobs.get()) is not None:
            with (
                thence.carried(job["token"]),
                thence.step("resize", log=log, subject=f"image/{job['image']}") as step,
            ):
                step.set(pixels=job["image"] * 100)


def main(folder: str) -> None:
    """Puts jobs into the queue, each inside the step of the request that needs it."""
    jobs: Queue[Job | None] = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(folder, jobs)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    with thence.open(folder) as log:
        for image in range(1, 7):
            with thence.step("upload", log=log, subject=f"upload/{image}", actor="ada"):
                jobs.put({"image": image, "token": thence.carry()})
        for _ in processes:
            jobs.put(None)
        for process in processes:
            process.join()
        print(*log.why("image/3").sentences, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["images"])
