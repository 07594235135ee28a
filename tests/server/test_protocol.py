"""What is no request that anybody means is cut off, and the server goes on."""

import socket

import pytest
from tests.server.runs import make_run
from tests.server.serving import serving

from thence.server.http.protocol import HEAD_BYTES_MAX

PIECE = 4_096


def answered(port: int, begin: bytes, filler: bytes, pieces: int) -> tuple[bytes, int]:
    """Send a beginning and fillers until there is an answer; return it, and the bytes sent."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(begin)
        client.settimeout(0.05)
        for _ in range(pieces):
            try:
                client.sendall(filler)
                sent += len(filler)
                if found := client.recv(65_536):
                    return found, sent
            except TimeoutError:
                continue
            except ConnectionError:
                break
        client.settimeout(10)
        return client.recv(65_536), sent


@pytest.mark.parametrize(
    ("begin", "filler"),
    [
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", b"x" * PIECE),
        (b"GET /health HTTP/1.1\r\n", b"".join(b"x%04d: 1\r\n" % n for n in range(PIECE // 10))),
        (b"GET /", b"x" * PIECE),
    ],
    ids=["a header", "headers", "a path"],
)
def test_head_without_end_is_refused_and_the_server_goes_on(tmp_path, begin, filler) -> None:
    make_run(tmp_path, "run", count=3)
    with serving(tmp_path) as server:
        found, sent = answered(server.client.base_url.port, begin, filler, 1_000)
        assert found.startswith(b"HTTP/1.1 400 ")
        assert found.endswith(b"The head of the request is too long.")
        assert HEAD_BYTES_MAX - PIECE <= sent <= 4 * HEAD_BYTES_MAX
        assert server.get("/simulations/run/events").status_code == 200


def test_long_head_is_answered_and_the_next_on_its_connection_too(tmp_path) -> None:
    make_run(tmp_path, "run", count=3)
    headers = {f"x-{number}": "x" * 1_000 for number in range(50)}
    with serving(tmp_path) as server:
        for _ in range(5):
            assert server.client.get("/health", headers=headers).status_code == 200


def test_body_that_nobody_reads_may_be_long(tmp_path) -> None:
    make_run(tmp_path, "run", count=3)
    with serving(tmp_path) as server:
        answer = server.client.post("/simulations", content=b"x" * 4 * HEAD_BYTES_MAX)
        assert answer.status_code == 405
        assert server.get("/health").status_code == 200
