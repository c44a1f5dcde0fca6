"""Bad input: one clear sentence, and nothing on any host has changed."""

import json
import shutil
import subprocess
from functools import cache

import pytest
from asking import ask_json, on
from inside import host_in
from make_sources import make_sources
from plays import play

PROVISIONED, BARE = "pf-refusals12", "pf-refusals13"

# Every file with its time, every folder without: a folder shows what is in it. Left out is what packages and services
# write by themselves, and the caches of downloads.
TREE = (
    "find /etc /opt /srv /usr/local /var/lib -xdev "
    "'(' -path /var/lib/apt -o -path /var/lib/systemd -o -path '/srv/*/build' ')' -prune "
    "-o -type d -printf '%p %m %u %g\\n' -o -printf '%p %m %u %g %s %T@ %l\\n' | sort"
)

# What the variables alone show: those of the provisioned host, and those of the bare one. Each run is refused by one
# role, which says at once what is wrong with all hosts and with several variables.
RUNS = {
    "gunicorn": (
        {"gunicorn_workers": "lots", "gunicorn_keepalive": 2, "app_request_timeout": 200},
        {"gunicorn_workers": 0, "gunicorn_keepalive": 2, "app_request_timeout": 200},
    ),
    "app": (
        {"app_source": {"git": "https://example.com/shop.git", "folder": "shop"}},
        {"app_source": {"archive": "https://example.com/shop.tar.gz"}},
    ),
    "app again": (
        {"app_source": {"folder": "no-such-folder"}},
        {"app_source": {"folder": "no-such-folder"}},
    ),
    "nginx": (
        {"app_domains": ["https://shop.example.com"], "nginx_worker_connections": "many"},
        {"app_domains": [], "nginx_worker_connections": "many"},
    ),
    "disk": ({"app_minimum_free_disk_mb": 10**9}, {"app_minimum_free_disk_mb": 10**9}),
    "memory": ({"app_minimum_free_memory_mb": 10**9}, {"app_minimum_free_memory_mb": 10**9}),
}
REFUSED = {
    "an unknown worker policy": (
        "gunicorn",
        'gunicorn_workers is "lots"; write async (cores + 1), classic (2 \u00d7 cores + 1) or a number from 1.',
    ),
    "no workers": ("gunicorn", 'gunicorn_workers is "0"; write async'),
    "a deadline longer than the time-out": (
        "gunicorn",
        "app_request_timeout (200 s) must be below gunicorn_timeout (120 s)",
    ),
    "upstream connections that outlive the worker's": (
        "gunicorn",
        "gunicorn_keepalive (2 s) must be above the 2 s for which Nginx keeps idle connections",
    ),
    "two kinds of source": (
        "app",
        "app_source: name one of git, folder, archive and package, and not several: git, folder.",
    ),
    "an archive without its checksum": ("app", "app_source.checksum: an archive from a URL needs its checksum"),
    "a folder that is not there": ("app again", "the controller has no no-such-folder"),
    "a domain that is none": (
        "nginx",
        "'https://shop.example.com' in its domains (app_domains) is not a domain; write a name such as",
    ),
    "no domain": ("nginx", "its domains must be a list with at least one entry, such as"),
    "a type that is wrong": ("nginx", "nginx_worker_connections"),
    "no room on the disk": ("disk", "app_minimum_free_disk_mb"),
    "no free memory": ("memory", "app_minimum_free_memory_mb"),
}

# What only a build, or Nginx itself, can show: refused on a host that serves, and it goes on serving.
REFUSED_LATER = {
    "an entry point that cannot be imported": (
        {"app_entrypoint": "shop.main:nothing"},
        "shop.main:nothing",
    ),
    "a lock that does not match": ({"app_source": {"folder": "{stale}"}}, "uv.lock does not match pyproject.toml"),
    "a repository that cannot be reached": (
        {"app_source": {"git": "https://git.example.invalid/shop.git", "version": "main"}},
        "app_source.git",
    ),
    "a version that does not exist": (
        {"app_source": {"git": "file:///opt/monorepo.git", "version": "v99"}},
        "app_source.version",
    ),
    "a pin that Gunicorn's range excludes": ({"app_source": {"folder": "{pinned}"}}, "gunicorn"),
    "a broken snippet of Nginx": ({"nginx_http_extra_config": "no_such_directive on;"}, "no_such_directive"),
}


def host_of(name):
    return host_in(name)


def tree(name):
    return on(host_of(name), TREE).splitlines()


def refuse(sentence, *arguments, hosts=(PROVISIONED, BARE), **variables):
    """Run site.yml; expect a failure with the sentence, and hosts that are as they were."""
    result = failed_run(*arguments, hosts=hosts, **variables)
    assert sentence in result.text, result.output


def failed_run(*arguments, hosts=(PROVISIONED, BARE), **variables):
    """Run site.yml; expect a failure, and hosts that are as they were."""
    before = {name: tree(name) for name in hosts}
    result = play("--limit", ",".join(hosts), *arguments, **variables)
    assert result.returncode != 0, result.output
    assert max(result.stats("changed").values()) == 0, result.output
    assert {name: tree(name) for name in hosts} == before
    return result


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """`refused("app")` is the run of that name, which happens once."""

    @cache
    def run(name):
        given = dict(zip((PROVISIONED, BARE), RUNS[name], strict=True))
        inventory = tmp_path_factory.mktemp("inventory") / "faults.yml"
        inventory.write_text(json.dumps({"all": {"hosts": given}}))
        return failed_run("-i", str(inventory))

    return run


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A lock that is stale, a pin that cannot be kept, and a repository on the provisioned host."""
    folder = tmp_path_factory.mktemp("made") / "sources"
    make_sources(folder)
    shutil.copytree(folder / "uv-lock", folder / "stale")
    pyproject = folder / "stale" / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("itsdangerous>=2.2", "itsdangerous>=2.1"))
    shutil.copytree(folder / "project", folder / "pinned")
    (folder / "pinned" / "requirements.txt").write_text("gunicorn==20.1.0\nitsdangerous==2.2.0\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _provisioned(sources):
    """One host serves the sample; the other stays bare."""
    host = host_of(PROVISIONED)
    copy = ["docker", "cp", str(sources / "monorepo.git"), f"{PROVISIONED}:/opt/monorepo.git"]
    subprocess.run(copy, check=True, capture_output=True)
    on(host, "printf '[safe]\\n\\tdirectory = *\\n' > /etc/gitconfig")
    done = play("--limit", PROVISIONED)
    assert done.returncode == 0, done.output


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_changes(case, refused):
    run, sentence = REFUSED[case]
    result = refused(run)
    assert sentence in result.text, result.output


def test_an_unsupported_system_is_refused():
    host = host_of(BARE)
    on(host, "cp --preserve=all --dereference /etc/os-release /root/os-release && rm /etc/os-release")
    on(host, "cp --preserve=all /var/lib/dpkg/status /root/status")
    try:
        on(host, "sed 's/^ID=.*/ID=ubuntu/; s/^VERSION_ID=.*/VERSION_ID=22.04/' /root/os-release > /etc/os-release")
        on(host, "sed -i '/^Package: systemd$/,/^Version/s/^Version: .*/Version: 249.11/' /var/lib/dpkg/status")
        refuse("The host runs ubuntu 22.04, whose systemd is 249, and 252 or newer is needed", hosts=(BARE,))
    finally:
        on(host, "ln -sf ../usr/lib/os-release /etc/os-release && cp --preserve=all /root/status /var/lib/dpkg/status")


@pytest.mark.parametrize("case", REFUSED_LATER)
def test_refused_while_the_site_goes_on_answering(case, sources):
    variables, sentence = REFUSED_LATER[case]
    source = {
        key: text.format(stale=sources / "stale", pinned=sources / "pinned")
        for key, text in variables.get("app_source", {}).items()
    }
    host = host_of(PROVISIONED)
    release = ask_json(host, "shop.example.com", "/api/build")["release"]
    refuse(sentence, hosts=(PROVISIONED,), **(variables | ({"app_source": source} if source else {})))
    assert ask_json(host, "shop.example.com", "/api/build")["release"] == release
