"""The page of a receipt: whole, without anything from elsewhere, and with the figures in words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.receipt import make_receipt
from ansible_collections.production.fastapi.plugins.plugin_utils.receipt_page import duration, page_of
from test_receipt import BEGAN, failing, probe

HOSTILE = "<script>alert('x')</script>\"&"
VOID = {"meta", "path"}


class Page(HTMLParser):
    """Refuses what is not well-formed, and keeps tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, attribute: str) -> list[str]:
        return [value or "" for name, value in self.attributes if name == attribute]


def page(receipt: dict[str, Any]) -> Page:
    return Page(page_of(receipt))


@pytest.fixture
def fine() -> Page:
    return page(make_receipt("shop", "two", {"lb1": probe()}, previous="one", by="ada"))


def test_it_says_what_was_deployed_and_what_failed(fine: Page) -> None:
    assert "Deploy of shop, release two" in fine.text
    assert "0 of 10 requests failed" in fine.text
    assert "2023-11-14 22:13:20 UTC, 10 s by ada in place of one" in fine.text
    assert "before5010 ms10 ms10 ms" in fine.text


def test_it_needs_nothing_from_elsewhere_and_no_script(fine: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "form", "use"} & set(fine.tags)
    assert not {"src", "href", "srcset", "action", "onload"} & {name for name, _unused in fine.attributes}
    assert "url(" not in page_of(make_receipt("shop", "two", {"lb1": probe()}))
    assert "default-src 'none'; style-src 'unsafe-inline'" in fine.named("content")


def test_every_plot_has_a_name_and_its_figures_as_a_table(fine: Page) -> None:
    assert fine.tags.count("svg") == len(fine.named("aria-label")) - fine.tags.count("table") == 2
    assert fine.tags.count("table") == 4  # phases, slots, events, releases
    assert fine.tags.count("th") == fine.named("scope").count("row") + fine.named("scope").count("col")
    for slot in range(10):
        assert f"{slot}.0 s1010 ms10 ms10 ms{'one' if slot < 5 else 'two'}: 1" in fine.text


def test_failures_are_listed_with_their_time() -> None:
    text = page(make_receipt("shop", "two", {"lb1": failing()})).text
    assert "1 of 10 requests failed" in text
    assert "5.00 s22:13:25.000502, Bad Gateway900 ms\N{EN DASH}lb1" in text
    assert "no release named" in text


def test_only_so_many_failures_are_listed() -> None:
    failures = [{"at": BEGAN + number / 100, "ms": 1.0, "kind": "reset", "release": ""} for number in range(900)]
    text = page(make_receipt("shop", "two", {"lb1": probe(failed=5000, failures=failures)})).text
    assert text.count("connection reset") == 200
    assert "The first 200 are shown; 4,800 came later." in text


def test_hostile_names_are_text() -> None:
    hostile = failing() | {"releases": [HOSTILE, "two", ""], "domain": HOSTILE, "path": HOSTILE, "kinds": {HOSTILE: 10}}
    hostile["failures"] = [{"at": BEGAN, "ms": 1.0, "kind": HOSTILE, "release": HOSTILE}]
    hostile["events"] = [{"name": HOSTILE, "at": BEGAN}]
    receipt = make_receipt(HOSTILE, HOSTILE, {HOSTILE: hostile}, previous=HOSTILE, by=HOSTILE)
    shown = page(receipt)
    assert "script" not in shown.tags
    assert {name for name, _unused in shown.attributes} <= {
        *("lang", "charset", "name", "content", "http-equiv", "class", "style", "tabindex", "role", "aria-label"),
        *("scope", "viewbox", "preserveaspectratio", "d", "aria-hidden"),
    }
    assert shown.text.count(HOSTILE) >= 10


def test_a_deploy_that_ended_before_the_switch_has_no_band() -> None:
    text = page_of(make_receipt("shop", "two", {"lb1": probe(events=[])}))
    assert 'class="band"' not in text
    assert "Time line" not in text


@pytest.mark.parametrize("requests", [1, 2])
def test_few_requests_make_a_page_too(requests: int) -> None:
    small = probe(requests=requests, seconds=0.0, buckets=[[0, 0, [requests, 0], [0.0] * requests]], events=[])
    receipt = make_receipt("shop", "two", {"lb1": small})
    assert (
        f"{requests} request{'s' if requests > 1 else ''} of the probe for /readyz through Nginx" in page(receipt).text
    )


def test_numbers_in_the_plots_are_finite() -> None:
    text = page_of(make_receipt("shop", "two", {"lb1": failing()}))
    paths = re.findall(r' d="([^"]*)"', text)
    assert len(paths) >= 6
    assert not any(re.search(r"nan|inf|e[-+]", path) for path in paths)


@pytest.mark.parametrize(("seconds", "text"), [(0.34, "0.3 s"), (12.4, "12 s"), (125.2, "2 min 05 s")])
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_canary_is_beside_the_others() -> None:
    side = {"requests": 1200, "errors": 60, "p95_ms": 41.0}
    canary = {
        "problem": "The canary fails.",
        "summary": HOSTILE,
        "canaries": ["app1", "app2"],
        "canary": side,
        "others": {**side, "requests": 0},
    }
    text = Page(page_of(make_receipt("shop", "two", {"lb1": probe()}, canary=canary))).text
    assert "The canary beside the others" in text
    assert f"The canary fails. {HOSTILE}" in text
    assert "app1, app2" in text
    assert "41 ms" in text
    assert "The canary" not in Page(page_of(make_receipt("shop", "two", {"lb1": probe()}))).text
