"""What a program reads from the page of a tutorial."""

from pathlib import Path

import pytest
from tutorial import blocks, plain

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


def page(folder, text):
    path = folder / "page.md"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_page_can_be_followed(path):
    assert blocks(path)


def test_a_page_that_no_test_follows_is_missed():
    followed = (Path(__file__).parents[2] / "molecule" / "tutorials" / "tests" / "test_tutorials.py").read_text()
    assert [path.stem for path in PAGES if f'"{path.stem}"' not in followed] == []


def test_a_block_knows_its_place_and_its_comment(tmp_path):
    text = "# A\n\n<!-- fails: no such file -->\n```sh\ncat x\n```\n\n<!-- file: a/b.yml -->\n```yaml\nx: 1\n```\n"
    first, second = blocks(page(tmp_path, text))
    assert (str(first), first.text, first.says("fails"), first.says("says")) == (
        "page.md:4",
        "cat x\n",
        "no such file",
        "",
    )
    assert (str(second), second.says("file")) == ("page.md:9", "a/b.yml")


@pytest.mark.parametrize(
    "text",
    [
        "```yaml\nx: 1\n```\n",
        "```\nls\n```\n",
        "<!-- fiel: a.yml -->\n```yaml\nx: 1\n```\n",
        "<!-- on a server -->\n```sh\nls\n```\n",
        "<!-- not run: -->\n```sh\nls\n```\n",
        "Run this:\n\n    ls\n",
    ],
)
def test_what_nobody_could_follow_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match=r"page\.md"):
        blocks(page(tmp_path, text))


def test_what_differs_each_time_is_not_compared():
    shown = "shop: 4f2a9c01 → 8b1c2d3e on 1 host; 412 requests, 0 failed"
    assert plain(shown) in plain("msg: shop: aaaaaaa1 → bbbbbbb2\n  on 1 host; 1,052 requests, 0 failed")
    assert plain(shown) not in plain("msg: shop: aaaaaaa1 → bbbbbbb2\n  on 1 host; 1,052 requests, 3 failed")
