"""What is no request that anybody means is cut off, and the server goes on."""

import socket

import pytest
from tests.server.runs import make_run
from tests.server.serving import serving

from thence.server.http.protocol import HEAD_BYTES_MAX


def answered(port: int, begin: bytes, filler: bytes) -> bytes:
    """Send the shortest head that is too long, without its end; return the answer.

    A client that sends more would lose the answer where the server closes before it has read all.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall((begin + filler * HEAD_BYTES_MAX)[: HEAD_BYTES_MAX + 1])
        answer = b""
        while part := client.recv(65_536):
            answer += part
        return answer


@pytest.mark.parametrize(
    ("begin", "filler"),
    [
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
        (b"GET /health HTTP/1.1\r\n", b"x: 1\r\n"),
        (b"GET /", b"x"),
    ],
    ids=["a header", "headers", "a path"],
)
@pytest.mark.whole(rows=2)
def test_head_without_end_is_refused_and_the_server_goes_on(tmp_path, begin, filler) -> None:
    make_run(tmp_path, "run", count=3)
    with serving(tmp_path) as server:
        found = answered(server.client.base_url.port, begin, filler)
        assert found.startswith(b"HTTP/1.1 400 ")
        assert found.endswith(b"The headers of the request are too long.")
        assert server.get("/simulations/run/events").status_code == 200


def test_long_head_is_answered_and_the_next_on_its_connection_too(tmp_path, server) -> None:
    make_run(tmp_path, "run", count=3)
    headers = {f"x-{number}": "x" * 1_000 for number in range(50)}
    for _ in range(5):
        assert server.client.get("/health", headers=headers).status_code == 200


def test_body_that_nobody_reads_may_be_long(tmp_path, server) -> None:
    make_run(tmp_path, "run", count=3)
    answer = server.client.post("/simulations", content=b"x" * 4 * HEAD_BYTES_MAX)
    assert answer.status_code == 405
    assert server.get("/health").status_code == 200
