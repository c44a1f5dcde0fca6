"""Keep the bytecode of Python that is imported from zip files; test hosts start it with each Python.

Ansible sends each module as a zip file, and Python keeps no bytecode of those: a third of the work of a module is to
compile the same files of Ansible again, and a suite runs thousands of modules. The name of a kept file is the hash of
its source and of its path in the zip file, so what has changed is compiled anew.
"""
# Every Python of a test host begins with this, so it imports nothing that Python has not loaded by then.

import _imp
import marshal
import os
import zipimport
from types import CodeType

FOLDER = "/var/cache/zip-bytecode"
compile_source = zipimport._compile_source  # type: ignore[attr-defined]


def compile_once(pathname: str, source: bytes) -> CodeType:
    """Return the bytecode of a source, from the file of an earlier process where there is one."""
    inside = pathname.rpartition(".zip/")[2].encode()
    name = f"{FOLDER}/{_imp.source_hash(0, inside + source).hex()}"
    try:
        with open(name, "rb") as file:
            kept: CodeType = marshal.loads(file.read())  # root's own file
            return kept
    except OSError:
        made: CodeType = compile_source(pathname, source)
    if os.geteuid() == 0:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        new = f"{name}.{os.getpid()}"
        with open(new, "wb") as file:
            marshal.dump(made, file)
        os.rename(new, name)
    return made


zipimport._compile_source = compile_once  # type: ignore[attr-defined]
