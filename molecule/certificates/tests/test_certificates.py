"""What Nginx serves, and what the authority is asked for it; the tests build on each other, in order."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from asking import on
from plays import play

CONVERGE = Path(__file__).parents[1] / "converge.yml"
STATIC = [{"url": "/s/", "folder": "/srv/files"}]
NOBODY = ["127.0.0.1:8000"]
SHOP = {"name": "shop", "domains": ["shop.test", "www.shop.test"], "servers": NOBODY, "static": STATIC}
ONE = {**SHOP, "domains": ["shop.test"]}
BLOG = {"name": "blog", "domains": ["blog.test"], "servers": NOBODY, "static": STATIC}
LOST = {"name": "lost", "domains": ["lost.test"], "servers": NOBODY, "static": STATIC}
FAST = "https://acme.test:15000/dir"  # of the authority whose certificates live for 45 seconds
LIFE = 45

SERVED = """
import hashlib, json, socket, ssl, subprocess, sys
context = ssl._create_unverified_context()
with context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 10), server_hostname=sys.argv[1]) as connection:
    chain = ssl.DER_cert_to_PEM_cert(connection.getpeercert(True))
show = ["openssl", "x509", "-noout", "-issuer", "-serial", "-ext", "subjectAltName"]
print(subprocess.run(show, input=chain, text=True, capture_output=True).stdout)
"""

ASK_UNTIL_END = """
import http.client, json, socket, ssl, sys, threading
context, over, sent, failed = ssl._create_unverified_context(), threading.Event(), 0, []
threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
while not over.wait(0.05) or sent <= 50:
    sent += 1
    try:
        connection = http.client.HTTPSConnection("shop.test", context=context, timeout=10)
        plain = socket.create_connection(("127.0.0.1", 443), 10)
        connection.sock = context.wrap_socket(plain, server_hostname="shop.test")
        connection.request("GET", "/s/x")
        answer = connection.getresponse()
        if (answer.status, answer.read()) != (200, b"here\\n"):
            failed.append(str(answer.status))
    except (OSError, http.client.HTTPException) as error:
        failed.append(repr(error))
    connection.close()
print(json.dumps([sent, failed]))
"""


def converge(*arguments, sites=(SHOP, BLOG), **variables):
    return play(*arguments, playbook=CONVERGE, nginx_sites=list(sites), **variables)


def served(host, domain):
    """Issuer, serial number and names of the certificate that a client gets."""
    return on(host, "python3 -c %s %s", SERVED, domain)


def is_of_pebble(text):
    return "Pebble" in text


def served_next(host, domain, before):
    """What is served in the place of `before`: old workers of Nginx may answer for a moment after new ones do."""
    until = time.monotonic() + 30
    while (text := served(host, domain)) == before and time.monotonic() < until:
        time.sleep(0.2)
    return text


def asked(authority, unit="pebble-14000"):
    """How often the authority was asked."""
    return int(on(authority, "journalctl --unit %s --output cat | grep --count ' [A-Z]* /'", unit))


def ordered(authority, unit="pebble-14000"):
    """How many certificates the authority was asked for, which is what authorities limit."""
    return int(on(authority, "journalctl --unit %s --output cat | grep --count 'POST /order-plz' || true", unit))


def test_a_bare_host_has_its_certificates_after_one_run_and_a_lost_domain_stops_nobody(authority, hosts):
    orders = ordered(authority)
    result = converge(sites=(SHOP, LOST, BLOG))
    assert ordered(authority) == orders + 2 * len(hosts), "one for each site that can be found"
    assert result.returncode != 0
    assert "lost: http://lost.test/.well-known/acme-challenge/" in result.text
    assert "the name does not resolve" in result.text
    for host in hosts.values():
        for site in (SHOP, BLOG):
            text = served(host, site["domains"][0])
            assert is_of_pebble(text)
            assert all(f"DNS:{domain}" in text for domain in site["domains"])
        assert not is_of_pebble(served(host, "lost.test"))
    again = converge(sites=(SHOP, LOST, BLOG))
    assert set(again.stats("changed").values()) == {0}, again.output


def test_a_second_run_asks_the_authority_nothing(authority, hosts):
    converge().succeeded()
    before = asked(authority)
    assert before > 0
    result = converge().succeeded()
    assert set(result.stats("changed").values()) == {0}, result.output
    assert asked(authority) == before


def test_changed_names_are_one_new_certificate(authority, hosts):
    host = hosts["pf-certificates12"]
    shop, blog, orders = served(host, "shop.test"), served(host, "blog.test"), ordered(authority)
    converge(sites=(ONE, BLOG)).succeeded()
    assert ordered(authority) == orders + len(hosts)
    text = served_next(host, "shop.test", shop)
    assert "DNS:www.shop.test" not in text
    assert is_of_pebble(text)
    assert served(host, "blog.test") == blog


def test_a_rehearsal_keeps_nothing(authority, hosts):
    before = served(hosts["pf-certificates13"], "blog.test")
    result = play(playbook=CONVERGE.parents[2] / "playbooks/certs.yml", action="dry-run")
    result.succeeded()
    assert "blog: the authority would issue a certificate." in result.text
    assert served(hosts["pf-certificates13"], "blog.test") == before


def test_a_name_that_fails_is_tried_once_by_a_run_and_once_by_the_timers_unit(authority, hosts):
    host, orders = hosts["pf-certificates13"], ordered(authority)
    result = converge("--limit", "pf-certificates13", sites=(LOST, ONE, BLOG), nginx_acme_preflight=False)
    assert "lost: certbot got no certificate from https://acme.test:14000/dir" in result.text
    assert ordered(authority) == orders + 1
    assert host.run("systemctl start site-certificates").exit_status != 0
    assert ordered(authority) == orders + 2


def test_the_timers_unit_renews_under_load_and_nobody_notices(authority, hosts):
    host = hosts["pf-certificates13"]
    converge("--limit", "pf-certificates13", sites=(ONE, BLOG), nginx_acme_directory=FAST).succeeded()
    began = time.monotonic()
    before = served(host, "shop.test")
    assert is_of_pebble(before)
    on(host, "systemctl start site-certificates")
    assert served(host, "shop.test") == before, "renewed before its time"
    time.sleep(max(0, LIFE * 2 / 3 + 1 - (time.monotonic() - began)))
    command = ["docker", "exec", "--interactive", "pf-certificates13", "python3", "-c", ASK_UNTIL_END]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        time.sleep(1)
        on(host, "systemctl start site-certificates")
        after = served_next(host, "shop.test", before)
        time.sleep(1)
        sent, failed = json.loads(client.communicate(timeout=60)[0])
    assert failed == []
    assert sent > 50
    assert is_of_pebble(after)
    assert after != before


def test_while_the_authority_is_away_the_old_certificate_stays_and_the_next_attempt_renews_it(authority, hosts):
    host = hosts["pf-certificates13"]
    before, orders = served(host, "shop.test"), ordered(authority, "pebble-15000")
    on(host, "cp /etc/hosts /root/hosts && sed 's/.*acme.test/127.0.0.1 acme.test/' /root/hosts >/etc/hosts")
    on(host, "systemctl start site-certificates")  # nothing is due, so it asks nobody
    time.sleep(LIFE * 2 / 3 + 1)
    assert host.run("systemctl start site-certificates").exit_status != 0
    assert "site-certificates.service" in on(host, "systemctl --failed --no-legend")
    assert "shop: certbot got no certificate from https://acme.test:15000/dir" in on(
        host, "journalctl --unit site-certificates --output cat --lines 20"
    )
    assert served(host, "shop.test") == before
    on(host, "cat /root/hosts >/etc/hosts")
    on(host, "systemctl start site-certificates")
    after = served_next(host, "shop.test", before)
    assert is_of_pebble(after)
    assert after != before
    assert ordered(authority, "pebble-15000") == orders + 2, "one for each of its sites"
    assert "site-certificates.service" not in on(host, "systemctl --failed --no-legend")


@pytest.mark.parametrize(("port", "days"), [(18000, 6), (17000, 45), (14000, 90)])
def test_whatever_its_life_is_renewed_when_two_thirds_are_over(authority, hosts, port, days):
    host, directory = hosts["pf-certificates13"], f"https://acme.test:{port}/dir"
    on(host, "which faketime || apt-get install -qq faketime")
    converge("--limit", "pf-certificates13", sites=(BLOG,), nginx_acme_directory=directory).succeeded()

    def renew(hours):
        """What is done by the clock of some hours later."""
        clock = f"faketime -f +{hours}h"
        return on(host, f"FAKETIME_DONT_FAKE_MONOTONIC=1 {clock} /etc/ssl/sites/certificates renew")

    before, requests = served(host, "blog.test"), asked(authority, f"pebble-{port}")
    assert renew(days * 16 - 1) == ""
    assert served(host, "blog.test") == before
    assert asked(authority, f"pebble-{port}") == requests
    assert "because two thirds of its life are over" in renew(days * 16 + 1)
    assert served_next(host, "blog.test", before) != before


def test_a_restart_of_the_host_serves_what_it_served(authority, hosts):
    before = {domain: served(hosts["pf-certificates12"], domain) for domain in ("shop.test", "blog.test")}
    subprocess.run(["docker", "restart", "pf-certificates12"], check=True, capture_output=True)
    on(
        hosts["pf-certificates12"],
        "until systemctl is-system-running --wait 2>/dev/null | grep -q .; do sleep 0.2; done",
    )
    assert {domain: served(hosts["pf-certificates12"], domain) for domain in before} == before
    assert on(hosts["pf-certificates12"], "systemctl is-active site-certificates.timer").strip() == "active"


WILD = {"name": "wild", "domains": ["*.wild.test", "wild.test"], "servers": NOBODY, "static": STATIC}
CREDENTIALS = """
dns_rfc2136_server = 198.18.46.10
dns_rfc2136_port = 5353
dns_rfc2136_name = certbot.
dns_rfc2136_secret = {tsig}
dns_rfc2136_algorithm = HMAC-SHA256
"""


def test_a_wildcard_is_proved_by_dns_to_an_authority_that_knows_its_clients(authority, hosts):
    host = hosts["pf-certificates13"]
    given = {name: on(authority, f"cat /srv/{name}") for name in ("eab", "tsig")}
    wishes = {
        "nginx_acme_directory": "https://acme.test:16000/dir",
        "nginx_acme_eab_kid": "known",
        "nginx_acme_eab_hmac_key": given["eab"],
        "nginx_acme_key": "rsa2048",
        "nginx_acme_dns": "rfc2136",
        "nginx_acme_dns_credentials": CREDENTIALS.format(tsig=given["tsig"]),
        "nginx_acme_dns_wait": 1,
    }
    refused = converge("--limit", "pf-certificates13", sites=(WILD,), **wishes | {"nginx_acme_dns": ""})
    assert "cannot prove the wildcard *.wild.test by a request; set nginx_acme_dns" in refused.text
    result = converge("--limit", "pf-certificates13", "--diff", sites=(WILD,), **wishes).succeeded()
    assert not [secret for secret in given.values() if secret in result.output]
    text = served(host, "any.wild.test")
    assert is_of_pebble(text)
    assert "DNS:*.wild.test" in text
    chain = on(host, "openssl x509 -noout -text -in /etc/ssl/sites/wild/live/fullchain.pem")
    assert "Public-Key: (2048 bit)" in chain
    assert re.search(r"\b(5\.9|6\.0) days left", on(host, "/etc/ssl/sites/certificates show"))
    assert on(host, "find /etc/ssl/sites/dns.ini /etc/ssl/sites/certbot.ini -perm /077") == ""
    before = asked(authority, "pebble-16000")
    converge("--limit", "pf-certificates13", sites=(WILD,), **wishes).succeeded()
    again = converge("--limit", "pf-certificates13", sites=(WILD,), **wishes).succeeded()
    assert set(again.stats("changed").values()) == {0}, again.output
    assert asked(authority, "pebble-16000") == before > 0


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """A certificate of the user's own, its key, and a key of something else."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("own", "other"):
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "90",
            "-subj",
            "/CN=An own authority",
        ]
        command += ["-addext", "subjectAltName=DNS:shop.test,DNS:www.shop.test", "-keyout", f"{folder}/{name}.key"]
        subprocess.run([*command, "-out", f"{folder}/{name}.pem"], check=True, capture_output=True)
    return folder


def with_files(folder, key="own"):
    given = {"certificate": "files", "certificate_chain": f"{folder}/own.pem", "certificate_key": f"{folder}/{key}.key"}
    return ({**SHOP, **given}, BLOG)


def test_a_key_of_another_certificate_is_refused_and_nothing_has_changed(authority, hosts, own):
    before = served(hosts["pf-certificates12"], "shop.test")
    result = converge("--limit", "pf-certificates12", sites=with_files(own, key="other"))
    assert result.returncode != 0
    assert re.search(r"key .* does not belong to the certificate|does not (fit|belong)", result.text), result.output
    assert served(hosts["pf-certificates12"], "shop.test") == before


def test_certificates_of_ones_own_and_no_key_in_a_diff(authority, hosts, own):
    host = hosts["pf-certificates12"]
    before = served(host, "shop.test")
    result = converge("--limit", "pf-certificates12", "--diff", sites=with_files(own)).succeeded()
    assert "An own authority" in served_next(host, "shop.test", before)
    assert "PRIVATE KEY" not in result.output
    assert on(host, "find /etc/ssl/sites -name '*.pem' -newer /etc/hostname -perm /077 -path '*privkey*'") == ""
    again = converge("--limit", "pf-certificates12", sites=with_files(own)).succeeded()
    assert set(again.stats("changed").values()) == {0}, again.output


def test_back_to_self_signed(authority, hosts):
    host = hosts["pf-certificates12"]
    before = {domain: served(host, domain) for domain in ("shop.test", "blog.test")}
    converge("--limit", "pf-certificates12", nginx_certificate="self-signed").succeeded()
    for domain in ("shop.test", "blog.test"):
        text = served_next(host, domain, before[domain])
        assert not is_of_pebble(text)
        assert "An own authority" not in text
    assert on(host, "readlink /etc/ssl/sites/shop/live").strip() == "self-signed"
    assert on(host, "find /etc/ssl/sites -name 'letsencrypt-*' -o -name 'files-*'") == ""
