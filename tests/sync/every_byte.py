"""A sync that is spoilt at every byte in turn, in each way.

`python -m tests.sync.every_byte [STRIDE]` plays all sessions; with a STRIDE each so many bytes. It
ends at the first place where a session does not end in time, or both sides are not equal later.
"""

import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.server.team.team_server import team_server
from tests.sync.proxy import KINDS, Fault, Proxy
from tests.sync.test_faults import Sessions


def main(stride: int) -> None:
    """Play all sessions; print how many there were of each kind, and how many were whole."""
    began = monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with team_server(root / "server") as server, Proxy(server.url) as proxy:
            sessions = Sessions(root, server, proxy)
            assert sessions.play(None).is_complete
            lengths = {way: len(passed) for way, passed in proxy.passed.items()}
            for kind in KINDS:
                places = [(way, at) for way in lengths for at in range(0, lengths[way], stride)]
                whole = 0
                for place in places:
                    try:
                        whole += sessions.play(Fault(kind, *place)).is_complete
                    except BaseException:
                        print(f"{kind} at byte {place[1]:,} of {place[0]}", file=sys.stderr)
                        raise
                print(f"{kind}: {len(places):,} sessions, {whole:,} of them whole", flush=True)
    print(f"{monotonic() - began:.0f} s; both sides held each line once after all of them")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
