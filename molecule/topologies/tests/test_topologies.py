"""Topologies other than one app on one server, provisioned from elsewhere. The order of the tests is part of it."""

import json
import subprocess
import sys
from contextlib import contextmanager

import yaml
from asking import ask, ask_json, name_of, on
from hello import SITE, live, make_source
from load import CLOSED, load
from plays import ROOT, play

# One inventory, however it is written: what a test leaves out, the next one takes away.
SAME = {"fastapi_inventory": "topologies"}
ONE_WORKER = {"gunicorn_workers": 1}
INVENTORY = """
load_balancers: {hosts: {localhost: }}
app_servers: {hosts: {localhost: {ansible_connection: local}}}
all: {vars: {app_name: shop, app_domains: [shop.example.com], gunicorn_workers: 1}}
"""

LEGACY = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"legacy"})
"""


def make_venv(host, path, folder, *requirements):
    """Make a virtual environment as somebody would by hand; uv puts it together here in a tenth of the time."""
    version = on(host, "python3 -c %s", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python-version", version, "--target", folder]
    subprocess.run([*uv, *requirements], check=True, capture_output=True)
    on(host, "mkdir -p %s && python3 -m venv --without-pip %s", path, path)
    packages = f"{path}/lib/python{version}/site-packages"
    subprocess.run(["docker", "cp", f"{folder}/.", f"{name_of(host)}:{packages}"], check=True, capture_output=True)
    # The first line of a program names its Python.
    on(host, f"sed --in-place '1s,.*,#!{path}/bin/python,' {packages}/bin/* && mv {packages}/bin/* {path}/bin/")


def write(host, path, text):
    on(host, "mkdir -p $(dirname %s) && printf %%s %s > %s", path, text, path)


def test_a_server_provisions_itself_from_the_collection_that_galaxy_delivers(debian13, tmp_path):
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", tmp_path, ROOT], check=True, capture_output=True
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    subprocess.run(
        ["docker", "cp", archive, "pf-topologies13:/root/collection.tar.gz"], check=True, capture_output=True
    )
    make_venv(debian13, "/root/ansible", tmp_path / "packages", "ansible-core>=2.19,<2.22")
    on(debian13, "/root/ansible/bin/ansible-galaxy collection install --offline /root/collection.tar.gz")
    write(debian13, "/root/hosts.yml", INVENTORY)
    run = "/root/ansible/bin/ansible-playbook -i /root/hosts.yml production.fastapi.site"
    on(debian13, run)
    assert ask_json(debian13, "shop.example.com", "/readyz") == {"status": "ready"}
    assert "changed=0" in on(debian13, run)


def test_gunicorn_alone_runs_a_folder_that_exists_already_and_nginx_alone_serves_it(debian12, tmp_path):
    on(debian12, "useradd --system --user-group legacy")
    packages = ["gunicorn>=25,<28", "uvicorn[standard]>=0.36,<1", "uvicorn-worker>=0.4,<1"]
    make_venv(debian12, "/opt/legacy/venv", tmp_path / "packages", *packages)
    write(debian12, "/opt/legacy/legacy.py", LEGACY)
    gunicorn, nginx = (ROOT / "examples" / f"{name}_alone.yml" for name in ("gunicorn", "nginx"))
    first, second = (play(str(nginx), "--limit", "pf-topologies12", playbook=gunicorn, **SAME) for _ in range(2))
    assert first.succeeded().stats("changed")["pf-topologies12"] > 0
    assert ask(debian12, "legacy.example.com") == (200, "legacy")
    assert second.stats("changed") == {"pf-topologies12": 0}


def test_two_applications_on_one_server(debian12, tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        (ROOT / "inventories/two-apps/hosts.yml")
        .read_text(encoding="utf-8")
        .replace("ansible_host: 203.0.113.10", "ansible_host: 198.18.26.12")
        .replace(', app_source: {git: "https://github.com/you/blog.git"}', "")
    )
    first = play(inventory=str(inventory), **SAME, **ONE_WORKER)
    assert first.returncode == 0, first.output
    releases = {app: ask_json(debian12, f"{app}.example.com", "/api/build")["release"] for app in ("shop", "blog")}
    assert releases["shop"] == releases["blog"]
    pids = {app: on(debian12, "pgrep -u %s -o -f gunicorn", app) for app in releases}
    assert pids["shop"] != pids["blog"]
    second = play(inventory=str(inventory), **SAME, **ONE_WORKER)
    assert set(second.stats("changed").values()) == {0}, second.output


def test_a_site_that_left_the_variables_left_the_host(debian12):
    assert not debian12.file("/etc/nginx/production.fastapi/sites/legacy.conf").exists
    assert debian12.file("/etc/nginx/production.fastapi/sites/shop.conf").exists


def certificate(folder, name):
    """A certificate for the app hello, and its key."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=hello"
    command += f" -addext subjectAltName=DNS:hello -keyout {key} -out {chain}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return chain.read_text(), key.read_text()


SPEAKS_TLS = """
import socket, ssl, sys
context = ssl._create_unverified_context()
print(context.wrap_socket(socket.create_connection((sys.argv[1], 8000), 5)).version())
"""


# Opens pages, beside one that is open since the first release. Each request has a connection of its own, so while two
# releases accept from one socket, either may get it. Prints how many pages each edition had, and what has failed.
OPEN_PAGES = """
import collections, http.client, json, select, socket, ssl, sys, time
context = ssl._create_unverified_context()
def get(path):
    connection = http.client.HTTPSConnection("hello", context=context, timeout=10)
    connection.sock = context.wrap_socket(socket.create_connection((sys.argv[1], 8000), 10), server_hostname="hello")
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
pages, failed = collections.Counter(), []
while not select.select([sys.stdin], [], [], 0.02)[0]:
    edition = json.loads(get("/")[1])["edition"]
    pages[edition] += 1
    for name in {edition, "one"}:
        if (found := get(f"/assets/{name}.js")) != (200, name):
            failed.append([edition, name, *found])
print(json.dumps([pages, failed]))
"""


@contextmanager
def open_pages(host, address):
    """Open pages of the app at this address until the block ends, and return how many of each edition there were."""
    command = ["docker", "exec", "--interactive", host, "python3", "-c", OPEN_PAGES, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        seen = {}
        try:
            yield seen
        finally:
            output, _ = client.communicate("", timeout=60)
    pages, failed = json.loads(output)
    assert failed == []
    seen |= pages


def test_the_way_to_another_server_is_tls_and_its_certificate_is_replaced_without_a_break(debian12, debian13, tmp_path):
    addresses = {host: on(host, "hostname -I").split()[0] for host in (debian12, debian13)}
    make_source(ROOT / "molecule/deploys/app", tmp_path / "hello")
    (tmp_path / "hello/edition.py").write_text("NAME = 'one'\n")
    (tmp_path / "hello/assets").mkdir()
    (tmp_path / "hello/assets/one.js").write_text("one")
    old, new, strange = (certificate(tmp_path, name) for name in ("old", "new", "strange"))
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    variables = {
        "app_name": "hello",
        "app_domains": [SITE],
        "app_entrypoint": "main:app",
        "app_source": {"folder": str(tmp_path / "hello")},
        "app_static": [{"url": "/assets/", "folder": "assets", "immutable": True}],
        "gunicorn_readiness_path": "/readyz",
        "gunicorn_observe_time": 1,
        "gunicorn_workers": 1,
        "gunicorn_bind": f"{addresses[debian13]}:8000",
        "gunicorn_tls_certificate": str(chain),
        "gunicorn_tls_key": str(key),
        "nginx_rate_limit_mode": "disabled",
    }
    balancer = {"ansible_host": addresses[debian12], "private_address": addresses[debian12]}
    groups = {
        "all": {"vars": variables},
        "load_balancers": {"hosts": {"pf-topologies12": balancer}},
        "app_servers": {"hosts": {"pf-topologies13": {"ansible_host": addresses[debian13]}}},
    }
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump(groups))

    def provide(chains, its_key, *arguments):
        chain.write_text("".join(chains))
        key.write_text(its_key)
        return play(*arguments, inventory=str(inventory), **SAME).succeeded()

    provide([old[0]], old[1])
    assert live([debian12]) == "one"
    assert on(debian12, "python3 -c %s %s", SPEAKS_TLS, addresses[debian13]).strip() == "TLSv1.3"
    # Root of the app's host asks over a socket of its own, with TLS too; nobody of that host gets to the address.
    on(debian13, "curl --silent --fail --insecure --unix-socket /run/hello/local.sock https://hello/")
    assert debian13.run("curl --insecure --max-time 2 https://%s:8000/", addresses[debian13]).rc == 28
    assert set(provide([old[0]], old[1]).stats("changed").values()) == {0}
    play("-e", "strict=true", playbook=ROOT / "playbooks/status.yml", inventory=str(inventory), **SAME).succeeded()
    (tmp_path / "hello/edition.py").write_text("NAME = 'two'\n")
    (tmp_path / "hello/assets/one.js").rename(tmp_path / "hello/assets/two.js").write_text("two")
    with load("pf-topologies12", SITE, least=101) as result:
        with open_pages("pf-topologies12", addresses[debian13]) as pages:
            provide([old[0], new[0]], old[1])
        assert pages.keys() == {"one", "two"}
        assert live([debian12]) == "two"
        assert [ask(debian12, SITE, f"/assets/{name}.js") for name in ("one", "two")] == [(200, "one"), (200, "two")]
        assert ask(debian12, SITE, "/assets/none.js")[0] == 404
        provide([new[0], old[0]], new[1])
        provide([new[0]], new[1])
    assert result.sent > 100
    assert [problem for problem in result.failed if not CLOSED.search(problem)] == []
    # Who shows another certificate is not asked anything.
    provide([strange[0]], strange[1], "--limit", "pf-topologies12")
    assert ask(debian12, SITE)[0] == 502
    variables.update(gunicorn_tls_certificate="", gunicorn_tls_key="")
    inventory.write_text(yaml.safe_dump(groups))
    provide([], "")
    assert live([debian12]) == "two"
    assert not debian12.file("/etc/nginx/production.fastapi/upstreams/hello.pem").exists
    assert not debian13.file("/etc/hello/key.pem").exists
