"""A team as version 2 of the wire left it goes on over version 3, and keeps what it parked.

ada has two lines that seem to hold secrets; she has let the first one be sent, and no round was run
since. bob has parked a line of the server whose clock is too far ahead for his log, which counts
twenty twins of one event once. Each has appended one more line that no server has. The keys are of
this test alone.
"""

from pathlib import Path

import pytest
from tests.golden.test_team_v1 import USERS, events_of, kept_team, run

import thence
from thence.log.read.reader import raw_lines
from thence.replica import OS_DISK

ARCHIVE = Path(__file__).parent / "team-v2" / "team.tar.xz"
LET_OUT, SECRET = "01M8A4AFAT00000007KB4N4Y75", "01M8A4AFAZ00000008KB4N4Y75"
TOO_FAR = "01M8A4AGK00000000FKB4N4Y75"


@pytest.fixture
def team(tmp_path):
    with kept_team(ARCHIVE, tmp_path) as folder:
        yield folder


def parked(team, user):
    rows = run(team, user, "sync", "parked", "--log", "orders", "--json").json["parked"]
    return [(row["direction"], row["event_id"], row["is_secret"]) for row in rows]


def lines_of(team, user):
    return sorted(line for _, line, _ in raw_lines(OS_DISK, team / user / "orders"))


@pytest.mark.promise("S12", "S10a")
def test_clones_of_the_former_wire_lose_and_double_nothing_and_keep_what_is_parked(team):
    kept = [("push", SECRET, True)]
    assert parked(team, "ada") == kept
    assert parked(team, "bob") == [("pull", TOO_FAR, False)]
    assert not list(team.glob("*/orders/.thence/sync/held.db"))
    before = {line for user in USERS for line in lines_of(team, user)}
    for user in (*USERS, *USERS):
        run(team, user, "sync", "now", "--log", "orders")
    assert parked(team, "ada") == kept
    assert ("pull", TOO_FAR, False) in parked(team, "bob")
    with thence.open(team / "bob" / "orders", create=False) as log:
        log.append_many([{"event_type": "noted"}] * 20)
    for user in (*USERS, *USERS):
        run(team, user, "sync", "now", "--log", "orders")
    assert parked(team, "bob") == [], "its clock is no longer too far ahead"
    ada, bob = (lines_of(team, user) for user in USERS)
    (secret,) = (event.line for event in events_of(team, "ada") if event.event_id == SECRET)
    assert set(ada) - {secret} == set(bob)
    assert (len(ada), len(bob)) == (len(set(ada)), len(set(bob)))
    assert before <= set(ada)
    assert {LET_OUT, TOO_FAR} <= {event.event_id for event in events_of(team, "bob")}
    assert parked(team, "ada") == kept
    for user in USERS:
        with thence.open(team / user / "orders", create=False) as log:
            codes = {each.code for each in log.verify().findings}
            # the twins', and at bob's the line that was kept back
            assert codes == (
                {"two_contents", "events_absent"} if user == "bob" else {"two_contents"}
            )
