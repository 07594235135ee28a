import pytest
from tests.cli.installed import is_three_lines, thence


@pytest.mark.promise("P6")
def test_rebuild_tells_how_much_it_indexed(tmp_path, orders):
    size = (tmp_path / "orders" / "events.jsonl").stat().st_size
    ended = thence("rebuild", "--log", "orders", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.startswith("indexed 4 events in ")
    assert ended.err == f"reading {size:,} bytes of orders\n"
    told = thence("rebuild", "--log", "orders", "--json", "-q", cwd=tmp_path)
    assert (told.code, told.err) == (0, "")
    assert told.json["events"] == 4
    assert told.json["bytes"] == size
    assert told.json["seconds"] >= 0


def test_damaged_index_is_made_again(tmp_path, orders):
    thence("rebuild", "--log", "orders", cwd=tmp_path)
    index = tmp_path / "orders" / ".thence" / "index.db"
    index.write_bytes(b"x" * 10_000)
    assert thence("rebuild", "--log", "orders", cwd=tmp_path).code == 0
    assert len(thence("query", "--log", "orders", cwd=tmp_path).lines) == 4


def test_no_log_is_told(tmp_path):
    ended = thence("rebuild", "--log", "gone", cwd=tmp_path)
    assert ended.code == 4
    assert is_three_lines(ended.err)
