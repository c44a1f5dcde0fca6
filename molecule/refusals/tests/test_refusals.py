"""Bad input: one clear sentence, and nothing on any host has changed."""

import shutil
import subprocess

import pytest
import testinfra
from asking import ask_json, on
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

# What is wrong with several variables of a role is said at once.
SEVERAL = {
    "gunicorn_workers": "lots",
    "gunicorn_keepalive": 2,
    "app_request_timeout": 200,
}

# What the variables alone show: refused on a provisioned and on a bare host at once.
REFUSED = {
    "an unknown worker policy": (
        SEVERAL,
        'gunicorn_workers is "lots"; write async (cores + 1), classic (2 \u00d7 cores + 1) or a number from 1.',
    ),
    "no workers": ({"gunicorn_workers": 0}, 'gunicorn_workers is "0"; write async'),
    "a domain that is none": (
        {"app_domains": ["https://shop.example.com"]},
        "'https://shop.example.com' in its domains (app_domains) is not a domain; write a name such as",
    ),
    "no domain": ({"app_domains": []}, "its domains must be a list with at least one entry, such as"),
    "two kinds of source": (
        {"app_source": {"git": "https://example.com/shop.git", "folder": "shop"}},
        "app_source: name one of git, folder, archive and package, and not several: git, folder.",
    ),
    "a folder that is not there": (
        {"app_source": {"folder": "no-such-folder"}},
        "the controller has no no-such-folder",
    ),
    "an archive without its checksum": (
        {"app_source": {"archive": "https://example.com/shop.tar.gz"}},
        "app_source.checksum: an archive from a URL needs its checksum",
    ),
    "a deadline longer than the time-out": (
        SEVERAL,
        "app_request_timeout (200 s) must be below gunicorn_timeout (120 s)",
    ),
    "upstream connections that outlive the worker's": (
        SEVERAL,
        "gunicorn_keepalive (2 s) must be above the 2 s for which Nginx keeps idle connections",
    ),
    "no room on the disk": ({"app_minimum_free_disk_mb": 10**9}, "app_minimum_free_disk_mb"),
    "no free memory": ({"app_minimum_free_memory_mb": 10**9}, "app_minimum_free_memory_mb"),
    "a type that is wrong": ({"nginx_worker_connections": "many"}, "nginx_worker_connections"),
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
    return testinfra.get_host(f"docker://{name}")


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
def several():
    """The run in which several variables are wrong."""
    return failed_run(**SEVERAL)


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
    on(host, "apt-get update -qq && apt-get install -qq -y --no-install-recommends git >/dev/null")
    on(host, "printf '[safe]\\n\\tdirectory = *\\n' > /etc/gitconfig")
    done = play("--limit", PROVISIONED)
    assert done.returncode == 0, done.output


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_changes(case, several):
    variables, sentence = REFUSED[case]
    if variables is SEVERAL:
        assert sentence in several.text, several.output
    else:
        refuse(sentence, **variables)


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
