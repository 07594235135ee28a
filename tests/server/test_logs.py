from tests.log.index.logs import generation
from tests.server.runs import make_large, make_run

from thence.server.logs.root import Logs, Root
from thence.server.logs.summaries import Summaries


def test_logs_asked_for_last_stay_open(tmp_path) -> None:
    for name in "abc":
        make_run(tmp_path, name, count=2)
    logs = Logs(Root(tmp_path), open_max=2)
    opened = {}
    for name in "abca":
        with logs.using(logs.root.find(name)) as log:
            opened.setdefault(name, []).append(log.reader)
    assert opened["a"][0] is not opened["a"][1]
    with logs.using(logs.root.find("c")) as log:
        assert log.reader is opened["c"][0]
    logs.close()


def test_log_in_use_stays_open_over_the_bound(tmp_path) -> None:
    for name in "abc":
        make_run(tmp_path, name, count=2)
    logs = Logs(Root(tmp_path), open_max=1)
    with logs.using(logs.root.find("a")) as a:
        for name in "bc":
            with logs.using(logs.root.find(name)):
                pass
        with logs.using(logs.root.find("a")) as again:
            assert again.reader is a.reader
            assert len(again.reader.events()) == 2


def test_look_at_many_leaves_what_is_open(tmp_path) -> None:
    for name in "abc":
        make_run(tmp_path, name, count=2)
    logs = Logs(Root(tmp_path), open_max=1)
    with logs.using(logs.root.find("a")) as a:
        pass
    for name in "bc":
        with logs.using(logs.root.find(name), is_kept=False):
            pass
    with logs.using(logs.root.find("a")) as again:
        assert again.reader is a.reader


def test_summary_and_questions_of_a_small_log_share_one_index(tmp_path) -> None:
    make_run(tmp_path, "run", count=2)
    logs = Logs(Root(tmp_path))
    found = logs.root.find("run")
    with logs.using(found) as log:
        assert log.reader.query().total == 2
        built = generation(log.index)
    assert Summaries(logs).of(found).events == 2
    with logs.using(found) as log:
        assert generation(log.index) == built
    logs.close()


def test_log_that_will_get_its_index_by_the_next_question_is_known(tmp_path) -> None:
    make_run(tmp_path, "small", count=2)
    big = make_run(tmp_path, "big", count=60)
    make_large(big)
    logs = Logs(Root(tmp_path))
    assert not logs.lacks_index(logs.root.find("small"))
    assert logs.lacks_index(logs.root.find("big"))
    with logs.using(logs.root.find("big")) as log:
        assert log.reader.query().total > 50
    assert not logs.lacks_index(logs.root.find("big"))
    logs.close()
    assert not Logs(logs.root).lacks_index(logs.root.find("big"))
    (big / ".thence/index.db").unlink()
    assert Logs(logs.root).lacks_index(logs.root.find("big"))
