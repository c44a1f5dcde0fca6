"""How Sphinx lays out the pages that `pages.py` has collected, see `script/docs`."""

from pathlib import Path

import yaml

project = "production.fastapi"
version = release = str(
    yaml.safe_load((Path(__file__).parents[2] / "galaxy.yml").read_text(encoding="utf-8"))["version"]
)
copyright = "the production.fastapi maintainers"  # noqa: A001  # Sphinx's name for it
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "description": "FastAPI on your own Debian servers",
    "fixed_sidebar": True,
    "page_width": "1100px",
    "sidebar_width": "270px",
}
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_use_index = False
