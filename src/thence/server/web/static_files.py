"""The script and the style of the pages, each under an address that changes with any of them."""

from functools import cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from thence.server.http.auth import OPEN_PREFIX

_KEPT_S = 365 * 24 * 60 * 60
_DIGEST_BYTES = 8


class _KeptFiles(StaticFiles):
    """Files that a browser may keep, as their address changes with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = f"public, max-age={_KEPT_S}, immutable"
        return response


@cache
def static_names() -> tuple[str, ...]:
    """Returns the names of all files, sorted."""
    return tuple(sorted(path.name for path in _folder().iterdir()))


@cache
def static_base() -> str:
    """Returns the address of the folder of all files, with a digest of them."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for name in static_names():
        digest.update(f"{name}\0".encode() + _folder().joinpath(name).read_bytes())
    return f"{OPEN_PREFIX}{digest.hexdigest()}"


def static_route() -> Mount:
    """Returns the route of the files."""
    return Mount(static_base(), _KeptFiles(directory=_folder()))


def _folder() -> Path:
    return Path(str(files("thence.server.web"))) / "static"
