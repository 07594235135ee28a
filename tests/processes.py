"""The processes that a process has begun, as Linux tells of them."""

from contextlib import suppress
from pathlib import Path


def state_of(process: int) -> str:
    """Returns the letter of a process's state, such as "S" or "Z"; empty where it is gone."""
    with suppress(OSError):
        # behind the name, which may hold spaces and brackets (proc(5))
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def children(parent: int) -> list[int]:
    """Returns the ids of a process's children that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # behind the name, which may hold spaces and brackets (proc(5))
            state, *numbers = stat.read_text().rpartition(")")[2].split()
            if int(numbers[0]) == parent and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)
