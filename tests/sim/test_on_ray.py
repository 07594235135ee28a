"""What the workers of Ray need of the environment is sent, or said; without Ray, which CI soaks."""

import sys
from types import SimpleNamespace

import pytest
from tests.sim.models.village import written

from thence.sim.again.on_ray import RayPlayer, play_on_ray
from thence.sim.again.sweep import Sweep, keep_plan, make_plan

NO_KEY = "could not use endpoint local: OTHER_KEY is not set, which holds its key"


class FakeRay:
    """The part of Ray that a sweep uses: each task answers with the fault `told`."""

    def __init__(self, told=""):
        self.told, self.tasks, self.terms = told, [], {}
        self.exceptions = SimpleNamespace(RayError=RuntimeError)

    def init(self, **terms):
        self.terms = terms

    def shutdown(self):
        self.terms |= {"is_down": True}

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, **_):
        return lambda play: SimpleNamespace(remote=self.tasks.append)

    def get(self, _):
        return self.told

    def cancel(self, _):
        pass


@pytest.fixture
def sweep(tmp_path):
    scenario = written(tmp_path / "village", "http://127.0.0.1:9/v1")
    plan = make_plan(scenario, {}, [1, 2])
    return Sweep(keep_plan(tmp_path / "swept", plan), tmp_path / "swept", lambda completed: None)


@pytest.mark.parametrize("address", ["ray://cluster:10001", None])
def test_sweep_is_played_on_a_cluster_or_on_this_machine(sweep, address, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", ray := FakeRay())
    play_on_ray(sweep, None, address)
    assert ray.terms.get("address") == (address or "local")
    assert (len(ray.tasks), sweep.completed, sweep.faults) == (2, 2, {})
    assert ray.terms["is_down"]


def test_variable_that_lacks_on_a_worker_says_where_to_set_it():
    fault = RayPlayer(FakeRay(NO_KEY)).play(None)
    assert fault == f"{NO_KEY} where Ray runs it: set it before `ray start`, on each machine"
    assert RayPlayer(FakeRay("the pencil broke")).play(None) == "the pencil broke"
