"""Our loops do not take the variable `item` from whoever loops over our roles."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/vars/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
)
LOOP = re.compile(r"^( *)(?:loop|with_\w+): ?.*\n(?:\1 +.*\n)*", re.MULTILINE)
PRIVATE = re.compile(r" *loop_control:(?: \{|\n *)loop_var: __\w+")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_loop_has_a_variable_of_its_own(path):
    text = path.read_text(encoding="utf-8")
    assert [loop[0] for loop in LOOP.finditer(text) if not PRIVATE.match(text, loop.end())] == []
    assert not re.search(r"\bitem\b", text)


def test_no_template_of_gunicorn_reads_item():
    read = [
        path.name for path in ROOT.glob("roles/gunicorn/templates/**/*.j2") if re.search(r"\bitem\b", path.read_text())
    ]
    assert read == []
