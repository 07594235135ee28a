"""The page where somebody who was invited sets a password, and the same for a terminal.

Whoever shows the token is believed, and nobody else: no cookie counts here, so that the page of
another site has nothing to abuse. A token that is unknown counts as a wrong password of its
address does. Looking at the page spends nothing, since programs that preview links do it too.
"""

from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thence.core.wire.messages import Acceptance
from thence.errors import AccountRefused, InvalidEvent, NotLoggedIn, ThenceError
from thence.server.errors import refusal
from thence.server.team.accounts import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN, Member
from thence.server.team.audit import AuditLog
from thence.server.team.invitations import Invitation, Invitations
from thence.server.team.logins import Logins
from thence.server.team.wire_http import address_of, body_of, decoded_as, packed, unpacked
from thence.server.web.layout import page
from thence.server.web.markup import Child, Html, el
from thence.server.workers import Workers

INVITATION_PATH = "/invitation"
BODY_BYTES_MAX = 16 * 1024
_FIELDS_MAX = 8
_FORM = "application/x-www-form-urlencoded"
# of the header Sec-Fetch-Site, which every browser sends and no page can set
_OWN_PAGES = frozenset(("same-origin", "none", ""))


class InvitationPages:
    """The routes of invitations; what they check runs in the threads of logins."""

    def __init__(
        self, invitations: Invitations, logins: Logins, audit: AuditLog, workers: Workers
    ) -> None:
        self._invitations = invitations
        self._logins = logins
        self._audit = audit
        self._workers = workers

    def routes(self) -> list[Route]:
        """Returns the routes of the pages."""
        return [Route(INVITATION_PATH, self._page, methods=("GET", "POST"))]

    def paths(self) -> list[tuple[str, tuple[str, ...], Callable[..., object]]]:
        """Returns the paths of the wire, their methods and endpoints."""
        return [("invitations", ("POST",), self._accept)]

    async def _accept(self, request: Request) -> Response:
        """Answers a program that accepts an invitation with the tokens of a first login."""
        body = await body_of(request, BODY_BYTES_MAX)

        def answer() -> Response:
            plain = unpacked(request, body, BODY_BYTES_MAX)
            message: Acceptance = decoded_as(plain, Acceptance)
            self._checked(request, message.token)
            member = self._joined(request, message.token, message.password)
            return packed(request, msgspec.json.encode(self._logins.begin(member.user)))

        return await self._workers.run(answer)

    async def _page(self, request: Request) -> Response:
        """Shows the form, or accepts what it holds; an error is a page too."""
        try:
            if request.method == "GET":
                return await self._workers.run(partial(self._form, request))
            if request.headers.get("sec-fetch-site", "") not in _OWN_PAGES:
                raise HTTPException(403, "this form was sent by the page of another site")
            body = await body_of(request, BODY_BYTES_MAX)
            return await self._workers.run(partial(self._accepted, request, body))
        except (ThenceError, HTTPException) as error:
            told = refusal(request.scope, error)
            answer = _page("No invitation", el("p", told.words, role="alert"), status=told.status)
            answer.headers.update(told.headers or {})
            return answer

    def _form(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        return _form_page(self._checked(request, token), token)

    def _accepted(self, request: Request, body: bytes) -> Response:
        fields = _fields(request, body)
        token, password = fields.get("token", ""), fields.get("password", "")
        invitation = self._checked(request, token)
        if fields.get("again") != password:
            return _form_page(invitation, token, "the two passwords differ")
        try:
            member = self._joined(request, token, password)
        except AccountRefused as error:
            return _form_page(invitation, token, f"{error.cause}; {error.hint}")
        return _welcome(member, self._invitations.server_url)

    def _checked(self, request: Request, token: str) -> Invitation:
        """Returns the invitation of a token; raises NotLoggedIn, ServerBusy after many failures."""
        address = address_of(request)
        self._logins.admit(address)
        try:
            invitation = self._invitations.of(token)
        except NotLoggedIn:
            self._audit.record_failure(None, address, "invitation")
            raise
        self._logins.forgive(address)
        return invitation

    def _joined(self, request: Request, token: str, password: str) -> Member:
        """Accepts an invitation; raises what `Invitations.accept` raises."""
        member = self._invitations.accept(token, password)
        words = {**member._asdict(), "address": address_of(request)}
        self._audit.record("invitation.accepted", member.user, **words)
        return member


def invitation_link(url: str, token: str) -> str:
    """Returns the address of the page where an invitation is accepted."""
    return f"{url}{INVITATION_PATH}?{urlencode({'token': token})}"


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """Returns the fields of a form; raises InvalidEvent for what is none."""
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise ValueError("it is no form")
        text = body.decode("ascii")
        return dict(parse_qsl(text, True, errors="strict", max_num_fields=_FIELDS_MAX))
    except ValueError as error:
        raise InvalidEvent("could not read the form", cause=error) from error


def _form_page(invitation: Invitation, token: str, problem: str = "") -> Response:
    limits: dict[str, str | int | bool] = {
        "type": "password",
        "required": True,
        "minlength": PASSWORD_CHARACTERS_MIN,
        "maxlength": PASSWORD_CHARACTERS_MAX,
        "autocomplete": "new-password",
    }
    form = el(
        "form",
        el("input", type="hidden", name="token", value=token),
        _field("username", "Your name", type="text", value=invitation.name, readonly=True),
        _field("password", f"A password of {PASSWORD_CHARACTERS_MIN} characters or more", **limits),
        _field("again", "The same password again", **limits),
        el("button", "Join", type="submit"),
        method="post",
        action=INVITATION_PATH,
    )
    alert = el("p", problem, role="alert") if problem else None
    words = el("p", f"You are invited with the role {invitation.role}. The link works once.")
    return _page(f"Join {invitation.team}", words, alert, form, status=400 if problem else 200)


def _field(name: str, label: str, **attributes: str | int | bool) -> Html:
    make: Callable[..., Html] = el
    field = make("input", id=name, name=name, **attributes)
    return el("p", el("label", label, for_=name), field)


def _welcome(member: Member, url: str) -> Response:
    command = f"thence sync login {url or 'URL'} --username {member.user}"
    words = el("p", f"You are {member.user}, with the role {member.role}. Log in on your machine:")
    return _page(f"Welcome to {member.team}", words, el("pre", command))


def _page(heading: str, *body: Child, status: int = 200) -> Response:
    return page(heading, el("h1", heading), *body, status=status)
