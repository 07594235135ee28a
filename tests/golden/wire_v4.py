"""A session about large values, which version 4 of the wire brought: questions and answers.

`python -m tests.golden.wire_v4` writes it anew. A change of it is a change of the wire.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.golden.wire_v3 import played
from tests.server.team.team_server import team_server

FOLDER = Path(__file__).parent / "bodies-v2"
FILE = Path(__file__).parent / "wire-v4" / "session.jsonl"
_LOG = "?log=asked&kind=plain"


def exchanges() -> Iterator[tuple[str, ...]]:
    """Yield method, path, body and signature of each request, by a writer of the team."""
    pieces = (FOLDER / "bodies.jsonl").read_text().split("\n")[:-1]
    lines = (FOLDER / "events.jsonl").read_text().split("\n")[:-1]
    named = [body for line in lines for body in json.loads(line).get("bodies", ())]
    names = json.dumps({"digests": [*sorted({digest for _, digest, _ in named}), "00" * 32]})
    places = [[digest, size] for _, digest, size in named]
    first = json.loads(pieces[0])["bytes"]
    values = json.dumps({"values": [*places, [places[1][0], first], [places[0][0], 1]]})
    batch = '{"events":[' + ",".join(lines) + "]}"

    def told(*given: str) -> str:
        return '{"pieces":[' + ",".join(given) + "]}"

    yield "POST", f"/api/v1/events/pieces/missing/{_LOG}&protocol=4", names, ""
    yield "POST", f"/api/v1/events/values/{_LOG}&protocol=4", values, ""
    yield "POST", f"/api/v1/events/pieces/{_LOG}&protocol=4", told(pieces[1]), ""
    yield "POST", f"/api/v1/events/pieces/{_LOG}&protocol=4", told(*pieces[:2]), ""
    yield "POST", f"/api/v1/events/batch/{_LOG}&protocol=4", batch, ""
    yield "POST", f"/api/v1/events/pieces/missing/{_LOG}&protocol=4", names, ""
    yield "POST", f"/api/v1/events/values/{_LOG}&protocol=4", values, ""
    yield "POST", f"/api/v1/events/pieces/{_LOG}&protocol=4", told(*pieces), ""
    yield "POST", f"/api/v1/events/batch/{_LOG}&protocol=4", batch, ""
    yield "POST", f"/api/v1/events/values/{_LOG}&protocol=4", values, ""
    yield "POST", f"/api/v1/events/pieces/{_LOG}&protocol=4", told(pieces[0][:-3] + '0"}'), ""
    yield "GET", f"/api/v1/events{_LOG}&protocol=4", "", ""
    yield "GET", f"/api/v1/events{_LOG}", "", ""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        team_server(Path(folder) / "data") as server,
    ):
        client = server.client("ada")
        found = [played(client, *each) for each in exchanges()]
    FILE.parent.mkdir(exist_ok=True)
    lines = (json.dumps(each, ensure_ascii=False) for each in found)
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
