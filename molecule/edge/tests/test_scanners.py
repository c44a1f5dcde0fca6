"""What scanners that know nothing of this collection say of it."""

import json
import subprocess

import pytest
from asking import name_of, on
from sslyze import Scanner, ServerNetworkLocation, ServerScanRequest
from sslyze.mozilla_tls_profile import tls_config_checker as checker


def scan(hosts):
    """What sslyze has found out about each host, by its name."""
    names = {on(host, "hostname -I").split()[0]: name_of(host) for host in hosts}
    sites = [ServerNetworkLocation("edge.example.com", 443, address) for address in names]
    scanner = Scanner()
    scanner.queue_scans([ServerScanRequest(site) for site in sites])
    return {names[result.server_location.ip_address]: result for result in scanner.get_results()}


def compliance(found, profile):
    """What a profile of Mozilla's has against it, by the name of the rule."""
    wanted = checker.MozillaTlsConfiguration.get(checker.TlsConfigurationEnum(profile))
    try:
        checker.check_server_against_tls_configuration(found, wanted)
    except checker.ServerNotCompliantWithTlsConfiguration as error:
        return set(error.issues)
    return set()


@pytest.fixture(scope="session")
def scanned(hosts):
    """One scan tells how a host fares by all profiles."""
    return scan(hosts)


@pytest.fixture(scope="session")
def worries(hosts, tmp_path_factory):
    """What a linter of Nginx worries about, by the name of the host."""
    found = {}
    for host in hosts:
        name, folder = name_of(host), tmp_path_factory.mktemp("linted") / "nginx"
        subprocess.run(["docker", "cp", "--quiet", f"{name}:/etc/nginx", folder], check=True, timeout=60)
        # The nginx.conf of the package is not ours to judge.
        (folder / "nginx.conf").write_text("events { }\nhttp {\n    include production.fastapi/http.conf;\n}\n")
        command = ["gixy", "--format", "json", folder / "nginx.conf"]
        report = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
        found[name] = json.loads(report)
    return found


def test_mozilla_would_change_nothing_but_that_nobody_has_signed_the_certificate(host, scanned):
    assert compliance(scanned[name_of(host)], "intermediate") == {"certificate_path_validation"}


def test_the_scanner_can_tell_the_profiles_apart(host, scanned):
    assert "tls_versions" in compliance(scanned[name_of(host)], "modern")


@pytest.mark.parametrize("severity", ["MEDIUM", "HIGH"])
def test_a_linter_of_nginx_finds_nothing_to_worry_about(host, worries, severity):
    assert [issue for issue in worries[name_of(host)] if issue["severity"] == severity] == []
