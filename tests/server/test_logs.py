from tests.server.runs import make_run

from thence.server.logs.root import Logs, Root


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
