from tests.cli.installed import thence
from tests.cli.warm import warm
from tests.events import drafted, new_id, stamped

import thence as package


def test_log_lists_one_line_an_event_with_time_type_who_and_short_id(tmp_path, orders):
    lines = warm("log", "--log", "orders", cwd=tmp_path).lines
    assert len(lines) == 4
    assert lines[0].split()[1:3] == ["order.placed", "ada"]
    assert lines[0].split("  ")[3].startswith("order/881: amount 12 [")
    assert [line[-19:-1] for line in lines] == [event_id[:18] for event_id in orders]


def test_log_of_several_days_shows_the_day(tmp_path):
    (tmp_path / "events.jsonl").write_text(
        '{"event_id":"a","event_type":"note","timestamp":"2026-01-01T10:00:00Z"}\n'
        '{"event_id":"b","event_type":"note","timestamp":"2026-01-02T10:00:00Z"}\n'
    )
    assert warm("log", cwd=tmp_path).lines[1].startswith("01-02 10:00:00  note")


def test_show_tells_all_of_an_event_and_as_json_its_line(tmp_path, orders):
    out = warm("show", orders[2], "--log", "orders", cwd=tmp_path).out
    for told in (orders[2], "no stock", "order/881 placed", "order paid", "lamport_clock"):
        assert told in out
    by_json = warm("show", orders[2], "--log", "orders", "--json", cwd=tmp_path)
    stored = (tmp_path / "orders" / "events.jsonl").read_text().splitlines(keepends=True)
    assert by_json.out == stored[2]


def test_endless_words_are_cut_in_sentences_and_never_in_json(tmp_path):
    (tmp_path / "log").mkdir()
    line = stamped(drafted(new_id(), "x" * 100_000, {}), 1, 1)  # of a thence that took any type
    (tmp_path / "log" / "events.jsonl").write_bytes(line)
    with package.open(tmp_path / "log") as log:
        (first,) = log.events()
        second = log.append("note", caused_by=[first])
    for command in ("log", "why", "show", "effects"):
        event = [] if command == "log" else [second.event_id]
        ended = warm(command, *event, "--log", "log", cwd=tmp_path)
        assert len(ended.out) < 2_000, command
        if command in ("log", "why", "show"):
            assert first.event_id[:18] in ended.out
    assert warm("log", "--log", "log", "--json", cwd=tmp_path).lines[0] == first.line.decode()


def test_locale_that_lacks_the_characters_gets_them_escaped(tmp_path):
    with package.open(tmp_path / "log") as log:
        log.append("note", subject="prix →")
    env = {"PYTHONIOENCODING": "latin-1"}
    ended = thence("log", "--log", "log", cwd=tmp_path, env=env).done()
    assert "\\u2192" in ended.out
