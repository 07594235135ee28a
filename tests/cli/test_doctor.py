"""The doctor never lies: each check is seen in both outcomes, on the real thing where one is."""

import errno
import os
import re
from importlib import metadata

import pytest
from tests.cli.installed import Ended, is_three_lines, thence
from tests.disks import Scripted
from tests.log.processes import started

from thence.cli.commands.log.doctor import PACKAGES
from thence.core.vocabulary import PLAIN
from thence.errors import LogFull
from thence.log.files.disk import DiskError
from thence.log.open import Log, LogSettings

CHECKS = ["install", "disk", "log", "events", "writers"]


def doctor(cwd, *arguments, **options):
    ended = thence("doctor", "--log", "orders", "--json", *arguments, cwd=cwd, **options)
    assert ended.err == ""
    return ended


def by_name(ended):
    told = ended.json if isinstance(ended, Ended) else ended
    assert list(told) == ["ok", "checks"]
    assert all(list(check) == ["name", "ok", "detail", "hint"] for check in told["checks"])
    assert told["ok"] == all(check["ok"] for check in told["checks"])
    return {check["name"]: check for check in told["checks"]}


def failing(ended):
    """Return what is not ok, in order; each must say what to do."""
    checks = by_name(ended).values()
    assert all(bool(check["hint"]) != check["ok"] for check in checks)
    return [check["name"] for check in checks if not check["ok"]]


def state(folder):
    """All that lies in a folder, with its bytes."""
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.promise("P6")
def test_sound_log_is_ok_and_left_as_it_was(tmp_path, orders):
    before = state(tmp_path)
    ended = doctor(tmp_path)
    checks = by_name(ended)
    assert list(checks) == CHECKS
    assert (ended.code, failing(ended)) == (0, [])
    assert state(tmp_path) == before
    assert checks["log"]["detail"].startswith("plain log 01")
    assert checks["events"]["detail"] == f"the newest line [{orders[-1][:18]}] is intact"
    size = (tmp_path / "orders" / "events.jsonl").stat().st_size
    assert checks["log"]["detail"].split("; ")[1] == f"1 segment, {size:,} bytes"
    assert checks["writers"]["detail"].startswith("the append lock is free; ")
    for name in PACKAGES:
        assert f"{name} {metadata.version(name)}" in checks["install"]["detail"]


@pytest.mark.promise("P6")
def test_text_is_a_line_a_check_with_a_hint_under_each_that_fails(tmp_path, orders):
    fine = thence("doctor", "--log", "orders", cwd=tmp_path)
    assert (fine.code, fine.err) == (0, "")
    assert "\x1b" not in fine.out
    assert max(map(len, fine.lines)) <= 80
    for name in CHECKS:
        assert len(re.findall(rf"^ok      {name:<7}  \S", fine.out, re.MULTILINE)) == 1
    assert fine.lines[-1] == "ok: 5 checks, on the log orders; `thence verify` reads every line"
    with (tmp_path / "orders" / "events.jsonl").open("ab") as file:
        file.write(b'{"event_id":"torn')
    torn = thence("doctor", "--log", "orders", cwd=tmp_path)
    assert torn.code == 1
    assert "\nnot ok  events   the last line of events.jsonl is unfinished, 17 bytes\n" in torn.out
    assert "\n                 next: `thence append note --log orders` moves it" in torn.out
    assert torn.lines[-1].startswith("not ok: 1 of 5 checks, on the log orders; ")


def test_folder_without_a_log_is_looked_at(tmp_path):
    ended = thence("doctor", "--json", cwd=tmp_path).done()
    assert list(by_name(ended)) == ["install", "disk"]
    assert not list(tmp_path.iterdir())
    text = thence("doctor", cwd=tmp_path)
    assert text.lines[-1] == "ok: 2 checks, on this folder"


def test_log_that_was_named_and_is_not_there_is_an_error(tmp_path):
    ended = thence("doctor", "--log", "orders", "--json", cwd=tmp_path)
    assert ended.code == 4
    assert ended.json["error"]["code"] == "not_a_log"
    assert is_three_lines(ended.err)


def test_damaged_newest_line_is_damage(tmp_path, orders):
    path = tmp_path / "orders" / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(b"unrelated", b"unrelatex"))
    ended = doctor(tmp_path)
    assert (ended.code, failing(ended)) == (3, ["events"])
    assert "(bad_line)" in by_name(ended)["events"]["detail"]


@pytest.mark.parametrize(
    ("name", "fails"), [("structlog", ["install"]), ("msgspec", ["install", "log"])]
)
def test_package_that_cant_be_imported_is_told(tmp_path, orders, name, fails):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / f"{name}.py").write_text("raise ImportError('of another Python')")
    ended = doctor(tmp_path, env={"PYTHONPATH": str(tmp_path / "broken")})
    assert (ended.code, failing(ended)) == (1, fails)
    assert f"{name} (of another Python)" in by_name(ended)["install"]["detail"]
    text = thence("doctor", "--log", "orders", cwd=tmp_path, env={"PYTHONPATH": "broken"})
    assert (text.code, text.err) == (1, "")
    assert f"{name} (of another Python)" in " ".join(text.out.split())


def test_packages_are_those_of_the_base_install():
    required = [line for line in metadata.requires("thence") or () if "extra ==" not in line]
    names = {re.split(r"[^\w.-]", line)[0].replace("-", ".") for line in required}
    assert names == set(PACKAGES)


def test_doctor_looks_while_others_write(tmp_path, orders):
    writer = started(
        "import sys, thence\n"
        "with thence.open(sys.argv[1]) as log:\n"
        "    print(log.append('ready').seq, flush=True)\n"
        "    for number in range(400): log.append('busy', {'text': 'x' * 5000})\n",
        tmp_path / "orders",
    )
    with writer:
        assert writer.stdout
        writer.stdout.readline()
        looks = 0
        while writer.poll() is None or not looks:
            assert failing(doctor(tmp_path)) == []
            looks += 1
    assert writer.returncode == 0
    assert thence("verify", "--log", "orders", cwd=tmp_path).code == 0
    assert not [name for name in os.listdir(tmp_path / "orders" / ".thence") if "doctor" in name]


@pytest.mark.promise("A4b")
def test_events_that_a_program_lost_are_counted(tmp_path):
    disk = Scripted()
    with Log(tmp_path / "log", PLAIN, LogSettings(report=lambda *_: None), disk=disk) as log:
        log.append("order.placed")
        disk.error["write"] = DiskError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for _ in range(3):
            with pytest.raises(LogFull):
                log.append("order.placed")
        disk.error["write"] = None
        log.append("order.placed")
    done = thence("doctor", "--log", tmp_path / "log", "--json", cwd=tmp_path)
    events = by_name(done)["events"]
    assert (done.code, events["ok"]) == (0, True)
    assert "3 events of a program not recorded, the last at 20" in events["detail"]
    assert "No space left on device" in events["detail"]
    assert "thence log --failed" in events["hint"]
