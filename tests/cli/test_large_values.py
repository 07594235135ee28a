"""What commands and the server show of large values: all of them."""

import csv
import json

import pytest
from pyarrow.parquet import read_table
from tests.cli.warm import warm

import thence
from thence.log.files.segment import BODIES

TEXT = "".join(f"line {number} of a prompt\n" for number in range(300)) + "the end"
LOG = ("--log", "log")


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path / "log", bodies_from=1_024) as opened:
        first = opened.append("model.asked", {"prompt": TEXT, "n": 1}, subject="s", actor="ada")
        opened.append("model.answered", {"prompt": "short"}, caused_by=first)
    return opened


@pytest.mark.parametrize(
    "arguments", [("log", "--json"), ("query", "--where", 'prompt ~ "the end"', "--json")]
)
def test_lines_of_listings_are_whole(log, tmp_path, arguments):
    ended = warm(arguments[0], *LOG, *arguments[1:], cwd=tmp_path)
    first = json.loads(ended.out.splitlines()[0])
    assert first["payload"] == {"prompt": TEXT, "n": 1}
    assert not {"bodies", "crc"} & first.keys()


def test_tables_are_whole(log, tmp_path):
    warm("export", "--csv", "--columns", "prompt", "-o", "out.csv", *LOG, cwd=tmp_path)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"] for row in rows] == [TEXT, "short"]
    assert json.loads(rows[0]["payload"]) == {"prompt": TEXT, "n": 1}


def test_two_logs_are_compared_by_whole_values(log, tmp_path):
    texts = {"same": TEXT, "other": TEXT.replace("line 200", "line 2OO")}
    for name, text in texts.items():
        with thence.open(tmp_path / name) as other:
            first = other.append("model.asked", {"prompt": text, "n": 1}, subject="s", actor="ada")
            other.append("model.answered", {"prompt": "short"}, caused_by=first)
    assert warm("diff", "log", "same", cwd=tmp_path).code == 0
    assert warm("diff", "log", "other", cwd=tmp_path).code == 3


def test_value_that_is_gone_is_named_and_what_is_behind_it_is_read(log, tmp_path):
    (tmp_path / "log" / BODIES).unlink()
    listed = warm("log", *LOG, cwd=tmp_path).done()
    assert "with a large value that can't be read" in listed.out
    shown = warm("show", "s", *LOG, "--json", cwd=tmp_path)
    assert shown.json["unreadable"] == ["/prompt"]
    for command in ("log", "query"):
        ended = warm(command, *LOG, "--json", cwd=tmp_path)
        first, second = map(json.loads, ended.out.splitlines())
        assert ended.code == 0
        assert (first["unreadable"], first["payload"]["n"]) == (["/prompt"], 1)
        assert first["payload"]["prompt"] == TEXT[:120]
        assert not {"bodies", "crc"} & first.keys()
        assert second["payload"] == {"prompt": "short"}
        assert "unreadable" not in second
    chain = warm("why", "@last", *LOG, "--json", cwd=tmp_path).json["chain"]
    assert [one.get("unreadable") for one in chain] == [["/prompt"], None]


def test_export_goes_on_behind_a_value_that_is_gone(log, tmp_path):
    (tmp_path / "log" / BODIES).unlink()
    table = ("export", "--columns", "prompt,n", *LOG)
    assert warm(*table, "--csv", "-o", "out.csv", cwd=tmp_path).code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["unreadable"] for row in rows] == ['["/prompt"]', ""]
    assert [row["prompt"] for row in rows] == [TEXT[:120], "short"]
    assert warm(*table, "--parquet", "-o", "out.parquet", cwd=tmp_path).code == 0
    parquet = read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["unreadable"] for row in parquet] == ['["/prompt"]', None]
    assert warm("export", "--otlp", "out.json", *LOG, cwd=tmp_path).code == 0
    (line,) = (tmp_path / "out.json").read_text().splitlines()
    (scope,) = json.loads(line)["resourceSpans"][0]["scopeSpans"]
    named = [one for span in scope["spans"] for one in span["attributes"]]
    (value,) = [one["value"] for one in named if one["key"] == "thence.unreadable"]
    assert value == {"arrayValue": {"values": [{"stringValue": "/prompt"}]}}
    assert len(scope["spans"]) == 2
