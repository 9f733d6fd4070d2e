"""
Sphinx: Markdown pages, and signatures read from the source.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pgultra

sys.path.insert(0, str(Path(__file__).parents[1]))  # pages show the SQL of tests/**/sample.py

project = "pgultra"
author = "The pgultra authors"
copyright = "The pgultra authors"  # noqa: A001  Sphinx wants this name
version = release = pgultra.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "pgultra.integrations.sphinx",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "pgultra"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "exclude-members": "cache_ok",  # its text is SQLAlchemy's, with links into its own docs
}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
