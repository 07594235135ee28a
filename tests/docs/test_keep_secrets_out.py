"""The page on secrets is followed from its top, and shows what its commands say."""

import re
import shlex
from pathlib import Path

import pytest
from tests.cli.warm import warm

PAGE = Path(__file__).parents[2] / "docs/guides/operate/keep-secrets-out.md"


def steady(text: str) -> str:
    """Return what a command says without ids and times."""
    return re.sub(r"[0-9A-Z]{18}(?:[0-9A-Z]{8})?|\d\d:\d\d:\d\d\.\d{3}", "…", text)


@pytest.mark.promise("S10b")
def test_page_masks_from_its_first_block_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    head = PAGE.read_text("utf-8").partition("An empty `[redact]`")[0]
    blocks = re.findall(r"(?:^`([^`]+)`:\n\n)?^```\w*\n(.*?)^```", head, re.DOTALL | re.MULTILINE)
    for name, block in blocks:
        if name:
            (tmp_path / name).write_text(block)
            continue
        for example in block.removeprefix("$ ").split("\n$ "):
            words, _, output = example.partition("\n")
            program, *arguments = shlex.split(words)
            if program == "mkdir":
                (tmp_path / arguments[-1]).mkdir(parents=True)
                continue
            ended = warm(*arguments, cwd=tmp_path)
            assert steady(ended.out + ended.err).rstrip() == steady(output).rstrip(), words
    files = [path.read_text() for path in tmp_path.rglob("*.jsonl")]
    assert files
    assert not re.search("0123456789abc|hunter2|xy", "".join(files))
