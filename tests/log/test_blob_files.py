"""Large values: kept once, as durable as the line that names them, whole for each reader."""

import errno
import json
import os
import pickle
import signal
import sys
from copy import deepcopy
from functools import partial
from hashlib import sha256
from pathlib import Path
from subprocess import run as run_process
from threading import Event as Signal

import pytest
from tests.codes import raises_code
from tests.disks import BROKEN, Scripted
from tests.log.processes import ran

import thence
from thence.core.bodies import BODIES_FROM, BodyMissing
from thence.core.codec import LINE_BYTES_MAX, close_line
from thence.core.new_event import HostEvent
from thence.core.redaction import Redaction, digests, redacted
from thence.errors import EventTooLarge, IdReused, InvalidEvent, LogFull, NotALog
from thence.log.blobs.blob_files import Bodies, piece_of
from thence.log.files.disk import OS_DISK, Disk, DiskError
from thence.log.files.segment import BODIES, older_names
from thence.log.open import Log, LogSettings, open_host_log
from thence.sim.record.events import Event
from thence.sim.record.writer import EventWriter

opened = partial(thence.open, bodies_from=BODIES_FROM)
PROMPT = "".join(f'line {number} of a prompt: é 漢字 😀 "quoted"\n' for number in range(500))
SECRET = "swordfish"
SECRET_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
KIND = "asked"


def on(disk: Disk, folder: Path) -> Log:
    """Opens a log that cuts large values, on a disk."""
    return open_host_log(folder, settings=LogSettings(bodies_from=BODIES_FROM), disk=disk)


def pieces(folder: Path) -> list[bytes]:
    """Returns the lines of large values, oldest first."""
    paths = [folder / name for name in (*older_names(OS_DISK, folder, BODIES), BODIES)]
    return [
        line for path in paths if path.exists() for line in path.read_bytes().split(b"\n") if line
    ]


def redact(log: Log, event: thence.Event) -> int:
    line = log.get(event.event_id).line
    return log.redactions.take_back([Redaction(event.event_id, digests(line).line.hex())])


def messages(count: int, characters: int = 300) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"message {number} " + chr(97 + number % 26) * characters}
        for number in range(count)
    ]


@pytest.mark.promise("A6")
def test_large_text_is_whole_in_another_process(tmp_path):
    with opened(tmp_path) as log:
        event = log.append(KIND, {"prompt": PROMPT, "tokens": 12})
        assert event.payload == {"prompt": PROMPT, "tokens": 12}
    assert len(event.line) < 700
    assert event.members["payload"]["prompt"] == PROMPT[:120]
    code = (
        f"import thence; log = thence.open({str(tmp_path)!r}, create=False);"
        "print([e.payload['prompt'] for e in log.read()][0], end='')"
    )
    assert ran(code).stdout == PROMPT
    assert opened(tmp_path).verify().findings == ()


def test_line_names_each_value_by_its_place_digest_and_size(tmp_path):
    with opened(tmp_path) as log:
        big = "x" * 2_000
        payload = {"a/b~": {"deep": big}, "list": [1, "y" * 1_100], "small": [1, "z"], "text": big}
        event = log.append(KIND, payload)
        assert event.payload == payload
        assert list(event.payload) == list(payload)
    digest = sha256(big.encode()).hexdigest()
    listed = json.dumps(payload["list"], separators=(",", ":")).encode()[:-1]
    assert event.members["bodies"] == [
        ["/a~1b~0/deep", digest, 2_000],
        ["/list", sha256(listed).hexdigest(), len(listed)],
        ["/text", digest, 2_000],
    ]
    assert event.members["payload"]["list"] == ["y" * 120]
    assert len(pieces(tmp_path)) == 2


def test_known_value_is_not_written_again_by_this_or_another_session(tmp_path):
    for _ in range(2):
        with opened(tmp_path) as log:
            log.append(KIND, {"prompt": PROMPT})
            log.append(KIND, {"other": PROMPT, "n": 1})
    assert len(pieces(tmp_path)) == 1


@pytest.mark.promise("A6")
def test_list_and_text_that_grow_cost_what_they_grow_by(tmp_path):
    with opened(tmp_path) as log:
        for count in range(4, 60):
            log.append(KIND, {"messages": messages(count), "text": PROMPT[: 400 * count]})
        last = log.query(last=1).events[0]
        assert last.payload == {"messages": messages(59), "text": PROMPT[: 400 * 59]}
    whole = len(json.dumps(messages(59))) + len(PROMPT.encode())
    assert (tmp_path / BODIES).stat().st_size < 2 * whole


def test_values_that_part_share_what_they_begin_with(tmp_path):
    with opened(tmp_path) as log:
        common = messages(8)
        log.append(KIND, {"messages": common})
        before = (tmp_path / BODIES).stat().st_size
        for turn in "ab":
            log.append(KIND, {"messages": [*common, {"role": turn, "content": turn * 500}]})
        values = [event.payload["messages"][-1]["role"] for event in log.read()]
    assert values == ["user", "a", "b"]
    assert (tmp_path / BODIES).stat().st_size < before + 2 * 900
    assert [json.loads(line).get("before") is not None for line in pieces(tmp_path)] == [
        False,
        True,
        True,
    ]


def test_long_value_is_a_chain_of_pieces_at_ends_of_characters(tmp_path):
    value = "😀" * 200_000
    with opened(tmp_path) as log:
        log.append(KIND, {"text": "x" + value})
        assert log.query(last=1).events[0].payload["text"] == "x" + value
    assert [len(json.loads(line)["text"].encode()) for line in pieces(tmp_path)] == [
        256 * 1024 - 3,
        256 * 1024,
        256 * 1024,
        800_001 - 3 * 256 * 1024 + 3,
    ]


def test_log_is_of_format_1_with_and_without_large_values(tmp_path):
    info = tmp_path / ".thence" / "log.json"
    with opened(tmp_path) as log:
        log.append(KIND, {"prompt": "x" * 1_023})
        before = info.read_bytes()
        assert not (tmp_path / BODIES).exists()
        log.append(KIND, {"prompt": "x" * 1_024})
    assert info.read_bytes() == before
    assert json.loads(before)["format"] == 1
    for number in (0, 2):
        info.write_text(before.decode().replace('"format":1', f'"format":{number}'))
        with pytest.raises(NotALog, match=f"its format is {number}, this version reads 1"):
            opened(tmp_path)


@pytest.mark.parametrize(
    ("vocabulary", "at_least"), [("plain", None), ("sim", 1024), ("work", 1024)]
)
def test_lines_stay_whole_where_other_tools_read_them(tmp_path, vocabulary, at_least):
    with thence.open(tmp_path, vocabulary, bodies_from=at_least) as log:
        new = HostEvent(
            KIND,
            {"prompt": PROMPT},
            members={"aggregate_id": "x"} if vocabulary == "work" else None,
        )
        (event,) = log.append_many([new])
        assert event.line == event.whole_line
        assert PROMPT in json.loads(event.line)[log.vocabulary.payload_key]["prompt"]
    assert not (tmp_path / BODIES).exists()


@pytest.mark.promise("A6")
def test_values_are_cut_by_default_in_plain_logs_and_in_calls_of_models_alone(tmp_path):
    with thence.open(tmp_path / "plain") as log:
        assert log.append(KIND, {"text": PROMPT}).body_entries
    with thence.open(tmp_path / "whole", bodies_from=None) as log:
        assert not log.append(KIND, {"text": PROMPT}).body_entries
    with thence.open(tmp_path / "work", "work") as log:
        assert not log.append("WPCreated", {"text": PROMPT}).body_entries
    with EventWriter(tmp_path / "run", "run", "DETAIL", mode="sync") as writer:
        for error_type in ("llm_call", "other"):
            details = {"error_type": error_type, "status": "success", "prompt": PROMPT}
            writer.emit(Event(event_type="SYSTEM", simulation_id="run", details=details))
    with thence.open(tmp_path / "run", create=False) as log:
        calls = {one.payload["error_type"]: one for one in log.read()}
        assert {name for name, one in calls.items() if one.body_entries} == {"llm_call"}
        assert calls["llm_call"].payload["prompt"] == PROMPT


def test_bounds_are_refused(tmp_path):
    with pytest.raises(InvalidEvent, match="bodies_from is 255"):
        thence.open(tmp_path, bodies_from=255)
    with opened(tmp_path) as log:
        whole = log.append(KIND, {"text": "x" * (64 * 1024 * 1024 - 500)})
        assert len(whole.payload["text"]) == 64 * 1024 * 1024 - 500
        with pytest.raises(EventTooLarge, match="67108864"):
            log.append(KIND, {"text": "x" * 64 * 1024 * 1024})
        with pytest.raises(EventTooLarge, match=str(LINE_BYTES_MAX)):
            log.append(KIND, {str(number): "x" * 1_100 for number in range(6_000)})
        with pytest.raises(EventTooLarge, match=str(LINE_BYTES_MAX)):
            log.append(KIND, {str(number): "x" * 500 for number in range(6_000)})


@pytest.mark.promise("A6")
@pytest.mark.parametrize("spoil", ["remove", "change", "cut", "forge"])
def test_value_that_is_not_there_is_a_named_error_and_never_its_beginning(tmp_path, spoil):
    with opened(tmp_path) as log:
        event = log.append(KIND, {"prompt": PROMPT, "n": 1})
        log.append(KIND, {"n": 2})
        assert event.payload["n"] == 1
        path = tmp_path / BODIES
        data = path.read_bytes()
        changed = data.replace(b"line 7 ", b"line 8 ")
        path.unlink()
        if spoil != "remove":  # a forged value has a valid checksum
            forms = {"change": changed, "cut": data[:99], "forge": close_line(changed[:-19])}
            path.write_bytes(forms[spoil])
        for look in (
            lambda: event.payload,
            lambda: event.whole_line,
            lambda: log.get(event.event_id).payload,
            lambda: deepcopy(event).payload,
        ):
            with pytest.raises(BodyMissing, match=event.body_entries[0].digest[:16]) as told:
                look()
            assert ("have changed" in str(told.value)) == (spoil == "forge")
        assert "can't be read" in log.vocabulary.sentence(event)
        assert log.query(where="n = 1").total == 1
        assert log.query(where=f'prompt ~ "{SECRET}"').total == 0
        table = log.query().df()
        assert list(table.unreadable.fillna("")) == ['["/prompt"]', ""]
        assert table.payload[0]["n"] == 1
        (finding,) = [one for one in log.verify().findings if one.severity != "noted"]
        assert finding.code == "body_missing"
        assert not log.verify().ok


def test_events_read_without_their_log_have_no_large_values(tmp_path):
    from thence.core.codec import parse
    from thence.core.vocabulary import PLAIN

    with opened(tmp_path) as log:
        event = log.append(KIND, {"prompt": PROMPT})
    alone = parse(event.line, PLAIN)
    assert alone.header.event_type == KIND
    with pytest.raises(BodyMissing, match="without its log"):
        _ = alone.payload
    assert pickle.loads(pickle.dumps(event)).payload == {"prompt": PROMPT}
    assert pickle.loads(pickle.dumps(event)).vocabulary.name == "plain"


@pytest.mark.promise("A6")
def test_readers_give_whole_values(tmp_path):
    with opened(tmp_path) as log:
        event = log.append(KIND, {"prompt": PROMPT + "needle", "n": 1}, subject="s")
        log.append(KIND, {"prompt": "short"})
        plain = log.append(KIND, {"a": {"prompt": ["x" * 1_000, "thimble" * 50, "y"]}})
        assert b"thimble" not in plain.line
        assert log.query(where='payload.a.prompt.* ~ "thimble"').events == (plain,)
        assert log.query(where='prompt ~ "needle"').events == (event,)
        assert log.query(where='payload.prompt ~ "needle"').total == 1
        assert log.query(where='prompt = "short"').total == 1
        assert log.query().df()["payload"][0]["prompt"] == PROMPT + "needle"
        stop = Signal()
        assert next(log.follow(stop=stop)).payload["prompt"] == PROMPT + "needle"
        whole = json.loads(event.whole_line)
        assert whole["payload"]["prompt"] == PROMPT + "needle"
        assert not {"bodies", "crc"} & whole.keys()
        log.rebuild()
        assert log.query(where='prompt ~ "needle"').total == 1
        assert log.query(where='a.prompt.* ~ "thimble"').total == 1


def test_append_again_compares_whole_values_however_they_are_kept(tmp_path):
    ids = ["01KAG0QV3J0000000144SGTKJP", "01KAG0QV3J0000000244SGTKJP"]
    for event_id, ways in zip(ids, ((None, 1024), (1024, None)), strict=True):
        for at_least in (*ways, 300):
            with thence.open(tmp_path, bodies_from=at_least) as log:
                event = log.append(KIND, {"prompt": PROMPT, "m": messages(9)}, event_id=event_id)
                assert event.payload["prompt"] == PROMPT
                with pytest.raises(IdReused):
                    log.append(KIND, {"prompt": PROMPT + "!", "m": messages(9)}, event_id=event_id)
    assert opened(tmp_path).query().total == 2


def test_secrets_are_masked_before_a_value_is_kept(tmp_path):
    (tmp_path / ".thence").mkdir()
    (tmp_path / ".thence" / "settings.toml").write_text("[redact]\n")
    with opened(tmp_path) as log:
        event = log.append(KIND, {"prompt": PROMPT + f" {SECRET_KEY} " + PROMPT})
        assert SECRET_KEY not in event.payload["prompt"]
        assert "[redacted: " in event.payload["prompt"]
    assert SECRET_KEY.encode() not in b"".join(pieces(tmp_path))


@pytest.mark.promise("A6")
def test_redaction_removes_what_no_other_event_names(tmp_path):
    common = messages(6)
    with opened(tmp_path) as log, opened(tmp_path) as other:
        kept = log.append(KIND, {"messages": common})
        taken = log.append(KIND, {"messages": [*common, {"content": SECRET * 300}]})
        further = other.append(KIND, {"messages": [*common, {"content": "x" * 2_000}]})
        assert SECRET.encode() in (tmp_path / BODIES).read_bytes()
        assert redact(log, taken) == 2
        assert SECRET.encode() not in b"".join(
            path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
        )
        assert log.get(taken.event_id).payload == {}
        assert log.get(kept.event_id).payload["messages"] == common
        assert log.get(further.event_id).payload["messages"][-1]["content"] == "x" * 2_000
        assert log.verify().findings == ()
        # both sessions knew the piece that went
        for session in (other, log):
            event = session.append(KIND, {"messages": [*common, {"content": SECRET * 300}]})
            assert log.get(event.event_id).payload["messages"][-1] == {"content": SECRET * 300}
        assert log.verify().findings == ()


def test_retry_of_a_redacted_event_brings_nothing_back(tmp_path):
    values = {"payload": {"text": SECRET * 400}, "event_id": "01JQXW5D8GSCGYB15ZC3R10NTF"}
    with opened(tmp_path) as log:
        redact(log, log.append(KIND, **values))
        assert log.append(KIND, **values).payload == {}
    assert SECRET.encode() not in (tmp_path / BODIES).read_bytes()


def test_redaction_keeps_what_a_longer_value_is_made_of(tmp_path):
    with opened(tmp_path) as log:
        first = log.append(KIND, {"messages": messages(6)})
        longer = log.append(KIND, {"messages": messages(8)})
        other = log.append(KIND, {"messages": [*messages(6), SECRET * 50]})
        redact(log, other)
        redact(log, first)
        assert len(pieces(tmp_path)) == 2
        assert log.get(longer.event_id).payload == {"messages": messages(8)}
        assert log.verify().findings == ()
        redact(log, longer)
        assert pieces(tmp_path) == []


def test_values_in_older_files_are_redacted_too(tmp_path):
    with opened(tmp_path, max_file_size=1_500) as log:
        events = [log.append(KIND, {"text": f"{SECRET} {n} " * 200}) for n in range(4)]
        assert len(older_names(OS_DISK, tmp_path, BODIES)) >= 3
        redact(log, events[0])
        left = b"".join(pieces(tmp_path))
        assert f"{SECRET} 0 ".encode() not in left
        assert f"{SECRET} 1 ".encode() in left
        again = log.append(KIND, {"text": f"{SECRET} 0 " * 200})
        assert log.get(again.event_id).payload["text"] == f"{SECRET} 0 " * 200
        assert [e.payload.get("text", "")[:11] for e in log.read() if e.event_type == KIND] == [
            "",
            *(f"{SECRET} {n}" for n in (1, 2, 3, 0)),
        ]
        assert log.verify().findings == ()


def test_rotation_loses_nothing(tmp_path):
    with opened(tmp_path, max_file_size=5_000) as log, opened(tmp_path) as other:
        for number in range(20):
            session = log if number % 2 else other
            session.append(KIND, {"text": f"{number}" + PROMPT[:3_000], "m": messages(number + 4)})
        assert len(older_names(OS_DISK, tmp_path, BODIES)) > 3
        for number, event in enumerate(log.read()):
            assert event.payload == {
                "text": f"{number}" + PROMPT[:3_000],
                "m": messages(number + 4),
            }
        assert log.verify().findings == ()


KILLED = """
import os, signal, sys, thence
from thence.log.files.disk import Disk
from thence.log.open import LogSettings, open_host_log

class Dying(Disk):
    def sync_data(self, descriptor):
        super().sync_data(descriptor)
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("bodies.jsonl"):
            os.kill(os.getpid(), signal.SIGKILL)

log = open_host_log(sys.argv[1], settings=LogSettings(bodies_from=1024), disk=Dying())
log.append("asked", {"text": "x" * 5000})
"""


@pytest.mark.promise("A6")
def test_kill_before_the_sync_of_a_piece_leaves_an_orphan_that_no_line_relies_on(tmp_path):
    ended = run_process([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with opened(tmp_path) as log:
        found = log.verify()
        assert found.findings == ()
        assert list(log.read()) == []
        event = log.append(KIND, {"text": "x" * 5_000})
        assert event.payload["text"] == "x" * 5_000
        (older,) = older_names(OS_DISK, tmp_path, BODIES)
        assert older.endswith("_suspect.jsonl")
        assert (tmp_path / BODIES).read_bytes().count(b"\n") == 1
        assert not [one for one in log.verify().findings if one.code.startswith("body")]


def name_of(descriptor: int) -> str:
    return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))


@pytest.mark.promise("A6")
def test_piece_of_another_process_is_synced_before_a_line_names_it(tmp_path):
    ran(
        "from thence.log.files.disk import Disk\nclass NoSync(Disk):\n"
        "    def sync_data(self, descriptor): pass\n"
        "from thence.log.open import LogSettings, open_host_log\n"
        "import sys; settings = LogSettings(bodies_from=1024)\n"
        "log = open_host_log(sys.argv[1], settings=settings, disk=NoSync())\n"
        "log.append('asked', {'text': 'x' * 5000})",
        tmp_path,
    )
    disk, calls = Scripted(), []
    disk.before["write"] = lambda descriptor, _: calls.append(("write", name_of(descriptor)))
    disk.before["sync_data"] = lambda descriptor: calls.append(("sync", name_of(descriptor)))
    with on(disk, tmp_path) as log:
        log.append(KIND, {"n": 1})
        calls.clear()
        log.append(KIND, {"text": "x" * 5_000})
        assert calls == [("sync", BODIES), ("write", "events.jsonl"), ("sync", "events.jsonl")]
        calls.clear()
        log.append(KIND, {"text": "x" * 5_000})
        assert calls == [("write", "events.jsonl"), ("sync", "events.jsonl")]
        calls.clear()
        log.append(KIND, {"text": "y" * 5_000})
        assert calls[:3] == [("write", BODIES), ("sync", BODIES), ("write", "events.jsonl")]


@pytest.mark.parametrize("torn", ["half", "without its newline", "zeros"])
def test_torn_end_is_cut_by_the_next_writer(tmp_path, torn):
    with opened(tmp_path) as log:
        first = log.append(KIND, {"text": "x" * 5_000})
    whole = (tmp_path / BODIES).read_bytes()
    end = {"half": whole[:700], "without its newline": whole[:-1], "zeros": bytes(900)}[torn]
    (tmp_path / BODIES).write_bytes(whole + end)
    with opened(tmp_path) as log:
        assert log.verify().ok
        log.append(KIND, {"text": "y" * 5_000})
        assert (tmp_path / BODIES).read_bytes().startswith(whole + b'{"sha256":')
        assert (tmp_path / BODIES).read_bytes().count(b"\n") == 2
        assert log.get(first.event_id).payload == {"text": "x" * 5_000}
        assert log.verify().findings == ()


def test_damaged_piece_is_written_again_when_its_value_comes_again(tmp_path):
    with opened(tmp_path) as log:
        first = log.append(KIND, {"text": PROMPT})
    path = tmp_path / BODIES
    path.write_bytes(path.read_bytes().replace(b"line 9 ", b"line 8 "))
    with opened(tmp_path) as log:
        with pytest.raises(BodyMissing):
            _ = log.get(first.event_id).payload
        log.append(KIND, {"text": PROMPT})
        assert log.get(first.event_id).payload == {"text": PROMPT}
        assert log.verify().ok


class FullBodies(Disk):
    """Takes no more bytes of large values once `room` of them are written."""

    def __init__(self) -> None:
        self.room = sys.maxsize
        self.is_half = False

    def write(self, descriptor: int, data: bytes) -> int:
        if not os.readlink(f"/proc/self/fd/{descriptor}").endswith(BODIES):
            return super().write(descriptor, data)
        if len(data) > self.room:
            if self.room:
                super().write(descriptor, data[: self.room])
                self.room = 0
            raise DiskError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return super().write(descriptor, data)


def test_full_disk_refuses_from_the_first_value_that_has_no_room(tmp_path):
    disk = FullBodies()
    with on(disk, tmp_path) as log:
        log.append(KIND, {"n": 0})
        disk.room = 12_000
        new = [
            {"event_type": KIND, "payload": {"n": n, "text": f"{n}" * 5_000}} for n in range(1, 5)
        ]
        new.insert(3, {"event_type": KIND, "payload": {"n": "small"}})
        with pytest.raises(LogFull):
            log.append_many(new)
        assert [event.payload["n"] for event in log.read()] == [0, 1, 2]
        assert log.verify().findings == ()
        log.append(KIND, {"n": "small, later"})
        disk.room = sys.maxsize
        log.append_many(new[2:])
        assert [e.payload["n"] for e in log.read() if e.event_type == KIND] == [
            *(0, 1, 2, "small, later"),
            *(3, "small", 4),
        ]
        assert log.verify().findings == ()


def test_guarded_events_are_written_all_or_none(tmp_path):
    disk = FullBodies()
    with on(disk, tmp_path) as log:
        log.append(KIND, {"n": 0}, subject="s")
        guard = thence.Unchanged(log.position(), {"s"})
        disk.room = 7_000
        new = [{"event_type": KIND, "payload": {"text": f"{n}" * 5_000}} for n in range(3)]
        with pytest.raises(LogFull):
            log.append_many(new, guard=guard)
        assert log.query(where="n = 0").total == log.query(type=KIND).total == 1


def refuse_sync(disk: Scripted, once: bool = False) -> None:
    """Has syncs of large values fail, or the first of them."""

    def refuse(descriptor: int) -> None:
        if name_of(descriptor) == BODIES:
            if once:
                disk.before.clear()
            raise BROKEN

    disk.before["sync_data"] = refuse


def test_value_whose_sync_failed_is_cut_off_and_written_again(tmp_path):
    disk = Scripted()
    with on(disk, tmp_path) as log:
        log.append(KIND, {"text": "a" * 5_000})
        refuse_sync(disk, once=True)
        log.append(KIND, {"text": "b" * 5_000})
        first, second = (tmp_path / BODIES).read_bytes().splitlines(keepends=True)
        assert (b"aaaa" in first, b"bbbb" in second) == (True, True)
        assert [call[2] for call in disk.calls if call[0] == "truncate"][-1] == len(first)
        log.append(KIND, {"text": "c" * 5_000})
        assert [event.payload["text"][0] for event in log.read()] == ["a", "b", "c"]
        assert log.verify().findings == ()


@pytest.mark.parametrize("is_alive", [True, False], ids=["who failed", "another"])
def test_file_of_which_a_failed_sync_could_not_be_cut_off_is_set_aside(tmp_path, is_alive):
    disk = Scripted()
    with on(disk, tmp_path) as log:
        log.append(KIND, {"text": "a" * 5_000})
        refuse_sync(disk)
        for call in ("truncate", "rename"):
            disk.error[call] = BROKEN
        with raises_code("append_failed"):
            log.append(KIND, {"text": "b" * 5_000})
        assert older_names(OS_DISK, tmp_path, BODIES) == []
        disk.before.clear()
        disk.error.clear()
        with log if is_alive else opened(tmp_path) as writer:
            for letter in "ba":
                writer.append(KIND, {"text": letter * 5_000})
            (older,) = older_names(OS_DISK, tmp_path, BODIES)
            assert older.endswith("_suspect.jsonl")
            starts = [line[-30:-29] for line in (tmp_path / BODIES).read_bytes().splitlines()]
            assert starts == [b"b", b"a"]
            written = [event.payload["text"] for event in writer.read() if event.event_type == KIND]
            assert [text[0] for text in written] == ["a", "b", "a"]
            assert writer.verify().ok


def test_events_are_refused_while_each_sync_fails_and_written_when_it_does_not(tmp_path):
    disk = Scripted()
    with on(disk, tmp_path) as log:
        log.append(KIND, {"text": "a" * 5_000})
        refuse_sync(disk)
        for _ in range(2):
            with raises_code("append_failed"):
                log.append(KIND, {"text": "b" * 5_000})
        assert sum(event.event_type == KIND for event in log.read()) == 1
        assert (tmp_path / BODIES).read_bytes().count(b"\n") == 1
        disk.before.clear()
        log.append(KIND, {"text": "b" * 5_000})
        assert b"bbbb" in (tmp_path / BODIES).read_bytes()
        written = [event.payload["text"][0] for event in log.read() if event.event_type == KIND]
        assert written == ["a", "b"]


def test_line_with_large_values_is_relayed_only_with_them_and_behind_them(tmp_path):
    with opened(tmp_path / "a") as log, opened(tmp_path / "b") as other:
        first = log.append(KIND, {"text": PROMPT})
        small = log.append(KIND, {"n": 1})
        second = log.append(KIND, {"text": PROMPT + "more"})
        lines = [first.line, small.line, second.line]
        relayed = other.relay(lines)
        assert [one.code for _, one in relayed.bad] == ["body_missing"] * 2
        assert relayed.taken == (small,)
        relayed = other.relay(lines, Bodies(OS_DISK, log.folder))
        assert (relayed.taken, relayed.bad, relayed.known) == ((first, second), (), 1)
        assert [event.payload["text"] for event in other.read() if event != small] == [
            PROMPT,
            PROMPT + "more",
        ]
        assert other.verify().findings == ()
    assert pieces(tmp_path / "a") == pieces(tmp_path / "b")


def test_digests_cover_what_a_line_names(tmp_path):
    with opened(tmp_path) as log:
        event = log.append(KIND, {"text": PROMPT})
    assert piece_of(pieces(tmp_path)[0]) is not None
    other = event.line.replace(event.body_entries[0].digest.encode(), b"0" * 64)
    assert digests(other).body != digests(event.line).body
    assert b"bodies" not in redacted(event.line)
    assert digests(redacted(event.line)) == digests(event.line)
