"""The documentation as a site: `make docs`. Needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "AphexPipeline"
author = "the authors of AphexPipeline"
extensions = ["myst_parser"]
# Headings are link targets by the rule that GitHub uses, too, so that a link works in both.
myst_heading_anchors = 4
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = project
html_show_copyright = False
html_copy_source = False
# Files that pages link to and that are no pages.
html_extra_path = ["aphex-cluster.schema.json", "aphex-config.schema.json"]


def setup(app: Sphinx) -> None:
    """Diagrams stay as their text, which GitHub draws."""
    app.add_lexer("mermaid", TextLexer)
