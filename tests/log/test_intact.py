"""A log without anything odd is read at once as the reader reads it; any other is refused."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.twins import events_of
from tests.events import NODE, causal_graphs, drafted, line_of, new_id, stamped
from tests.log.damaged import current, lines_in, made, rewrite

import thence
from thence.core.diff.log_side import side
from thence.core.values.codec import have_valid_crcs
from thence.core.values.vocabulary import PLAIN, SIM
from thence.inspection.intact import intact_side
from thence.log.read import reader
from thence.log.storage.disk import OS_DISK


def read(folder):
    return list(reader.events(OS_DISK, folder, PLAIN))


def intact(folder):
    return intact_side(OS_DISK, folder, PLAIN)


def is_as_the_reader_reads_it(folder):
    """Tell whether a log is laid out as it is from the events that the reader yields."""
    found, expected = intact(folder), side(read(folder))
    assert events_of(found) == events_of(expected)
    return found[:4] == expected[:4]


def sealed(line):
    """Give a line without its checksum one that fits."""
    return b'%b,"crc":"%08x"}\n' % (line, zlib.crc32(line))


def test_intact_log_is_read_as_the_reader_reads_it(tmp_path):
    folder = made(tmp_path / "log")
    current(folder).rename(folder / "events_2026-11-20_07-13-05-000001.jsonl")
    with thence.open(folder) as log:
        log.append("noted", {"n": 6}, subject="s", actor="ada", caused_by=["0" * 26])
    assert is_as_the_reader_reads_it(folder)
    assert len(intact(folder).contents) == 7


def test_log_without_events_is_intact(tmp_path):
    assert list(intact(tmp_path).contents) == []
    current(tmp_path).touch()
    assert list(intact(tmp_path).contents) == []


HEAD = b'{"event_id":"A","event_type":"t","event_version":1,"timestamp":"","node_id":"n"'
NUMBERED = HEAD + b',"seq":1,"lamport_clock":1'
ODD = {
    "half a line": b'{"event_id":"x',
    "a whole event without its newline": line_of()[:-1],
    "a line of another tool": b'{"event_id":"x","event_type":"t"}\n',
    "an empty line": b"\n",
    "a line with a wrong checksum": line_of().replace(b"noted", b"nated"),
    "a byte order mark": b"\xef\xbb\xbf" + line_of(),
    "a member of a wrong type": sealed(NUMBERED + b',"actor":7'),
    "bytes that are no UTF-8": sealed(NUMBERED + b',"payload":{"a":"\xff"}'),
    "a line nested too deep": sealed(NUMBERED + b',"payload":' + b"[" * 250 + b"]" * 250),
    "a node that is no text": sealed(NUMBERED.replace(b'"n"', b"7")),
    "a number that no log gives": sealed(HEAD + b',"seq":0,"lamport_clock":1'),
    "a clock beyond its limit": sealed(HEAD + b',"seq":1,"lamport_clock":9007199254740992'),
    "a line that holds no event": sealed(b'{"a":1'),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_log_with_anything_odd_in_it_is_left_to_the_reader(tmp_path, odd):
    folder = made(tmp_path / "log")
    rewrite(folder, *lines_in(folder), odd)
    assert intact(folder) is None


def test_lines_that_are_odd_in_one_thing_alone_have_checksums_that_fit():
    assert have_valid_crcs([line[:-1] for line in ODD.values() if b'"A"' in line])


def test_log_that_holds_an_id_twice_is_left_to_the_reader(tmp_path):
    folder = made(tmp_path / "log")
    rewrite(folder, *lines_in(folder), lines_in(folder)[0])
    assert intact(folder) is None
    assert len(read(folder)) == len(lines_in(folder)) - 1


@settings(deadline=None)
@given(causal_graphs(), st.lists(st.sampled_from(list(ODD.values())), max_size=1))
def test_what_is_returned_is_what_the_reader_yields(tmp_path_factory, events, odd):
    folder = tmp_path_factory.mktemp("log")
    rewrite(folder, *(event.line + b"\n" for event in events), *odd)
    assert (intact(folder) is None) == bool(odd)
    if not odd:
        assert is_as_the_reader_reads_it(folder)


@settings(deadline=None)
@given(causal_graphs(), st.randoms(use_true_random=False))
def test_events_of_several_nodes_are_put_in_total_order(tmp_path_factory, events, chance):
    folder = tmp_path_factory.mktemp("log")
    chance.shuffle(events)
    rewrite(folder, *(event.line + b"\n" for event in events))
    assert is_as_the_reader_reads_it(folder)


def test_notices_are_left_out_and_the_events_of_the_others_found(tmp_path):
    folder = made(tmp_path / "log")
    lines = lines_in(folder)
    number = len(lines) + 1
    for kind in ("log.recovered", "noted"):
        lines.append(stamped(drafted(new_id(), kind, {}), number, number, NODE))
        number += 1
    rewrite(folder, *lines)
    assert intact(folder).notices == 1
    assert is_as_the_reader_reads_it(folder)


def test_member_of_a_wrong_type_that_is_not_compared_counts_as_absent(tmp_path):
    folder = made(tmp_path / "log")
    odd = NUMBERED.replace(b'"timestamp":""', b'"timestamp":7') + b',"ends":[],"payload":{"n":1}'
    rewrite(folder, sealed(odd))
    assert is_as_the_reader_reads_it(folder)
    assert intact(folder).event_at(0).timestamp == ""


def test_lines_of_a_simulation_are_read_with_its_words(tmp_path):
    folder = made(tmp_path / "log")
    assert intact_side(OS_DISK, folder, SIM).event_at(0).vocabulary is SIM
