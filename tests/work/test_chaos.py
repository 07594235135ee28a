"""Eight agents finish forty packages though a hundred things are broken around them."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest
from tests.work import chaos
from tests.work.chaos import PACKAGES, campaigns

FAULTS = 100


@pytest.mark.promise("L14")
@pytest.mark.timeout(600)
def test_features_are_finished_unattended_whatever_is_broken_meanwhile():
    ended = campaigns(FAULTS, random.randrange(2**32), PACKAGES)  # one, or more on a fast machine
    done = sum((each.done for each in ended), Counter())
    assert sum(done.values()) == FAULTS
    assert len(done) >= 8, done


def test_campaign_goes_on_with_other_features_until_all_faults_were_injected(monkeypatch):
    begun = []

    def worked_off(folder, faults, seed, packages):
        """Be done before all the faults came."""
        assert folder.is_dir()
        begun.append((faults, seed, packages))
        return SimpleNamespace(done=Counter(hang=min(faults, 60)))

    monkeypatch.setattr(chaos, "campaign", worked_off)
    assert sum(each.done["hang"] for each in campaigns(150, 7, 40)) == 150
    assert begun == [(100, 7, 40), (90, 8, 40), (30, 9, 40)]
