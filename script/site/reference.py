"""The reference: pages that are written from what roles and playbooks declare."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

# What is common to Ansible's markup: C(code), V(value), O(option), I(emphasis), B(strong), P(plugin#type).
MARKUP = re.compile(r"\b([CVOIBPEM])\(((?:[^()\\]|\\.)*)\)")


# What a person types in the sentences at the head of a playbook.
OPTION = re.compile(r"""(-e '[^']*'|-e [a-z_]+=(?:"[^"]*"|\S*[^\s.,;:)\]])|--[a-z]+\b)""")


def reference_pages(root: Path) -> dict[str, str]:
    """Name and text of each generated page."""
    roles = sorted((root / "roles").glob("*/meta/argument_specs.yml"))
    pages = {f"reference/variables-{path.parts[-3]}.md": variables_page(path) for path in roles}
    return pages | {"reference/playbooks.md": playbooks_page(root)}


def variables_page(path: Path) -> str:
    """All variables of a role."""
    role = path.parts[-3]
    main = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
    lines = [
        f"# Variables of the role {role}",
        "",
        f"{plain(main['short_description'])}. {sentences(main.get('description', []))}",
        "",
    ]
    for name, option in main["options"].items():
        lines += [f"## {name}", "", ". ".join(facts(option)) + ".", "", sentences(option["description"]), ""]
        lines += suboptions(option, 0)
    return "\n".join(lines) + "\n"


def facts(option: dict[str, Any]) -> Iterator[str]:
    """Type, default and choices, a phrase each."""
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    yield f"Type: {kind}"
    if option.get("required"):
        yield "Required"
    elif "default" in option:
        yield f"Default: {value(option['default'])}"
    if "choices" in option:
        yield "One of: " + ", ".join(value(choice) for choice in option["choices"])
    if option.get("no_log"):
        yield "Secret"


def suboptions(option: dict[str, Any], depth: int) -> Iterator[str]:
    """The keys of a variable that is a dictionary, or a list of them, as a list."""
    for name, inner in option.get("options", {}).items():
        indent = "  " * depth
        yield f"{indent}- `{name}`: {sentences(inner.get('description', []))} {'. '.join(facts(inner))}."
        yield from suboptions(inner, depth + 1)
    if option.get("options"):
        yield ""


def value(found: Any) -> str:
    """A value as somebody writes it in YAML."""
    text = (
        yaml.safe_dump(found, default_flow_style=True, width=10**6, allow_unicode=True).removesuffix("\n...\n").strip()
    )
    return f"`{text}`"


def sentences(description: str | Iterable[str]) -> str:
    """A description, which may be a list of sentences, as one paragraph."""
    return " ".join(plain(part) for part in ([description] if isinstance(description, str) else description))


def plain(text: str) -> str:
    """Ansible's markup as Markdown."""
    shown = MARKUP.sub(lambda match: f"`{match[2].partition('#')[0]}`", " ".join(text.split()))
    return escaped(shown)


def playbooks_page(root: Path) -> str:
    """All playbooks, with what stands at the head of each and the parameters that it declares."""
    parameters = declared(root / "plugins" / "plugin_utils" / "parameters.py")
    lines = [
        "# Playbooks and their parameters",
        "",
        "Run each as `ansible-playbook -i INVENTORY production.fastapi.NAME`, with parameters as `-e NAME=VALUE`.",
        "",
    ]
    for path in sorted((root / "playbooks").glob("*.yml")):
        head = re.match(r"---\n((?:#.*\n)+)", path.read_text(encoding="utf-8"))
        text = " ".join(line.removeprefix("#").strip() for line in (head[1] if head else "").splitlines())
        lines += [f"## {path.stem}", "", escaped(OPTION.sub(r"`\1`", text.replace("`", ""))), ""]
        given = parameters.get(path.stem, {})
        if given:
            lines += ["| parameter | meaning |", "| --- | --- |"]
            lines += [f"| `{name}` | {escaped(meaning)} |" for name, meaning in given.items()]
            lines.append("")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text as Markdown: outside of code, what could be markup means itself."""
    return "`".join(
        part if number % 2 else re.sub(r"([<>*_|\[\]])", r"\\\1", part) for number, part in enumerate(text.split("`"))
    )


def declared(path: Path) -> dict[str, dict[str, str]]:
    """The parameters of each playbook, from the one place that declares them."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == "PARAMETERS"
            and node.value
        ):
            found: dict[str, dict[str, str]] = ast.literal_eval(node.value)
            return found
    raise ValueError(f"{path} does not assign PARAMETERS")
