"""Eight agents finish forty packages though a hundred things are broken around them."""

from collections import Counter
from types import SimpleNamespace

import pytest
from tests.tiers import seed, tenth
from tests.work import chaos
from tests.work.chaos import PACKAGES, campaigns

FAULTS, OF_A_FEATURE = tenth((100, PACKAGES), (20, 24))


@pytest.mark.promise("L14")
@pytest.mark.timeout(600)
@pytest.mark.whole
def test_features_are_finished_unattended_whatever_is_broken_meanwhile():
    ended = campaigns(FAULTS, seed("chaos"), OF_A_FEATURE)  # one, or more on a fast machine
    done = sum((each.done for each in ended), Counter())
    assert sum(done.values()) == FAULTS
    assert len(done) >= tenth(8, 5), done


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
