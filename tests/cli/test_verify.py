import pytest
from tests.cli.installed import is_three_lines, thence, unwritable
from tests.cli.warm import warm


def change(tmp_path, change_bytes):
    path = tmp_path / "orders" / "events.jsonl"
    path.write_bytes(change_bytes(path.read_bytes()))


def verify(tmp_path):
    return warm("verify", "--log", "orders", "--json", cwd=tmp_path)


def test_whole_log_is_ok(tmp_path, orders):
    ended = verify(tmp_path).done()
    assert ended.json == {"ok": True, "events": 4, "unverified": 0, "damage": [], "notes": []}
    assert warm("verify", "--log", "orders", cwd=tmp_path).out == (
        "ok: 4 events, no damage in orders\n"
    )


@pytest.mark.promise("P6")
def test_changed_byte_is_damage_with_its_place_and_exit_code_3(tmp_path, orders):
    change(tmp_path, lambda data: data.replace(b'"amount":12', b'"amount":13', 1))
    ended = verify(tmp_path)
    assert ended.code == 3
    found = ended.json["damage"]
    assert [finding["code"] for finding in found] == ["bad_line", "events_lost"]
    assert set(found[0]) == {"code", "file", "offset", "length", "reason"}
    assert (found[0]["file"], found[0]["offset"]) == ("events.jsonl", 0)
    assert (found[1]["seq"], len(found[1]["node_id"])) == (1, 12)
    text = warm("verify", "--log", "orders", cwd=tmp_path)
    assert text.code == 3
    assert "events.jsonl at byte 0" in text.out
    assert "`thence docs findings`" in text.err


def test_lines_of_other_tools_are_served_as_unverified(tmp_path, orders):
    foreign = '{"event_id":"FROM-ANOTHER-TOOL","event_type":"note","payload":{"n":1}}\n'
    change(tmp_path, lambda data: data + foreign.encode())
    assert (verify(tmp_path).code, verify(tmp_path).json["unverified"]) == (0, 1)
    assert "1 of them unverified" in warm("verify", "--log", "orders", cwd=tmp_path).out
    shown = warm("show", "FROM-ANOTHER-TOOL", "--log", "orders", cwd=tmp_path).done()
    assert "nothing verifies it" in shown.out


@pytest.mark.parametrize(
    "bad", [b"\xff\xfe\n", b"null\n", b"{}\n", b"[" * 5_000 + b"\n", b"\0" * 99]
)
def test_bytes_that_are_no_event_hurt_no_command(tmp_path, orders, bad):
    change(tmp_path, lambda data: bad + b"\n" + data)
    assert verify(tmp_path).code == 3
    for command in (["log"], ["why", "@last"], ["effects", "@last"], ["show", "@last"]):
        warm(*command, "--log", "orders", cwd=tmp_path).done()


def test_folder_that_cant_be_written_is_read_and_refuses_appends(tmp_path, orders):
    asked = {"cwd": tmp_path, "obeys_permissions": True}
    with unwritable(tmp_path / "orders"):
        read = thence("why", "@last-error", "--log", "orders", **asked)
        ended = thence("append", "note", "--log", "orders", "--json", **asked)
    assert read.code == 0, read.err
    assert ended.code == 1
    assert ended.json["error"]["code"] == "log_read_only"
    assert is_three_lines(ended.err)
