"""Templates are rendered as Ansible renders them, and errors name the template."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.production.fastapi.plugins.plugin_utils.rendering import render_file


def render(folder: Path, text: str, **variables: object) -> str:
    template = folder / "app.conf.j2"
    template.write_text(text)
    return render_file(Templar(loader=DataLoader(), variables=variables), template, variables)


def test_variables_that_are_templates_themselves_are_resolved(tmp_path: Path) -> None:
    assert render(tmp_path, "user {{ a }};\n", a=trust_as_template("{{ b }}"), b="www-data") == "user www-data;\n"


def test_whitespace_and_escapes_are_those_of_the_template_module(tmp_path: Path) -> None:
    assert render(tmp_path, "{% if true %}\nyes\n{% endif %}\n") == "yes\n"
    assert render(tmp_path, r"{{ 'a\nb' }} \d" + "\n") == "a\nb \\d\n"


def test_a_template_that_renders_to_one_number_is_text(tmp_path: Path) -> None:
    assert render(tmp_path, "{{ 42 }}") == "42"


def test_a_template_includes_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "part.j2").write_text("{{ name }}")
    assert render(tmp_path, "{% include 'part.j2' %}!", name="shop") == "shop!"


def test_ansible_managed_is_known_and_can_be_set(tmp_path: Path) -> None:
    assert render(tmp_path, "# {{ ansible_managed }}") == "# Ansible managed"
    assert render(tmp_path, "# {{ ansible_managed }}", ansible_managed="ours") == "# ours"


def test_an_undefined_variable_is_named_with_its_template(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"app\.conf\.j2.*'nginx_typo' is undefined"):
        render(tmp_path, "{{ nginx_typo }}")


def test_a_template_that_does_not_parse_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"app\.conf\.j2"):
        render(tmp_path, "{% if %}")
