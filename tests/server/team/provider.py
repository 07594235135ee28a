"""A provider of OpenID Connect on loopback, with keys of its own, that can be made to lie."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "thence-tests", "s3cret/%"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def new_key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


class Provider:
    """A provider whose user is `claims`, None for one that it leaves out.

    `sign` makes the token, `answers[path]` other answers: a status and a body, or None for one
    that never comes before `release`.
    """

    def __init__(self) -> None:
        self.keys = [new_key("first")]
        self.claims: dict[str, Any] = {"preferred_username": "ada"}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.answers: dict[str, tuple[int, bytes] | None] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.devices: dict[str, str] = {}
        self.requests: list[str] = []
        self.asked, self.polled = threading.Event(), threading.Event()
        self.release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.issuer = self.url
        self.has_page = False  # which leads back, as one does where a user clicks
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def signed(self, claims: dict[str, Any], key: RSAKey | None = None) -> str:
        key = key or self.keys[0]
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    def token(self, nonce: str = "") -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 60}
        claims |= {**({"nonce": nonce} if nonce else {}), **self.claims}
        return self.sign({name: claim for name, claim in claims.items() if claim is not None})

    def let_in(self, user_code: str) -> None:
        """Does what a user does who types a code."""
        (device,) = [code for code, text in self.devices.items() if text == user_code]
        self.devices[device] = "let in"

    def answer(self, path: str, fields: dict[str, str], login: str) -> tuple[int, Any, str]:
        """Returns a status, a body and where it leads."""
        self.requests.append(path)
        if path in self.answers:
            special = self.answers[path]
            if special is None:
                self.asked.set()
                self.release.wait(60)
                return 500, {}, ""
            return special[0], special[1], ""
        if path == "/.well-known/openid-configuration":
            places = {
                "authorization_endpoint": "/authorize",
                "token_endpoint": "/token",
                "jwks_uri": "/keys",
                "device_authorization_endpoint": "/device",
            }
            urls = {name: self.issuer + place for name, place in places.items()}
            return 200, {"issuer": self.issuer, **urls}, ""
        if path == "/keys":
            return 200, {"keys": [key.as_dict(private=False) for key in self.keys]}, ""
        if path == "/authorize":
            code = secrets.token_urlsafe(8)
            self.codes[code] = fields
            query = urlencode({"code": code, "state": fields["state"]})
            target = f"{fields['redirect_uri']}?{query}"
            if self.has_page:
                return 200, b'<meta http-equiv="refresh" content="0;url=%s">' % target.encode(), ""
            return 303, {}, target
        if login != f"Basic {base64.b64encode(b'thence-tests:s3cret%2F%25').decode()}":
            return 401, {"error": "invalid_client"}, ""
        if path == "/device":
            device, user = secrets.token_urlsafe(8), secrets.token_hex(3)
            self.devices[device] = user
            code = {"device_code": device, "user_code": user, "expires_in": 60, "interval": 1}
            return 200, {**code, "verification_uri": f"{self.issuer}/type"}, ""
        return (*self._token(fields), "")

    def _token(self, fields: dict[str, str]) -> tuple[int, Any]:
        if fields["grant_type"] == DEVICE_GRANT:
            state = self.devices.get(fields["device_code"])
            self.polled.set()
            if state != "let in":
                return 400, {"error": "authorization_pending" if state else "invalid_grant"}
            del self.devices[fields["device_code"]]
            return 200, {"id_token": self.token()}
        begun = self.codes.pop(fields["code"], None)
        digest = hashlib.sha256(fields["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            begun is None
            or begun["code_challenge"] != challenge
            or begun["redirect_uri"] != fields["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"id_token": self.token(begun["nonce"])}


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            fields = {name: texts[0] for name, texts in parse_qs(parts.query or body).items()}
            login = self.headers.get("Authorization", "")
            status, answer, target = provider.answer(parts.path, fields, login)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if target:
                self.send_header("Location", target)
            is_page = data.startswith(b"<")
            self.send_header("Content-Type", "text/html" if is_page else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # who asks has seen enough

        def log_message(self, *_: object) -> None:
            """Leave stderr to the test."""

    return Handler
