"""A session with a team's server, in version 3 of the wire: what is asked, and each answer.

`python -m tests.golden.wire_v3` writes it anew. A change of it is a change of the wire.
"""

import json
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

from tests.server.team.lines import NODE
from tests.server.team.notices import ANN, Node
from tests.server.team.stranger import Client
from tests.server.team.team_server import team_server

from thence.core.values.digests import digests
from thence.core.wire.authorship import signed_push

FILE = Path(__file__).parent / "wire-v3" / "session.jsonl"
_LOG = "?log=orders&kind=plain"
EPOCH = "0123456789abcdef"
_HEADERS = {"Content_Type": "application/json"}


def exchanges() -> Iterator[tuple[str, ...]]:
    """Yield method, path, body and signature of each request, by a writer of the team."""
    node = Node()
    lines = [node.said("one"), node.said("zwölf"), node.said("swordfish")]
    twin = node.said("four")[: -len(',"crc":"00000000"}')] + b',"more":1'
    foreign = b'{"event_id": "theirs", "event_type": "Told", "note": "x"}'
    late = [node.redaction(lines[2], is_caused=False)]
    batch = f"/api/v1/events/batch/{_LOG}"

    def body(*given: bytes) -> str:
        return '{"events":[' + b",".join(given).decode() + "]}"

    yield "GET", f"/api/v1/events{_LOG}", "", ""
    yield "POST", batch, body(*lines), ""
    behind = f"&after={_cursor(lines)}&seen={_cursor(lines[:2])}"
    yield "POST", batch + behind, body(lines[0], foreign), ""
    yield "POST", batch + behind, body(lines[1]), ""
    yield "POST", batch, body(node.lines[3], twin + b',"crc":"%08x"}' % crc32(twin)), ""
    yield "POST", batch, body(lines[0][:-9] + b'00000000"}'), ""
    yield "POST", batch, "[]", ""
    yield "POST", "/api/v1/events/batch/?log=orders&kind=work", body(lines[0]), ""
    wanted = {"digests": [digests(lines[0]).line.hex(), "00" * 32]}
    yield "POST", f"/api/v1/events/missing/{_LOG}", json.dumps(wanted), ""
    yield "POST", f"/api/v1/events/lines/{_LOG}", json.dumps(wanted), ""
    yield "GET", f"/api/v1/events{_LOG}&limit=2", "", ""
    for name in ("after", "seen"):
        yield "GET", f"/api/v1/events{_LOG}&{name}=other.1.0123456789abcdef", "", ""
        yield "POST", f"{batch}&{name}=other.1.0123456789abcdef", body(lines[0]), ""
    yield "POST", "/api/v1/events/batch/", body(foreign), ""
    yield "GET", "/api/v1/keys/", "", ""
    yield "POST", "/api/v1/keys/", json.dumps({"public_key": ANN.public_key, "nodes": [NODE]}), ""
    yield "POST", batch, body(*late), ""
    push = signed_push(ANN, "red", "orders", [digests(line).line for line in (lines[0], *late)])
    yield "POST", batch, body(lines[0], *late), push.header
    yield "POST", batch, body(lines[1], *late), push.header
    yield "POST", batch, body(lines[1]), "x"
    yield "POST", f"/api/v1/events/signed/{_LOG}", json.dumps(wanted), ""
    yield "GET", f"/api/v1/events{_LOG}&key={ANN.public_key}", "", ""


def _cursor(lines: list[bytes]) -> str:
    """Return the cursor behind the first lines of the log."""
    chain = b""
    for line in lines:
        chain = sha256(chain + digests(line).line).digest()[:8]
    return f"{EPOCH}.{len(lines)}.{chain.hex()}"


def played(client: Client, method: str, path: str, body: str, signature: str) -> dict[str, Any]:
    """Ask once, and return the request with its answer, or with the code of an error."""
    headers = _HEADERS | ({"X_Signature": signature} if signature else {})
    got = client.ask(method, path, body.encode() or None, **headers)
    answer = got.body.decode() if got.status == 200 else got.code
    request = {"method": method, "path": path, "body": body, "signature": signature}
    return {**request, "status": got.status, "answer": answer}


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
