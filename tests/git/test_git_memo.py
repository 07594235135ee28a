"""What git has told of commits is kept from one command to the next."""

import pytest
from tests.git.repositories import make_repository

from thence.git.landed import Memo
from thence.git.repository import repository


@pytest.fixture
def repo(tmp_path):
    return repository(make_repository(tmp_path / "r"))


def test_answer_is_kept_and_nobody_asks_again(repo, tmp_path):
    memo = Memo(repo, tmp_path)
    memo.table("a", "x")["one"] = 1
    assert memo.last("b", "one", lambda: 1) == memo.last("b", "one", lambda: 1 / 0) == 1
    memo.save()
    again = Memo(repo, tmp_path)
    assert again.table("a", "x") == {"one": 1}
    assert again.last("b", "one", lambda: 1 / 0) == 1
    assert again.last("b", "two", lambda: None) is None
    assert again.table("a", "y") == {}
    again.save()
    assert Memo(repo, tmp_path).last("b", "one", lambda: 3) == 3


def test_shallow_clone_keeps_nothing_for_it_may_tell_more_when_it_is_whole(repo, tmp_path):
    (repo.common / "shallow").write_text("")
    memo = Memo(repo, tmp_path)
    memo.table("a", "x")["one"] = 1
    memo.save()
    assert Memo(repo, tmp_path).table("a", "x") == {}


@pytest.mark.parametrize("data", [b"", b"{", b"\x91\x01", b"\xff", b"\x91" * 100_000], ids=range(5))
def test_file_that_can_not_be_read_counts_for_nothing(repo, tmp_path, data):
    (tmp_path / "memo").write_bytes(data)
    memo = Memo(repo, tmp_path)
    assert memo.last("a", "one", lambda: 1) == 1
    memo.save()
    assert Memo(repo, tmp_path).last("a", "one", lambda: 1 / 0) == 1
