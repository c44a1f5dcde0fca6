"""What of an archive is let in."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release.folder import list_files
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._release.tree import unpack


def tar(path: Path, *members: tuple[str, bytes, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member, io.BytesIO())
    return path


def test_a_single_folder_at_the_top_is_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("shop-1.2/main.py", "")
    unpack(tmp_path / "x.zip", tmp_path / "src")
    assert [str(path) for path in list_files(tmp_path / "src")] == ["main.py"]


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/passwd", tarfile.REGTYPE, ""),
        ("../x", tarfile.REGTYPE, ""),
        ("a/../../x", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("a/link", tarfile.SYMTYPE, "../../x"),
        ("hard", tarfile.LNKTYPE, "/etc/passwd"),
        ("device", tarfile.CHRTYPE, ""),
        ("pipe", tarfile.FIFOTYPE, ""),
    ],
    ids=lambda member: member[0],
)
def test_nothing_gets_out_of_the_source(tmp_path, member):
    archive = tar(tmp_path / "x.tar.gz", ("fine.py", tarfile.REGTYPE, ""), member)
    with pytest.raises(ReleaseError, match=r"^app_source: "):
        unpack(archive, tmp_path / "src")
    assert not (tmp_path / "src").exists()


def test_nothing_is_written_through_a_link(tmp_path):
    up = (("a/up", tarfile.SYMTYPE, ".."), ("a/up/link", tarfile.SYMTYPE, "../x"))
    with pytest.raises(ReleaseError, match="behind a link"):
        unpack(tar(tmp_path / "x.tar", *up), tmp_path / "src")


def test_a_link_inside_the_source_stays(tmp_path):
    archive = tar(
        tmp_path / "x.tar", ("a/f", tarfile.REGTYPE, ""), ("a/link", tarfile.SYMTYPE, "../b"), ("b", b"0", "")
    )
    unpack(archive, tmp_path / "src")
    assert (tmp_path / "src" / "a" / "link").readlink() == Path("../b")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_what_is_no_archive_is_said(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ReleaseError, match=r"^app_source\.archive: it is not a readable tar or zip archive"):
        unpack(tmp_path / "x", tmp_path / "src")
