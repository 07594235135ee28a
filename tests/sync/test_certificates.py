"""A certificate that does not hold at the time of this machine's clock: an error that says so."""

import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from socket import create_server

import pytest
from tests.cli.installed import is_three_lines, thence

_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
[server]
subjectAltName = IP:127.0.0.1
"""


def certificate(folder, begin, end):
    """Make a certificate of its own for this machine that holds between two times."""
    openssl = shutil.which("openssl")
    assert openssl, "install openssl: this test makes certificates with it"
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(_CONFIG.format(folder=folder))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    asked = ["req", *key, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "csr.pem"]
    signed = ["ca", "-config", "ca.cnf", "-batch", "-selfsign", "-keyfile", "key.pem"]
    signed += ["-in", "csr.pem", "-out", "cert.pem", "-startdate", begin, "-enddate", end]
    for argv in (asked, signed):
        subprocess.run([openssl, *argv], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@contextmanager
def listening(cert, key):
    """Accept one TLS connection, on a free port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with create_server(("127.0.0.1", 0)) as listener:

        def accept():
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    ("begin", "end"),
    [("20200101000000Z", "20210101000000Z"), ("20400101000000Z", "20410101000000Z")],
    ids=["expired", "not yet valid"],
)
def test_certificate_and_clock_that_do_not_fit_are_named_as_such(tmp_path, begin, end):
    cert, key = certificate(tmp_path, begin, end)
    with listening(cert, key) as port:
        given = ("--username", "ada", "--password-stdin", "--ca", cert)
        env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        ended = thence(
            "sync", "login", f"https://127.0.0.1:{port}", *given, cwd=tmp_path, env=env, stdin=b"x"
        )
    assert (ended.code, is_three_lines(ended.err)) == (1, True)
    assert "certificate" in ended.err
    assert "clock" in ended.err
    assert not (tmp_path / "config/thence/credentials.json").exists()
