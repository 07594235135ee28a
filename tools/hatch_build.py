"""The hook of hatchling that makes the links of the README absolute in the package's metadata.

An index shows the README without the tree around it. A link becomes one to the forge that
`[project.urls]` names, at the tag of the version; a picture becomes one to its bytes.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# code is left as it is: `a[0](b)` is no link there
CODE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"""(\]\(<?|^\[[^\]]+\]:\s+|\b(?:href|src)=")([^\s)>"]+)""", re.MULTILINE)
CANDIDATES = re.compile(r'(\bsrcset=")([^"]+)')
CANDIDATE = re.compile(r"((?:^|,)\s*)([^\s,]+)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//")
PICTURES = {".avif", ".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp"}


def absolute_links(text: str, forge: str, version: str) -> str:
    """Return Markdown whose relative links lead to the forge."""

    def lead(match: re.Match[str]) -> str:
        before, path = match.groups()
        if ELSEWHERE.match(path):
            return match[0]
        name = PurePosixPath(path.partition("#")[0])
        kind = "raw" if name.suffix in PICTURES else "blob"
        return f"{before}{forge}/{kind}/v{version}/{path.removeprefix('./')}"

    def lead_candidates(match: re.Match[str]) -> str:
        return match[1] + CANDIDATE.sub(lead, match[2])

    parts = CODE.split(text)
    parts[::2] = [CANDIDATES.sub(lead_candidates, LINK.sub(lead, part)) for part in parts[::2]]
    return "".join(parts)


class ReadmeHook(MetadataHookInterface):
    """Sets the README of the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`, which pyproject.toml lists as dynamic."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = absolute_links(text, metadata["urls"]["Source"], metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
