"""Orders packed by a pool of threads: each thread's events name the order that asked for them.

`python examples/threads.py [FOLDER]`
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import thence


def pack(log: thence.Log, item: str) -> None:
    """Packs an item, in whatever thread the pool has free."""
    with thence.step("pack", log=log, subject=f"item/{item}", actor="depot"):
        log.append("shelf.emptied", {"item": item})


def main(folder: str) -> None:
    """Takes two orders at once."""
    with thence.open(folder) as log, thence.propagate(ThreadPoolExecutor(4)) as pool:
        for order, items in (("881", "bread milk"), ("882", "salt")):
            with thence.step("order", log=log, subject=f"order/{order}", actor="shop"):
                for future in [pool.submit(pack, log, item) for item in items.split()]:
                    future.result()
        for item in ("milk", "salt"):
            print(*log.why(f"item/{item}").sentences, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["orders"])
