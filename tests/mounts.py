"""Small filesystems of their own, which can really be full."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# why a system lets its user mount nothing
NOT_ALLOWED = re.compile("permission denied|superuser|not permitted", re.IGNORECASE)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[bool]:
    """Mount a filesystem at a new folder, and tell whether the system let this user do so.

    A mount that fails for another reason fails the test: it would try nothing, and pass.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    ended = subprocess.run(mount, capture_output=True, text=True, check=False)
    assert ended.returncode == 0 or NOT_ALLOWED.search(ended.stderr), ended.stderr
    try:
        yield ended.returncode == 0
    finally:
        if ended.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)
