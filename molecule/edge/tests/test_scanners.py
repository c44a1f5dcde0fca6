"""What scanners that know nothing of this collection say of it."""

import json
import re
import subprocess

import pytest
from asking import name_of, on


def compliance(host, profile):
    """What sslyze has against the host by a profile of Mozilla's, by the name of the rule."""
    address = on(host, "hostname -I").split()[0]
    command = ["sslyze", f"--mozilla_config={profile}", f"edge.example.com:443{{{address}}}"]
    report = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
    _, found, verdict = report.partition("COMPLIANCE AGAINST TLS CONFIGURATION")
    assert found, report
    assert f'"{profile}" configuration' in verdict
    return re.findall(r"^ +\* (\w+):", verdict, re.MULTILINE)


def test_mozilla_would_change_nothing_but_that_nobody_has_signed_the_certificate(host):
    assert compliance(host, "intermediate") == ["certificate_path_validation"]


def test_the_scanner_can_tell_the_profiles_apart(host):
    assert "tls_versions" in compliance(host, "modern")


@pytest.mark.parametrize("severity", ["MEDIUM", "HIGH"])
def test_a_linter_of_nginx_finds_nothing_to_worry_about(host, tmp_path, severity):
    name = name_of(host)
    subprocess.run(["docker", "cp", "--quiet", f"{name}:/etc/nginx", tmp_path / "nginx"], check=True, timeout=60)
    # The nginx.conf of the package is not ours to judge.
    (tmp_path / "nginx/nginx.conf").write_text("events { }\nhttp {\n    include production.fastapi/http.conf;\n}\n")
    command = ["gixy", "--format", "json", tmp_path / "nginx/nginx.conf"]
    report = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    assert [issue for issue in json.loads(report) if issue["severity"] == severity] == []
