"""Writes the public names of Python as a site, from signatures and docstrings: `make docs`.

It needs no network, to be made or to be read. Public is what the `__all__` of a front names.
"""

import sys
from importlib import import_module
from pathlib import Path

import pdoc

FRONTS = (
    "thence",
    "thence.otel",
    "thence.sim",
    "thence.sim.schemas",
    "thence.work",
    "thence.sync",
    "thence.core.merge",
    "thence.core.clock",
    "thence.core.order",
    "thence.server.app",
)


def main(folder: Path) -> None:
    """Writes the site into a folder."""
    for front in FRONTS:
        module = import_module(front)
        for name in getattr(module, "__all__", ()):
            vars(module).setdefault(name, getattr(module, name))  # some are imported when asked for
    pdoc.render.configure(docformat="markdown", show_source=False)
    pdoc.pdoc(*FRONTS, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
