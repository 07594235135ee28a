"""The commands `docs` and `completion`: the documents that came with thence, and a shell's help."""

import re
import sys
from pathlib import Path

import click

from thence.cli.frame import COMPLETING, help_with, output_options, root
from thence.cli.output import Line, Painted, current
from thence.core.nearest import did_you_mean
from thence.documents import documents, read_document

# code stays as it is, and so do links to pages of others
_LINK = re.compile(
    r"(?P<code>```.*?```)|\[(?P<words>[^\]]+)\]\((?!\w+:)(?P<path>[^()\s#]*)(?:#[^()\s]*)?\)",
    re.DOTALL,
)


@click.command("docs", **help_with("thence docs", "thence docs quickstart"))
@click.argument("page", metavar="[PAGE]", required=False)
@output_options
def docs_command(page: str | None) -> None:
    """Show a page of the documents, or list them all.

    In the text of a page `thence docs NAME` stands for a link. The pages are those of this version.
    """
    out, pages = current(), documents()
    if page is None:
        titles = {name: read_document(path)[0] for name, path in pages.items()}
        lines: list[Line] = []
        folder = None
        for name, path in pages.items():
            if path.parent != folder:
                folder = path.parent
                lines += ["", Painted(folder.name, bold=True)]
            lines.append((Painted(f"  {name:34}", fg="cyan"), titles[name]))
        out.result({"pages": titles}, lines[1:], ["next: thence docs NAME"])
        return
    name = page.removesuffix(".md").rpartition("/")[2]
    if name not in pages:
        near = did_you_mean(name, pages)
        raise click.BadParameter(f"there is no page {page!r}; `thence docs` lists the pages{near}")

    def told(link: re.Match[str]) -> str:
        target = Path(link["path"] or "").stem
        return link["code"] or link["words"] + (
            f" (`thence docs {target}`)" if target in pages else ""
        )

    title, text = read_document(pages[name])
    text = _LINK.sub(told, text)
    if out.is_json:
        out.json({"page": name, "title": title, "text": text})
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console(width=out.width).print(Markdown(text, hyperlinks=False))
    else:
        out.line(text.rstrip("\n").encode())


@click.command(
    "completion",
    **help_with(
        'eval "$(thence completion bash)"',
        "thence completion fish > ~/.config/fish/completions/thence.fish",
    ),
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@output_options
def completion_command(shell: str) -> None:
    """Write the script that completes thence in a shell.

    Load it at the start of the shell: a line in ~/.bashrc or ~/.zshrc as in the example,
    a file for fish. Bash needs to be 4.4 or later.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    script = kind(root, {}, "thence", COMPLETING).source()
    current().result({"shell": shell, "script": script}, script.strip("\n").split("\n"))
