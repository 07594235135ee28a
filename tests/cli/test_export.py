import csv
import io
import os
import signal

import pytest
from pyarrow import parquet
from tests.cli.installed import THENCE, begin, in_shell, thence
from tests.cli.warm import warm

import thence as package
from thence.core.sentences.table import COLUMNS


def export(cwd, *arguments, **kwargs):
    return thence("export", "--log", "orders", *arguments, cwd=cwd, **kwargs)


def exporting(cwd, *arguments):
    return begin(THENCE, "export", "--log", "orders", "--csv", *arguments, cwd=cwd)


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.promise("P6")
def test_csv_has_a_header_and_a_row_for_each_event_in_total_order(tmp_path, orders):
    ended = export(tmp_path, "--csv")
    assert (ended.code, ended.err) == (0, "4 rows\n")
    assert tuple(ended.lines[0].split(",")) == COLUMNS
    found = rows(ended.out)
    assert [row["event_id"] for row in found] == orders
    assert (found[0]["subject"], found[0]["actor"], found[0]["verified"]) == (
        "order/881",
        "ada",
        "true",
    )
    assert found[0]["payload"] == '{"amount":12}'
    assert found[2]["caused_by"] == f"{orders[0]} {orders[1]}"
    assert export(tmp_path, "--csv", "-q").err == ""


def test_csv_keeps_text_as_it_is(tmp_path):
    odd = 'a "b", c\r\nd\te é=\u2028'
    with package.open(tmp_path / "orders") as log:
        log.append("odd", {"text": odd}, subject=odd)
    (row,) = rows(export(tmp_path, "--csv").out)
    assert row["subject"] == odd


@pytest.mark.parametrize(
    "text", ["=1+1", "+49 30", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-"]
)
def test_text_that_a_spreadsheet_would_compute_is_guarded(tmp_path, text):
    with package.open(tmp_path / "orders") as log:
        name = text.strip()  # a type has no control characters
        log.append(name, {"text": text}, subject=text, actor=text, stream=text)
        log.append("plain", subject="-12.5", actor="a=b", stream="+1e3")
    assert warm("export", "--log", "orders", "--csv", "-o", "t.csv", cwd=tmp_path).code == 0
    odd, usual = rows((tmp_path / "t.csv").read_bytes().decode())
    keys = ("subject", "actor", "stream")
    assert odd["event_type"] == f"'{name}"
    assert [odd[key] for key in keys] == [f"'{text}"] * 3
    assert [usual[key] for key in keys] == ["-12.5", "a=b", "+1e3"]
    assert (odd["payload"][0], odd["seq"], odd["turn"]) == ("{", "1", "")


def test_parquet_has_types_and_the_same_rows(tmp_path, orders):
    ended = export(tmp_path, "--parquet", "-o", "orders.parquet", "--json")
    size = (tmp_path / "orders.parquet").stat().st_size
    assert ended.json == {"rows": 4, "file": "orders.parquet", "bytes": size}
    table = parquet.read_table(tmp_path / "orders.parquet")
    assert tuple(table.column_names) == COLUMNS
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["timestamp"] == "timestamp[us, tz=UTC]"
    assert (kinds["turn"], kinds["verified"], kinds["caused_by"]) == (
        "int64",
        "bool",
        "list<element: string>",
    )
    found = table.to_pylist()
    assert [row["event_id"] for row in found] == orders
    assert found[2]["caused_by"] == orders[:2]
    assert (found[3]["actor"], found[3]["payload"]) == (None, '{"text":"unrelated"}')


def test_parquet_goes_through_a_pipe(tmp_path, orders):
    in_shell(f"'{THENCE}' export --log orders --parquet --type note > piped", tmp_path).done()
    assert parquet.read_table(tmp_path / "piped").num_rows == 1


@pytest.fixture
def bills(tmp_path):
    """Events whose payloads have keys of all kinds, in ./bills."""
    payloads = [
        {"amount": 12, "paid": True, "customer": {"id": "ada"}, "a.b": 1, "odd": "=1+1"},
        {"amount": 0.5, "paid": None, "customer": "ben", "a": {"b": 2}, "odd": [1, "x"]},
        {},
    ]
    with package.open(tmp_path / "bills") as log:
        log.append_many([{"event_type": "bill", "payload": payload} for payload in payloads])
    return tmp_path


KEYS = ("amount", "paid", "customer.id", "a.b", "odd", "gone")


def test_keys_of_the_payload_are_columns_of_csv(bills):
    ended = warm("export", "--log", "bills", "--csv", "--columns", ",".join(KEYS), cwd=bills)
    table = rows(ended.out)
    assert tuple(table[0]) == (*COLUMNS, *KEYS)
    assert [[row[key] for key in KEYS] for row in table] == [
        ["12", "true", "ada", "1", "'=1+1", ""],
        ["0.5", "", "", "2", '[1,"x"]', ""],
        [""] * 6,
    ]
    assert "no event that was written has a payload key `gone`\n" in ended.err
    assert ended.err.count("has a payload key") == 1


def test_keys_of_the_payload_are_typed_columns_of_parquet_and_of_a_frame(bills):
    arguments = ["--columns", ",".join(KEYS), "-o", "bills.parquet"]
    assert warm("export", "--log", "bills", "--parquet", *arguments, cwd=bills).code == 0
    table = parquet.read_table(bills / "bills.parquet")
    kinds = [str(table.schema.field(key).type) for key in KEYS]
    assert kinds == ["double", "bool", "string", "int64", "string", "null"]
    assert table["amount"].to_pylist() == [12.0, 0.5, None]
    assert table["odd"].to_pylist() == ['"=1+1"', '[1,"x"]', None]
    with package.open(bills / "bills") as log:
        frame = log.query().df(columns=KEYS)
    assert list(frame.columns) == [*COLUMNS, *KEYS]
    assert frame["a.b"].dtype == "Int64"
    assert frame["customer.id"].dtype == "string"
    assert frame["odd"].tolist()[:2] == ["=1+1", [1, "x"]]


def test_limit_is_of_the_first_events(tmp_path, orders):
    ended = export(tmp_path, "--csv", "--limit", "3")
    assert [row["event_id"] for row in rows(ended.out)] == orders[:3]
    assert ended.err == "3 rows\n"


def test_file_is_replaced_whole_and_nothing_else_is_left(tmp_path, orders):
    (tmp_path / "o.csv").write_text("before")
    (tmp_path / "link.csv").symlink_to("o.csv")
    assert export(tmp_path, "--csv", "-o", "link.csv").err == "4 rows in link.csv\n"
    assert len(rows((tmp_path / "o.csv").read_text())) == 4
    assert (tmp_path / "link.csv").is_symlink()
    assert names(tmp_path) == ["link.csv", "o.csv", "orders"]


def test_file_stays_as_it_was_when_the_export_fails(tmp_path, orders):
    (tmp_path / "o.csv").write_text("before")
    failed = export(tmp_path, "--csv", "-o", "o.csv", "--where", "amount >")
    assert failed.code == 2
    assert (tmp_path / "o.csv").read_text() == "before"
    gone = export(tmp_path, "--csv", "-o", "gone/o.csv")
    gone.failure(1)
    assert gone.err.startswith(f"thence: could not use {tmp_path}/gone/o.csv\n")
    assert names(tmp_path) == ["o.csv", "orders"]


def test_device_keeps_its_name(tmp_path, orders):
    assert export(tmp_path, "--csv", "-o", "/dev/null").code == 0
    assert len(rows(export(tmp_path, "--csv", "-q", "-o", "/dev/stdout").out)) == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give exactly one of --csv, --parquet and --otlp"),
        (["--csv", "--parquet"], "give exactly one"),
        (["--csv", "--json"], "--json goes with --output"),
        (["--csv", "--limit", "0"], "'--limit'"),
        (["--csv", "--columns", "a,,b"], "a key is missing next to a comma"),
        (["--csv", "--columns", "actor"], "'actor' is a column of its own"),
        (["--csv", "--columns", "\udcff"], "is not UTF-8 text"),
    ],
)
def test_wrong_usage_is_told(tmp_path, orders, arguments, told):
    assert told in export(tmp_path, *arguments).failure(2)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A log of 40 MB in lines of 1 kB, with an index."""
    folder = tmp_path_factory.mktemp("large")
    payload = {"text": "x" * 700}
    with package.open(folder / "orders") as log:
        for _ in range(10):
            log.append_many([{"event_type": "bulk", "payload": payload}] * 4_000)
        log.query()
    return folder


def test_ctrl_c_leaves_no_part_of_a_file(large):
    with exporting(large, "-o", "o.csv") as running:
        while running.poll() is None and len(names(large)) == 1:
            os.sched_yield()
        running.send_signal(signal.SIGINT)
        running.wait()
    assert names(large) in (["orders"], ["o.csv", "orders"])
    (large / "o.csv").unlink(missing_ok=True)


def part_of(running, folder):
    """Wait until an export has written a part of its file, and return the name of the part."""
    while running.poll() is None:
        for path in folder.glob(".o.csv.*.part"):
            if path.stat().st_size:
                return path.name
        os.sched_yield()
    raise AssertionError("it ended before its file was seen")


def test_killed_export_leaves_the_file_as_it_was_and_the_next_one_writes_it(large):
    (large / "o.csv").write_text("before")
    with exporting(large, "-o", "o.csv") as running:
        part = part_of(running, large)
        running.kill()
    assert names(large) == [part, "o.csv", "orders"]
    assert (large / "o.csv").read_text() == "before"
    assert export(large, "--csv", "-q", "-o", "o.csv").code == 0
    assert len(rows((large / "o.csv").read_text())) == 40_000
    for name in (part, "o.csv"):
        (large / name).unlink()


def test_disk_that_is_full_leaves_the_file_as_it_was(large):
    (large / "o.csv").write_text("before")
    in_shell(f"ulimit -f 1000; exec {THENCE} export --log orders --csv -o o.csv", large).failure(1)
    assert (large / "o.csv").read_text() == "before"
    assert names(large) == ["o.csv", "orders"]
    (large / "o.csv").unlink()
