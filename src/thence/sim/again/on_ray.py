"""The runs of a sweep on Ray, with the folder of the sweep at the same path on each machine."""

import logging
import sys
from contextlib import redirect_stdout, suppress
from typing import Any

from thence.errors import needs_extra
from thence.sim.again.sweep import RunTask, Sweep, play_task


class RayPlayer:
    """A player in a process that Ray chooses."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote = ray.remote(num_cpus=1, max_retries=0)(play_task)
        self._reference: Any = None

    def play(self, task: RunTask) -> str | None:
        """Plays a run, as `Player` says."""
        self._reference = self._remote.remote(task)
        with suppress(self._ray.exceptions.RayError):
            fault = str(self._ray.get(self._reference))
            where = " where Ray runs it: set it before `ray start`, on each machine"
            return fault + where * ("is not set" in fault)
        return None

    def stop(self) -> None:
        """Interrupts the run."""
        if self._reference is not None:
            self._ray.cancel(self._reference)


def play_on_ray(sweep: Sweep, jobs: int | None, address: str | None) -> None:
    """Plays the runs of a sweep on the cluster at an address, else in processes of this machine.

    At most `jobs` are played at once; None is as many as fit. Raises ExtraMissing without Ray,
    ConnectionError where no cluster answers, and as `Sweep.play`.
    """
    with needs_extra("ray", "ray"):
        import ray
    here = {"address": "local", "num_cpus": jobs, "include_dashboard": False}
    place: dict[str, Any] = {"address": address} if address else here
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with redirect_stdout(sys.stderr):  # Ray reports there what died
        ray.init(**place, **quiet)
        try:
            nodes: Any = ray.cluster_resources  # which brings no types
            count = jobs or max(1, int(nodes().get("CPU", 1)))
            sweep.play([RayPlayer(ray) for _ in range(min(count, len(sweep.waiting)))])
        finally:
            ray.shutdown()
