"""Pages are true where a program can tell: links, files, tests, playbooks, parameters and variables in them exist."""

import re
import sys
from fnmatch import fnmatch
from itertools import product
from pathlib import Path

import pytest
import yaml
from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).parents[2]
COLLECTIONS = ROOT / ".ansible-collections"
sys.path.insert(0, str(COLLECTIONS))
init_plugin_loader([str(COLLECTIONS)])

PAGES = sorted(
    path
    for pattern in (
        *("*.md", "docs/**/*.md", "roles/*/README.md", "roles/app/files/shop/README.md"),
        *("roles/app/files/shop/upkeeper/README.md", "inventories/*.md", "examples/*.md", "benchmarks/*.md"),
    )
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# Folders of this repository: what is named in them is a file of it.
FOLDERS = "benchmarks|changelogs|docs|examples|inventories|molecule|playbooks|plugins|roles|script|tests"
NAMED = re.compile(rf"`((?:{FOLDERS})/[^\s`]*)[^`]*`")
# A call in full, and one of a table, such as `drain -e server=app2`.
CALL = re.compile(r"ansible-playbook[^\n`]*production\.fastapi\.([a-z]+)([^\n`|]*)")
SHORT_CALL = re.compile(r"`([a-z]+)((?: -e [^`]*)?)`")
# Variables that belong to no role, see docs/reference/inventory.md.
OF_THE_INVENTORY = {"private_address", "app_public", "app_static", "app_site", "app_weight", "app_backup"}
GROUPS = {"load_balancers", "app_servers", "redis_servers"}
OURS = re.compile(r"(app|gunicorn|nginx|redis|keepalived)_")

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def slugs(page):
    """What a link may have after its hash: GitHub's names of the headings."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def prose(page):
    """The text without its examples of YAML."""
    return YAML.sub("", page.read_text(encoding="utf-8"))


def variables():
    """All variables that somebody may set."""
    specs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    return OF_THE_INVENTORY.union(*(spec["argument_specs"]["main"]["options"] for spec in specs))


def parameters():
    """The parameters of each playbook, as `plugin_utils/parameters.py` declares them."""
    from ansible_collections.production.fastapi.plugins.plugin_utils.parameters import PARAMETERS

    return PARAMETERS


def test_there_are_pages():
    assert len(PAGES) > 40


@by_page
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(prose(page)):
        path, _hash, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads to no file"
        assert not anchor or target.suffix != ".md" or anchor in slugs(target), f"{link} leads to no heading"


@by_page
def test_every_file_that_is_named_is_there(page):
    for name in NAMED.findall(prose(page)):
        if re.search(r"[A-Z]{3,}", name) and not name.endswith("README.md"):
            continue  # a name to be filled in
        choices = [
            part.strip("{}").split(",") if part.startswith("{") else [part] for part in re.split(r"({[^}]*})", name)
        ]
        for file in map("".join, product(*choices)):
            path = file.partition(":")[0].rstrip(".,")
            found = [*ROOT.glob(path), *ROOT.glob(f"{path.rstrip('/')}.py"), *page.parent.glob(path)]
            assert found, f"there is no {path}"


@by_page
def test_every_test_that_is_named_is_there(page):
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("[mt]*/**/test_*.py"))
    named = re.findall(r"`(test_\w+)`", prose(page))
    assert [name for name in named if f"def {name}(" not in tests] == []


@by_page
def test_every_playbook_that_is_named_has_the_parameters_that_are_given(page):
    declared = parameters()
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    short = [call for call in SHORT_CALL.findall(text) if (ROOT / "playbooks" / f"{call[0]}.yml").exists()]
    for name, rest in CALL.findall(text) + short:
        assert (ROOT / "playbooks" / f"{name}.yml").exists(), f"there is no playbook {name}"
        given = [key for key in re.findall(r"-e \"?([a-z_]+)=", rest.partition("#")[0]) if not OURS.match(key)]
        assert [key for key in given if key not in declared.get(name, {})] == [], f"parameters of {name}"


@by_page
def test_every_example_is_yaml_and_sets_variables_that_there_are(page):
    known = variables()
    for example in YAML.findall(page.read_text(encoding="utf-8")):
        for loaded in yaml.safe_load_all(example):
            if isinstance(loaded, dict):
                assert [key for key in keys_of(loaded) if OURS.match(key) and key not in known] == []


def keys_of(loaded):
    """The names that could be variables: at the top, in `vars`, and of each host."""
    for key, value in loaded.items():
        if key not in GROUPS:
            yield str(key)
        if isinstance(value, dict) and (key in {"vars", "hosts", *GROUPS} or any(map(OURS.match, map(str, value)))):
            yield from keys_of(value)


@by_page
def test_a_file_of_the_operator_is_looked_for_beside_the_inventory(page):
    """Ansible looks beside the playbook, which lies in the collection."""
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"lookup\(['\"](?:ansible\.builtin\.)?file['\"], *['\"][^/'\"]+", text) == []


@by_page
def test_lines_and_paragraphs_are_short(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    # A table's row and the target of a link cannot be broken.
    long = [line for line in lines if len(LINK.sub("]()", line)) > 110 and not line.startswith("|")]
    assert long == [], "script/site/wrap.py PAGE wraps prose"
    items = re.split(r"\n\s*\n|\n(?= *(?:- |\d+\. ))", FENCED.sub("", page.read_text(encoding="utf-8")))
    prose_of_it = [item for item in items if not item.startswith(("|", "    ", "#"))]
    assert {" ".join(item.split()[:8]): words for item in prose_of_it if (words := len(item.split())) > 90} == {}


def test_the_readme_is_short_and_so_is_each_page_of_the_architecture():
    pages = [ROOT / "README.md", ROOT / "docs" / "architecture.md", *ROOT.glob("docs/architecture/*.md")]
    assert {
        page.name: lines for page in pages if (lines := len(page.read_text(encoding="utf-8").splitlines())) > 150
    } == {}


def test_the_readme_names_what_is_in_the_tarball():
    """The tarball has this README, and not the whole repository; whoever has cloned it has all of it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _before, clone, after = text.partition("    git clone ")
    assert clone
    text = after.partition("\n\n")[2]
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    named = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link] + NAMED.findall(text)
    assert named
    assert [name for name in named if any(fnmatch(part, pattern) for pattern in ignored for part in ways(name))] == []


def ways(name):
    """A path, and the folders that it is in."""
    path = Path(name)
    return [str(path), *map(str, path.parents)][:-1]


def test_every_question_of_a_newcomer_has_a_page_with_its_words():
    """`script/docs questions` ranks the pages of the site; this finds a page or a word that has gone."""
    sys.path.insert(0, str(ROOT / "script" / "site"))
    from pages import OTHERS

    sources = {place.removesuffix(".md"): ROOT / source for source, place in OTHERS.items()}
    questions = yaml.safe_load((ROOT / "docs" / "questions.yml").read_text(encoding="utf-8"))
    assert len(questions) >= 23
    for question in questions:
        source = sources.get(question["page"], ROOT / "docs" / f"{question['page']}.md")
        text = source.read_text(encoding="utf-8").lower()
        # The search compares stems of words.
        missing = [word for word in question["search"].split() if word[:4] not in text]
        assert missing == [], f"{question['page']} does not answer: {question['ask']}"


def test_what_the_readme_says_first_is_accepted():
    from ansible_collections.production.fastapi.plugins.plugin_utils.checks.certificates import certificate_problems
    from ansible_collections.production.fastapi.plugins.plugin_utils.checks.sites import site_problems
    from ansible_collections.production.fastapi.plugins.plugin_utils.sites import sites

    inventory, first, later = map(yaml.safe_load, YAML.findall((ROOT / "README.md").read_text(encoding="utf-8"))[:3])
    groups = {group: list(members["hosts"]) for group, members in inventory.items()}
    host = {"inventory_hostname": "web1", **inventory["app_servers"]["hosts"]["web1"], **first}
    found = sites(groups, {"web1": host}, "web1")
    assert [site["domains"] for site in found] == [first["app_domains"]]
    assert site_problems(found) == []
    for variables_of_it in (first, first | later):
        mode = variables_of_it.get("nginx_certificate", "self-signed")
        assert certificate_problems(found, mode) == [], mode
