"""The module runs the real openssl in a folder of the test."""

import json
import shutil
import subprocess

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.production.fastapi.plugins.module_utils._nginx.certificate_store import Store, parse, settled
from ansible_collections.production.fastapi.plugins.modules import self_signed_certificates as module

SHOP = {"name": "shop", "domains": ["shop.example.com", "*.Shop.example.com", "192.0.2.1", "2001:db8::1"]}
BLOG = {"name": "blog", "domains": ["blog.example.com"]}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sites"


@pytest.fixture
def keep(folder, capsys):
    """Run the module; the result is what Ansible would get."""

    def run(*certificates, check=False, **options):
        arguments = {"certificates": list(certificates), "directory": str(folder), **options}
        if check:
            arguments["_ansible_check_mode"] = True
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_a_certificate_has_the_names_of_the_site_and_a_key_for_root_only(keep, folder):
    result = keep(SHOP)
    assert (result["changed"], result["made"]) == (True, ["shop"])
    live = folder / "shop" / "live"
    assert str(live.readlink()) == "self-signed"
    text = openssl("x509", "-in", live / "fullchain.pem", "-noout", "-text")
    for name in ("DNS:shop.example.com", "DNS:*.Shop.example.com", "IP Address:192.0.2.1", "IP Address:2001:DB8"):
        assert name in text
    assert "prime256v1" in text
    assert "CA:FALSE" in text
    assert (live / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (folder / "shop" / "self-signed").iterdir()) == ["fullchain.pem", "privkey.pem"]


def test_a_client_that_trusts_it_accepts_it(keep, folder):
    keep(SHOP)
    chain = folder / "shop" / "live" / "fullchain.pem"
    assert "OK" in openssl("verify", "-x509_strict", "-CAfile", chain, "-verify_hostname", "shop.example.com", chain)


def test_a_second_run_changes_nothing_and_tells_the_same_serial_number(keep):
    first, second = keep(SHOP), keep(SHOP)
    assert second["changed"] is False
    assert second["serials"] == first["serials"]
    assert len(first["serials"]["shop"]) > 10


def test_the_order_and_case_of_the_domains_do_not_matter(keep):
    keep(SHOP)
    assert keep({"name": "shop", "domains": [name.upper() for name in SHOP["domains"][::-1]]})["changed"] is False


def test_an_internal_site_may_have_a_name_of_one_label_and_underscores(keep):
    assert keep({"name": "shop", "domains": ["intranet", "my_shop.internal"]})["made"] == ["shop"]


@pytest.mark.parametrize("domains", [["shop.example.com"], [*SHOP["domains"], "new.example.com"]])
def test_other_names_need_another_certificate(keep, domains):
    first = keep(SHOP)
    second = keep({"name": "shop", "domains": domains})
    assert second["made"] == ["shop"]
    assert second["serials"] != first["serials"]
    assert keep({"name": "shop", "domains": domains})["changed"] is False


def test_a_certificate_that_ends_soon_is_replaced(keep):
    keep(SHOP, days=29)
    assert keep(SHOP, days=31)["made"] == ["shop"]
    assert keep(SHOP)["changed"] is False


def lose_the_key(folder):
    (folder / "privkey.pem").unlink()


def open_the_key_to_everybody(folder):
    (folder / "privkey.pem").chmod(0o644)


def take_the_key_of_another(folder):
    shutil.copy(folder.parents[1] / "blog" / "self-signed" / "privkey.pem", folder / "privkey.pem")


def damage_the_certificate(folder):
    (folder / "fullchain.pem").write_text("no certificate")


@pytest.mark.parametrize(
    "harm", [lose_the_key, open_the_key_to_everybody, take_the_key_of_another, damage_the_certificate]
)
def test_a_pair_that_cannot_be_trusted_is_replaced(keep, folder, harm):
    keep(SHOP, BLOG)
    harm(folder / "shop" / "self-signed")
    assert keep(SHOP, BLOG)["made"] == ["shop"]
    assert keep(SHOP, BLOG)["changed"] is False


def test_a_real_certificate_is_left_alone(keep, folder):
    real = folder / "shop" / "real"
    real.mkdir(parents=True)
    (folder / "shop" / "live").symlink_to("real")
    result = keep(SHOP)
    assert result["changed"] is False
    assert result["serials"] == {"shop": ""}
    assert str((folder / "shop" / "live").readlink()) == "real"
    assert not (folder / "shop" / "self-signed").exists()


def test_a_lost_link_comes_back_without_a_new_certificate(keep, folder):
    first = keep(SHOP)
    (folder / "shop" / "live").unlink()
    second = keep(SHOP)
    assert second["made"] == ["shop"]
    assert second["serials"] == first["serials"]


def test_check_mode_reports_and_touches_nothing(keep, folder):
    result = keep(SHOP, check=True)
    assert (result["changed"], result["made"], result["serials"]) == (True, ["shop"], {"shop": ""})
    assert not folder.exists()
    first = keep(SHOP)
    result = keep({"name": "shop", "domains": ["new.example.com"]}, check=True)
    assert result["made"] == ["shop"]
    assert result["serials"] == first["serials"]
    assert keep(SHOP)["changed"] is False


def test_check_mode_does_not_need_openssl(keep, monkeypatch):
    monkeypatch.setattr(module.AnsibleModule, "get_bin_path", lambda *_, **__: None)
    assert keep(SHOP, check=True)["made"] == ["shop"]
    assert "install the package openssl" in keep(SHOP)["msg"]


def test_the_diff_shows_names_and_never_a_key(keep):
    first = keep(BLOG)["diff"]
    assert first[0]["before"] == ""
    assert first[0]["after"] == "self-signed for blog.example.com\n"
    second = keep({"name": "blog", "domains": ["192.0.2.9"]})["diff"]
    assert (second[0]["before"], second[0]["after"]) == (first[0]["after"], "self-signed for 192.0.2.9\n")
    assert "PRIVATE" not in json.dumps(first + second)


def test_the_certificate_of_a_site_that_left_is_removed_only_on_demand(keep, folder):
    keep(SHOP, BLOG)
    result = keep(SHOP)
    assert (result["changed"], result["obsolete"]) == (False, ["blog"])
    assert keep(SHOP, remove_obsolete=True, check=True)["changed"] is True
    assert (folder / "blog").exists()
    assert keep(SHOP, remove_obsolete=True)["changed"] is True
    assert [path.name for path in folder.iterdir()] == ["shop"]
    assert keep(SHOP, remove_obsolete=True)["changed"] is False


def test_what_others_have_put_there_is_never_removed(keep, folder):
    keep(SHOP, BLOG)
    (folder / "blog" / "note.txt").write_text("mine")
    foreign = folder / "foreign" / "self-signed"
    foreign.mkdir(parents=True)
    key, chain = foreign / "privkey.pem", foreign / "fullchain.pem"
    openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/O=Others", "-keyout", key, "-out", chain)
    keep(SHOP, remove_obsolete=True)
    assert [path.name for path in (folder / "blog").iterdir()] == ["note.txt"]
    assert sorted(path.name for path in foreign.iterdir()) == ["fullchain.pem", "privkey.pem"]


def test_a_site_that_left_with_a_real_certificate_keeps_it(keep, folder):
    keep(BLOG)
    (folder / "blog" / "real").mkdir()
    (folder / "blog" / "live").unlink()
    (folder / "blog" / "live").symlink_to("real")
    keep(SHOP, remove_obsolete=True)
    assert sorted(path.name for path in (folder / "blog").iterdir()) == ["live", "real"]


@pytest.mark.parametrize(
    ("certificate", "sentence"),
    [
        ({"name": "../etc", "domains": ["a.example.com"]}, "is not a folder name"),
        ({"name": "shop", "domains": []}, "shop has no domains"),
        ({"name": "shop", "domains": ["a\nb"]}, "is neither a domain nor an IP address"),
    ],
)
def test_bad_input_is_one_sentence_and_makes_nothing(keep, folder, certificate, sentence):
    result = keep(certificate)
    assert result["failed"] is True
    assert sentence in result["msg"]
    assert not folder.exists()


def test_what_openssl_says_reaches_the_user(keep, folder):
    folder.parent.mkdir(exist_ok=True)
    result = keep({"name": "shop", "domains": ["192.0.2.1"]}, days=-5000000)
    assert "openssl made no certificate for shop" in result["msg"]


@pytest.mark.parametrize("subject", ["subject=O = production.fastapi, CN = a", "subject=O=production.fastapi, CN=a"])
def test_both_ways_of_openssl_to_write_a_subject_are_understood(subject):
    assert parse(f"serial=0A\n{subject}\n", lasts=True).ours
    assert not parse("serial=0A\nsubject=O = production.fastapi.evil, CN = a\n", lasts=True).ours


@pytest.mark.parametrize(("folder_name", "real"), [("letsencrypt-0123456789abcdef", True), ("mine", False)])
def test_who_serves_a_real_certificate_that_the_role_keeps_is_told_even_of_a_site_that_left(
    keep, folder, folder_name, real
):
    keep(SHOP, BLOG)
    (folder / "blog" / folder_name).mkdir()
    (folder / "blog" / "live").unlink()
    (folder / "blog" / "live").symlink_to(folder_name)
    for certificates in ([SHOP, BLOG], [SHOP]):
        assert keep(*certificates)["real"] == (["blog"] if real else [])


def survey(folder):
    def run(command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return Store(folder, 30, run).survey()


def test_what_was_read_says_what_the_module_would(folder, keep):
    assert settled([SHOP], survey(folder)) is None
    keep(SHOP, BLOG)
    again = keep(SHOP)
    known = settled([SHOP], survey(folder))
    assert known == {key: again[key] for key in known}
    assert known["obsolete"] == ["blog"]
    assert known["serials"]["shop"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda site: (site / "live").unlink(),
        lambda site: (site / "self-signed" / "privkey.pem").chmod(0o644),
        lambda site: (site / "self-signed" / "privkey.pem").write_text("none"),
        lambda site: (site / "self-signed" / "fullchain.pem").unlink(),
    ],
)
def test_a_certificate_that_is_not_as_it_should_be_is_looked_at(folder, keep, spoil):
    keep(SHOP)
    spoil(folder / "shop")
    assert settled([SHOP], survey(folder)) is None


def test_other_names_are_looked_at(folder, keep):
    keep(SHOP)
    assert settled([{**SHOP, "domains": ["shop.example.com"]}], survey(folder)) is None
    assert settled([SHOP, BLOG], survey(folder)) is None


def test_a_real_certificate_of_others_is_left_alone(folder, keep):
    (folder / "shop" / "theirs").mkdir(parents=True)
    (folder / "shop" / "live").symlink_to("theirs")
    known = settled([SHOP], survey(folder))
    assert known == {key: value for key, value in keep(SHOP).items() if key in known}
