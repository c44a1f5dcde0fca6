"""What of an archive is let in."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils.release_folder import list_files, pack, tree_hash
from ansible_collections.production.fastapi.plugins.module_utils.release_rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils.release_tree import unpack


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "app"
    for path in (
        "main.py",
        "a/b.py",
        ".env",
        ".venv/x.py",
        "__pycache__/c.py",
        "d.pyc",
        "node_modules/e.js",
        ".hidden",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (folder / "a" / "link").symlink_to("b.py")
    return folder


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    pack(folder, buffer)
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    return [str(path) for path in list_files(folder)]


def tar(path: Path, *members: tuple[str, bytes, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member, io.BytesIO())
    return path


def test_what_was_packed_is_unpacked(folder, tmp_path):
    (folder / "main.py").chmod(0o755)
    (tmp_path / "source").write_bytes(packed(folder))
    unpack(tmp_path / "source", tmp_path / "src")
    assert names(tmp_path / "src") == names(folder)
    assert tree_hash(tmp_path / "src") == tree_hash(folder)
    assert (tmp_path / "src" / "main.py").stat().st_mtime > 1_600_000_000
    assert not (tmp_path / "src.unpacked").exists()


def test_a_single_folder_at_the_top_is_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("shop-1.2/main.py", "")
    unpack(tmp_path / "x.zip", tmp_path / "src")
    assert names(tmp_path / "src") == ["main.py"]


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
    with pytest.raises(ReleaseError, match=r"^app_source\.archive: it is no readable tar or zip archive"):
        unpack(tmp_path / "x", tmp_path / "src")
