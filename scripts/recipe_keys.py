"""Write docs/recipes.md: every key of a recipe, its default and its meaning, from capsedge/recipe/record.py.

python scripts/recipe_keys.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from capsedge.cli.recipe import SECTIONS, meanings_of  # noqa: E402 - the checkout, installed or not
from capsedge.recipe import Recipe, shipped_recipes, to_values  # noqa: E402

TARGET = ROOT / "docs" / "recipes.md"
HEAD = """# Recipes: every key

A recipe is everything that decides the result of a training. `capsedge train --list` names those that come with
capsedge, and `capsedge recipe NAME` prints one whole, with these texts as comments. Change a value with `--set
section.key=value`, or in a TOML file of your own, which can begin with another recipe's values:

```
extends = "edge-small"

[train]
epochs = 20
```

The defaults are Table I of the paper; a shipped recipe may have another value. This page is made from the code
(`python scripts/recipe_keys.py`).
"""


def page() -> str:
    """The whole page."""
    values = to_values(Recipe(name="defaults"))
    lines = [HEAD]
    for section, kind in SECTIONS.items():
        lines += [f"## {section}\n", "| key | default | |", "|---|---|---|"]
        for key, meaning in meanings_of(kind).items():
            told = meaning.replace("|", "\\|")
            lines.append(f"| `{section}.{key}` | `{_shown(values[section][key])}` | {told} |")
        lines.append("")
    lines += ["## The recipes that come with capsedge\n", "```", *shipped_recipes(), "```"]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else str(list(value) if isinstance(value, tuple | list) else value)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
