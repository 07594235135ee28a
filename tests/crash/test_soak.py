"""The soak runs each part to its end, and fails when one of them does."""

from importlib.util import find_spec

from tests.crash import soak


def test_parts_are_modules_that_are_there():
    assert all(find_spec(module) for module, *_ in soak.PARTS.values())


def test_soak_goes_on_behind_a_broken_part_and_tells_of_it(monkeypatch, capfd):
    parts = {"bad": ("tests.crash.no_such_part",), "good": ("this",)}
    monkeypatch.setattr(soak, "PARTS", parts)
    assert soak.main([]) == 1
    told = capfd.readouterr().out
    assert "bad: BROKEN (exit code 1)" in told
    assert "good: kept" in told
    assert told.endswith("broken: bad\n")
    assert soak.main(["good"]) == 0
    assert capfd.readouterr().out.endswith("all promises were kept\n")


def test_parts_try_what_the_tests_of_the_tiers_try_a_tenth_of(monkeypatch, capfd):
    monkeypatch.delenv("THENCE_WHOLE", raising=False)
    argv = ("timeit", "-n1", "-r1", "from tests import tiers; print(tiers.tenth('all', 'few'))")
    monkeypatch.setattr(soak, "PARTS", {"tests": argv})
    assert soak.main(["tests"]) == 0
    assert "all" in capfd.readouterr().out.splitlines()


def test_part_that_this_machine_cannot_run_is_named_and_breaks_nothing(monkeypatch, capfd):
    monkeypatch.setattr(soak, "PARTS", {"agents": ("tests.trace.agents.real", "no-such-scenario")})
    assert soak.main([]) == 0
    assert "agents: NOT RUN" in (told := capfd.readouterr().out)
    assert "not run: agents" in told


def test_part_that_is_not_there_is_named(capfd):
    assert soak.main(["kills", "storms"]) == 2
    assert "no part storms; there are kills" in capfd.readouterr().err
