"""What an app writes and is given: files that outlive its releases, media for Nginx, keys, assets of open pages."""

import json
import re

import pytest
from asking import on
from hello import ONE, SITE
from plays import DEPLOY, ROOT, play

MAIN = """
import json, os, pathlib, socket, sqlite3

pathlib.Path("uploads").mkdir(exist_ok=True)
with open("app.log", "a") as log:
    log.write("imported\\n")
sqlite3.connect("notes.db").execute("create table if not exists note (text)")
socket.if_nameindex()
KEY = json.loads(pathlib.Path(os.environ["PRODUCTION_FASTAPI_FILES"], "account.json").read_text())["key"]
NAMES = [os.environ["APP_NAME"], os.environ["PRODUCTION_FASTAPI_NAME"]]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"].startswith("/upload/"):
        pathlib.Path("uploads", scope["path"].rpartition("/")[2]).write_text("<script>alert(1)</script>")
    body = json.dumps({"key": KEY[::-1], "names": NAMES, "uploads": sorted(os.listdir("uploads"))}).encode()
    status = 404 if scope["path"].startswith("/pages/") else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
"""
CURL = f"curl --silent --insecure --resolve {SITE}:443:127.0.0.1 https://{SITE}"
SETTINGS = {
    "app_processes": [],
    "app_jobs": [],
    "app_receipt": False,
    "gunicorn_observe_time": 0,
    "app_environment": {"APP_NAME": "My hello"},
    "app_shared": ["uploads", "app.log", "notes.db"],
    "app_static": [
        {"url": "/media/", "shared": "uploads"},
        {"url": "/assets/", "folder": "dist/assets", "immutable": True},
        {"url": "/", "folder": "dist", "fallback": "index.html"},
    ],
}


@pytest.fixture(scope="session")
def deploy(tmp_path_factory):
    """`deploy("two", files)` deploys an edition of the app, with files that the app is given."""

    def run(edition, files, *arguments, playbook=DEPLOY, **settings):
        folder = tmp_path_factory.mktemp(edition) / "kept"
        (folder / "dist" / "assets").mkdir(parents=True)
        (folder / "dist" / "assets" / f"app-{edition}.js").write_text(edition)
        (folder / "dist" / "index.html").write_text(f"page of {edition}")
        (folder / "main.py").write_text(MAIN)
        (folder / "requirements.txt").write_text("")
        given = {"app_source": {"folder": str(folder)}, "app_files": files}
        return play("--diff", *arguments, playbook=playbook, **given, **(SETTINGS | settings))

    return run


def get(host, path):
    """Return the status and the text of an answer, its headers included."""
    text = on(host, f"{CURL}{path} --include")
    return int(re.findall(r"^HTTP/\S+ (\d+)", text)[0]), text


def answer(host):
    return json.loads(on(host, f"{CURL}/"))


def test_what_an_app_is_given_and_saves(hosts, deploy):
    files = {"account.json": {"key": "detn4lp-one"}, "extra.pem": "detn4lp-pem"}
    result = deploy("one", files, playbook=ROOT / "site.yml").succeeded()
    assert "detn4lp" not in result.output
    for host in hosts:
        assert answer(host) == {"key": "eno-pl4nted", "names": ["My hello", "hello"], "uploads": []}
        assert on(host, "stat --format='%a %U:%G' /etc/hello/files/extra.pem").split() == ["640", "root:hello"]
        get(host, "/upload/page.html")
        status, text = get(host, "/media/page.html")
        assert (status, "<script>" in text) == (200, True)
        assert re.search(r"(?i)^content-security-policy: default-src 'none';.* sandbox\s*$", text, re.MULTILINE)
        on(host, "runuser -u hello -- ln -s /etc/passwd /srv/hello/shared/uploads/link")
        assert get(host, "/media/link")[0] == 404
        assert host.run("runuser -u www-data -- ls /srv/hello/shared").rc != 0
        assert host.run("runuser -u www-data -- cat /srv/hello/shared/notes.db").rc != 0
        assert get(host, "/assets/app-one.js")[0] == 200


def test_pages_of_a_front_end_are_for_what_neither_a_file_nor_the_app_answers(hosts):
    for host in hosts:
        status, text = get(host, "/pages/5")
        assert (status, text.rpartition("\n")[2]) == (200, "page of one")
        assert "cache-control: no-cache" in text.lower()
        assert get(host, "/pages/none.js")[0] == 404
        assert get(host, "/pages/5 --header 'Accept: application/json'")[0] == 404
        assert '"names"' in get(host, "/other")[1], "it is the app's"


def test_the_same_again_changes_nothing(deploy):
    files = {"account.json": {"key": "detn4lp-one"}, "extra.pem": "detn4lp-pem"}
    result = deploy("one", files, *ONE, playbook=ROOT / "site.yml").succeeded()
    assert set(result.stats("changed").values()) == {0}, result.output


def test_a_deploy_keeps_it_and_open_pages_find_their_assets(one, deploy):
    result = deploy("two", {"account.json": {"key": "detn4lp-two"}}, *ONE).succeeded()
    assert "detn4lp" not in result.output
    for host in one:
        assert answer(host) == {"key": "owt-pl4nted", "names": ["My hello", "hello"], "uploads": ["link", "page.html"]}
        assert not host.file("/etc/hello/files/extra.pem").exists
        for edition in ("one", "two"):
            status, text = get(host, f"/assets/app-{edition}.js")
            assert (status, text.rpartition("\n")[2]) == (200, edition)
            assert "immutable" in text
        assert get(host, "/assets/app-none.js")[0] == 404


def test_a_changed_file_alone_restarts_the_app(one, deploy):
    deploy("two", {"account.json": {"key": "detn4lp-three"}}, *ONE).succeeded()
    assert {answer(host)["key"] for host in one} == {"eerht-pl4nted"}


def test_a_rollback_keeps_it_too(one):
    play(*ONE, playbook=ROOT / "playbooks" / "rollback.yml", app_files={}, **SETTINGS).succeeded()
    for host in one:
        assert answer(host)["uploads"] == ["link", "page.html"]
        assert get(host, "/assets/app-two.js")[0] == 200


def test_a_release_that_may_not_write_is_refused_with_the_setting(deploy):
    result = deploy("three", {"account.json": {"key": "detn4lp-one"}}, *ONE, app_shared=["notes.db", "uploads"])
    assert result.returncode != 0
    assert "set app_shared: [app.log] to have app.log of the source there." in result.text
