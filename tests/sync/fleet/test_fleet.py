"""A fleet from one seed ends with one history everywhere."""

import pytest
from tests.server.team.conftest import ENGINES
from tests.sync.fleet.fleet import STEPS, Fleet, Server, lines_of, played
from tests.tiers import tenth


@pytest.mark.promise("S12")
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("number", range(tenth(5, 1)))
@pytest.mark.whole
@pytest.mark.both_engines
def test_fleet_comes_to_one_history_with_each_event_once_and_none_lost(tmp_path, engine, number):
    seed = 20_000 + number + 5 * (engine == "postgres")
    fleet, found = played(tmp_path, tenth(STEPS, 300), seed)
    assert not found, "\n".join(found)
    assert len(fleet.counts) == 11, fleet.counts


def test_fleet_notices_an_acknowledged_event_that_is_gone(tmp_path):
    fleet = Fleet(tmp_path, 1)
    for _ in range(50):
        fleet.append()
        fleet.sync()
    assert fleet.heal() == []
    server = fleet.server
    fleet.server = Server(server.epoch, server.lines()[1:], server.pieces())
    for replica in fleet.replicas:  # and from each log, with what is known of digests
        replica.close()
        segment = replica.folder / "events.jsonl"
        (gone,) = set(lines_of(replica.folder)) - set(fleet.server.lines())
        segment.write_bytes(segment.read_bytes().replace(gone + b"\n", b""))
        replica.open()
    (fault,) = fleet.heal()
    assert "1 acknowledged events are lost" in fault
    fleet.close()
