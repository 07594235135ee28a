"""What a test expects of an error that has no class of its own: the word that programs go by."""

from contextlib import contextmanager

import pytest

from thence.errors import ThenceError


@contextmanager
def raises_code(*codes, match=None):
    """Expect an error of the enclosed block that has one of some codes, as pytest.raises does."""
    with pytest.raises(ThenceError, match=match) as caught:
        yield caught
    assert caught.value.code in codes
