"""HTML that the server makes: templates, and the addresses of what they are made of."""

import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.responses import HTMLResponse

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"

HEADERS = {
    "Cache-Control": "no-cache",
    # Nothing inline and nothing from elsewhere, so nothing that gets into the page can run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Pages:
    """Renders templates. A static file's address changes with its content, so that browsers may keep it for long."""

    def __init__(self) -> None:
        self._templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape())
        versions = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in STATIC.iterdir()}
        self._templates.globals["static"] = lambda name: f"/static/{name}?v={versions[name]}"

    def answer(self, template: str, **context: Any) -> HTMLResponse:
        """Return a page that a browser asks for anew each time."""
        return HTMLResponse(self._templates.get_template(template).render(context), headers=HEADERS)
