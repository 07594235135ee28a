"""A provider of OpenID Connect: asked by this server alone, and believed when its token holds.

A token counts if one of the provider's present keys signed it by an algorithm with a public key,
and if it names this provider, this server, a time that is not over, and the nonce of the browser
that began. Each question to the provider has 10 s and 4 MiB; no redirect is followed.
"""

import base64
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from thence.errors import NotLoggedIn, SyncRefused
from thence.server.team.login_settings import OidcSettings
from thence.sync.connection import Connection, HttpAnswer
from thence.sync.wire.messages import DeviceCode, DevicePending

REQUEST_S = 10.0
DOCUMENTS_S = 600.0  # how long the provider's documents are believed
KEYS_AGAIN_S = 30.0  # an unknown key has them read again, so often at most
LEEWAY_S = 60
# those with a public key: whoever has that can't sign
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_SLOW_DOWN = "slow_down"
_WAITS = ("authorization_pending", _SLOW_DOWN)


class Metadata(msgspec.Struct, frozen=True):
    """What is read of a provider's document about itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    device_authorization_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _TokenAnswer(msgspec.Struct, frozen=True):
    id_token: str = ""
    error: str = ""


class Provider:
    """The provider of some settings; safe from threads."""

    def __init__(self, settings: OidcSettings, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._mutex = Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def authorization_url(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Returns where a browser is sent to log in; raises `server_unreachable`."""
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        endpoint = self.metadata().authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def user_of_code(self, code: str, redirect_uri: str, nonce: str, verifier: str) -> str:
        """Returns the name that the provider gives a browser's user.

        Raises NotLoggedIn for a code or token that is not good, `server_unreachable`.
        """
        fields = {"code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        answer = self._token({"grant_type": "authorization_code", **fields})
        return self._user(answer.id_token, nonce)

    def begin_device(self) -> DeviceCode:
        """Returns the codes of a device's login; raises NotLoggedIn, `server_unreachable`."""
        endpoint = self.metadata().device_authorization_endpoint
        if not endpoint:
            raise _refused("the provider knows no logins of terminals (device flow)")
        answer = self._post(endpoint, {"scope": "openid profile email"})
        if answer.status != 200:
            raise _refused(f"the provider refused to begin, with status {answer.status}")
        code: DeviceCode = _decoded(answer, DeviceCode)
        return code

    def user_of_device(self, device_code: str) -> str | DevicePending:
        """Returns the name of who has let a device in, once somebody has; raises as above."""
        answer = self._token({"grant_type": DEVICE_GRANT, "device_code": device_code})
        if answer.error:
            return DevicePending(answer.error == _SLOW_DOWN)
        return self._user(answer.id_token, None)

    def metadata(self) -> Metadata:
        """Returns the provider's document about itself; raises `server_unreachable`."""
        with self._mutex:
            if self._metadata is None or monotonic() - self._metadata[0] > DOCUMENTS_S:
                issuer = self._settings.issuer
                url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
                metadata: Metadata = _decoded(_ask("GET", url), Metadata)
                if metadata.issuer != issuer:
                    raise _unusable("it says that it is another one than --oidc-issuer names")
                self._metadata = monotonic(), metadata
            return self._metadata[1]

    def _token(self, fields: Mapping[str, str]) -> _TokenAnswer:
        """Returns an answer with a token, or one whose error says to wait."""
        http = self._post(self.metadata().token_endpoint, fields)
        answer: _TokenAnswer = _decoded(http, _TokenAnswer)
        if answer.error in _WAITS:
            return answer
        if http.status != 200 or not answer.id_token:
            raise _refused("the provider did not confirm it: begin again")
        return answer

    def _post(self, url: str, fields: Mapping[str, str]) -> HttpAnswer:
        client, secret = self._settings.client_id, self._settings.secret
        headers, body = dict(_FORM), {**fields, "client_id": client}
        methods = self.metadata().token_endpoint_auth_methods_supported
        if secret and "client_secret_basic" in methods:
            pair = f"{quote(client, safe='')}:{quote(secret, safe='')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        elif secret:
            body["client_secret"] = secret
        return _ask("POST", url, headers, urlencode(body).encode())

    def _user(self, token: str, nonce: str | None) -> str:
        """Returns the claim that names the user in a token that holds; raises NotLoggedIn."""
        try:
            claims = self._claims(token)
            rules: dict[str, Any] = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
                "exp": {"essential": True},
                "iat": {"essential": True},
            }
            if nonce is not None:
                rules["nonce"] = {"essential": True, "value": nonce}
            now = int(self._now())
            jwt.JWTClaimsRegistry(now=now, leeway=LEEWAY_S, **rules).validate(claims)
        except (JoseError, ValueError) as error:
            raise _refused(f"the provider's token is invalid: {type(error).__name__}") from error
        is_for_several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (
            claims.get("azp", is_for_several or self._settings.client_id)
            != self._settings.client_id
        ):
            raise _refused("the provider's token is for another program")
        claim = self._settings.claim
        name = claims.get(claim)
        if not isinstance(name, str) or not name:
            raise _refused(f"the provider sent no {claim}")
        if claim == "email" and claims.get("email_verified") is not True:
            raise _refused("the provider has not verified the address")
        return name

    def _claims(self, token: str) -> dict[str, Any]:
        """Returns the claims of a token that one of the provider's keys has signed."""
        for is_again in (False, True):
            keys = self._key_set(is_again=is_again)
            try:
                return jwt.decode(token, keys, algorithms=ALGORITHMS).claims
            except InvalidKeyIdError:
                if is_again:
                    raise
        raise AssertionError

    def _key_set(self, *, is_again: bool) -> KeySet:
        url = self.metadata().jwks_uri
        with self._mutex:
            age_s = monotonic() - self._keys[0] if self._keys else DOCUMENTS_S
            if self._keys is None or age_s >= (KEYS_AGAIN_S if is_again else DOCUMENTS_S):
                document = _decoded(_ask("GET", url), dict[str, Any])
                try:
                    self._keys = monotonic(), KeySet.import_key_set(document)
                except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
                    raise _unusable("its keys can't be read") from error
            return self._keys[1]


def _ask(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> HttpAnswer:
    """Asks the provider; raises `server_unreachable` for what is no address, and what fails."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    try:
        host = f"{parts.scheme}://{parts.netloc}"
        with closing(Connection(host, request_s=REQUEST_S)) as connection:
            return connection.ask(method, parts.path, query=query, headers=headers, body=body)
    except SyncRefused as error:
        raise _unusable(error.cause) from error


def _decoded(answer: HttpAnswer, kind: Any) -> Any:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unusable(f"its answer of status {answer.status} can't be read") from error


def _refused(cause: str) -> NotLoggedIn:
    return NotLoggedIn(
        "could not log in by the provider", cause=cause, hint="ask an admin of the server"
    )


def _unusable(cause: str) -> SyncRefused:
    operation, hint = "could not use the provider of logins", "try again, or use a password"
    return SyncRefused(operation, cause=cause, hint=hint, code="server_unreachable")
