"""Which files of its own a page names, and which of them are gone."""

from __future__ import annotations

from ansible_collections.production.fastapi.plugins.module_utils._deploy.page_assets import (
    MOST_ASSETS,
    assets_of,
    missing,
)

PAGE = """
<!doctype html><title>Shop</title>
<link rel="stylesheet" href="/static/app.3f2a.css"><link rel="shortcut icon" href=icon.svg>
<link rel="canonical" href="/shop"><link rel="stylesheet" href="https://fonts.example.net/one.css">
<script type="module" src="/static/app.9c1d.js?v=2"></script><script>inline()</script>
<img src="/static/logo.png"><img src="/static/logo.png"><img src="data:image/png;base64,AAAA"><a href="/cart">Cart</a>
<script src="https://[broken/one.js"></script><script src="//shop.example.com/same.js"></script>
"""


def test_the_files_of_the_same_site_that_a_page_loads() -> None:
    assert assets_of(PAGE, "shop.example.com") == [
        *("/static/app.3f2a.css", "/icon.svg", "/static/app.9c1d.js?v=2", "/static/logo.png", "/same.js"),
    ]


def test_a_page_with_very_many_files_costs_few_requests() -> None:
    many = "".join(f'<img src="/{number}.png">' for number in range(500))
    assert len(assets_of(many, "shop.example.com")) == MOST_ASSETS


def test_what_is_gone() -> None:
    found = {"/a.js": "200", "/b.js": "404", "/c.js": "timeout", "/d.js": "429", "/e.js": "502"}
    assert missing(found) == ["/b.js", "/c.js", "/e.js"]
