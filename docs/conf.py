"""The site: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

from __future__ import annotations

import sys
from pathlib import Path

from pallets_sphinx_themes import get_version

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "Flask-PartnerStack"
author = "The Flask-PartnerStack authors"
copyright = f"2026 {author}"  # noqa: A001 - Sphinx's name for it
release, version = get_version("Flask-PartnerStack")

extensions = [
    "myst_parser",
    "pallets_sphinx_themes",
    "sphinx.ext.autodoc",
]
exclude_patterns = ["_build"]

# Pages are Markdown that a forge shows as well: links are to .md files and to headings in them.
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
myst_ref_domains = ["std", "py"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True

smartquotes = False  # a curly quote in {404: "retry"} cannot be copied

html_theme = "flask"
html_title = f"Flask-PartnerStack {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_sidebars = {
    "index": ["searchbox.html"],
    "**": ["localtoc.html", "relations.html", "searchbox.html"],
}
