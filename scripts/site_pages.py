"""Adds pages outside docs/ to the site: the zoo's cards, the examples, CONTRIBUTING and CHANGELOG.

MkDocs calls the two functions (mkdocs.yml, hooks). The site merges docs/ and the repository's root, so links between
the two are rewritten; every other link stays unchanged, and the strict build checks it.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "examples/*.*", "zoo/*/card.md", "zoo/*/*.png")
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the files outside docs/."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:  # noqa: ARG001 by name
    """Rewrite the links that leave docs/ or lead into it."""
    here = page.file.src_uri
    folder = posixpath.dirname(here if page.file.generated_by else f"docs/{here}")

    def linked(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match["path"]))
        on_site = target.removeprefix("docs/")
        if files.get_file_from_path(on_site):
            path = posixpath.relpath(on_site, posixpath.dirname(here) or ".")
            return f"{match['image']}[{match['text']}]({path}{match['anchor'] or ''})"
        # Code and data are not on the site, and the repository has no public address to link to.
        return match["text"] if (ROOT / target).exists() else match[0]

    return LINK.sub(linked, markdown)
