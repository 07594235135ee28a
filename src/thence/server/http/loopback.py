"""What this machine calls itself, and which host a request names."""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def host_of(header: str) -> str:
    """Returns the host of a Host header in lower case, without its port."""
    whole = header.strip().lower()
    host, colon, port = whole.rpartition(":")
    is_port = bool(colon) and (port.isdigit() or not port)
    return host if is_port and (":" not in host or host.endswith("]")) else whole
