"""HEAD requests: what GET would answer, without its body."""

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Bodiless:
    """Answers HEAD by the beginning of the answer to GET, and ends the work on the rest.

    So a stream, which never ends, is answered too. Place it before all that looks at methods.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the app does, HEAD as it does GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def begun(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                answering.cancel()

        with CancelScope() as answering:
            await self._app({**scope, "method": "GET"}, receive, begun)
