"""The links of the README are absolute in the metadata of the built wheel."""

import re
from importlib.metadata import distribution

from tools.hatch_build import absolute_links
from tools.release import ROOT

SAMPLE = """
[a page](docs/x.md#part) ![a picture](./docs/x.png "title") [![both](a.svg)](SECURITY.md)
[elsewhere](https://example.org/a) [mail](mailto:a@example.org) [here](#part)
<a href="docs/x.md"><img src="docs/x.png"></a>
<source media="(dark)" srcset="docs/x.png 1x, docs/y.png 2x">

```
a[0](b)
```
[name]: docs/x.md
"""
LEADING = """
[a page](F/blob/v1/docs/x.md#part) ![a picture](F/raw/v1/docs/x.png "title") \
[![both](F/raw/v1/a.svg)](F/blob/v1/SECURITY.md)
[elsewhere](https://example.org/a) [mail](mailto:a@example.org) [here](#part)
<a href="F/blob/v1/docs/x.md"><img src="F/raw/v1/docs/x.png"></a>
<source media="(dark)" srcset="F/raw/v1/docs/x.png 1x, F/raw/v1/docs/y.png 2x">

```
a[0](b)
```
[name]: F/blob/v1/docs/x.md
"""


def test_relative_links_lead_to_the_forge_at_the_tag():
    assert absolute_links(SAMPLE, "F", "1") == LEADING


def test_wheel_has_a_readme_without_relative_links_whose_targets_exist():
    metadata = distribution("thence").metadata
    text = re.sub(r"```.*?```", "", str(metadata.get_payload()), flags=re.DOTALL)
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    links = re.findall(r'\]\(([^\s)]+)|(?:href|src)="([^"]+)', text)
    links += re.findall(
        r'(?:srcset="|, )(\S+?)(?: \dx)?(?=[",])', "".join(re.findall(r"srcset=.*?>", text))
    )
    found = {link if isinstance(link, str) else "".join(link) for link in links}
    assert not [link for link in found if not link.startswith(("https://", "#"))]
    tag = f"v{metadata['Version']}/"
    own = {link.partition("#")[0] for link in found if link.startswith(urls["Source"])}
    assert own
    assert not [link for link in own if not (ROOT / link.partition(tag)[2]).exists()]
    pictures = [link for link in own if link.endswith((".png", ".svg"))]
    assert pictures
    assert all(link.startswith(f"{urls['Source']}/raw/{tag}") for link in pictures)
