"""The names of this machine for itself, and the host in a Host header."""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def host_of(header: str) -> str:
    """Returns the host of a Host header in lower case, without its port."""
    address = header.strip().lower()
    host, colon, port = address.rpartition(":")
    is_port = bool(colon) and (port.isdigit() or not port)
    return host if is_port and (":" not in host or host.endswith("]")) else address
