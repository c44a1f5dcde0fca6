# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be refused of a source by reading it: on the controller before a host changes, else on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.folder import list_files
from ansible_collections.production.fastapi.plugins.module_utils._release.forms import (
    PLAIN,
    Chosen,
    detect_form,
    pinned,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.index import NONE, Credentials
from ansible_collections.production.fastapi.plugins.module_utils._release.install import (
    project_indexes,
    read_pyproject,
    refuse_pins,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.python import Wish
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    ReleaseError,
    find_entrypoint,
    project_folder,
)


@dataclass(frozen=True)
class Asked:
    """What the settings say of a source; `package` is the form of one that comes from an index."""

    dependencies: str = "auto"
    entrypoint: str = ""
    python: str = ""
    chosen: Chosen = PLAIN
    requirements: Sequence[str] = ()
    ignore_pins: Sequence[str] = ()
    install_options: Sequence[str] = ()
    credentials: Credentials = NONE
    package: str = ""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asked:
        """By options of the module `release`; one that is left out or empty has its default."""
        return cls(
            dependencies=str(options.get("dependencies") or "auto"),
            entrypoint=str(options.get("entrypoint") or ""),
            python=str(options.get("python") or ""),
            chosen=Chosen(options.get("extras") or [], options.get("groups") or []),
            requirements=options.get("requirements") or [],
            ignore_pins=options.get("ignore_pins") or [],
            install_options=options.get("install_options") or [],
            credentials=Credentials(options.get("index_credentials") or {}),
        )


@dataclass
class Checked:
    """What was found out on the way, as far as nothing was refused."""

    pyproject: Mapping[str, Any] = field(default_factory=dict)
    entrypoint: str = ""
    form: str = ""
    wish: Wish = field(default_factory=Wish)


class Checks:
    """The checks of a source, in the order in which a build needs them."""

    def __init__(self, root: Path, project: Path, asked: Asked, has: Callable[[Path], bool] = Path.is_file) -> None:
        """`has` says whether a file is one of the source."""
        self.root, self.project, self.asked, self.has = root, project, asked, has
        self.found = Checked()

    @classmethod
    def of_folder(cls, folder: Path, subdirectory: str, include: Sequence[str], asked: Asked) -> Checks:
        """Those of a folder of the controller, by the files that would be sent; raises `ReleaseError`."""
        sent = set(list_files(folder, include))

        def has(path: Path) -> bool:
            return PurePosixPath(path.relative_to(folder).as_posix()) in sent

        return cls(folder, project_folder(folder, subdirectory), asked, has)

    def passed(self) -> Checked:
        """What the checks have found out; raises the first `ReleaseError`."""
        for error in self.refusals():
            raise error
        return self.found

    def refusals(self) -> Iterator[ReleaseError]:
        """All that is refused."""
        for check in (self._describe, self._enter, self._form, self._choose, self._python, self._pins, self._indexes):
            try:
                check()
            except ReleaseError as error:
                yield error

    def _describe(self) -> None:
        self.found.pyproject = read_pyproject(self.project)

    def _enter(self) -> None:
        self.found.entrypoint = find_entrypoint(self.asked.entrypoint, self.found.pyproject)

    def _form(self) -> None:
        asked = self.asked
        self.found.form = asked.package or detect_form(self.root, self.project, asked.dependencies, self.has)

    def _choose(self) -> None:
        if self.found.form:
            self.asked.chosen.check(self.found.form, self.found.pyproject)

    def _pins(self) -> None:
        form, asked = self.found.form, self.asked
        pins = pinned(form, self.root, self.project, asked.chosen) if form else {}
        heeded = {name: version for name, version in pins.items() if name not in asked.ignore_pins}
        refuse_pins(heeded, asked.requirements, form, self.found.wish.version)

    def _indexes(self) -> None:
        self.asked.credentials.check(project_indexes(self.root, self.project), self.asked.install_options)

    def _python(self) -> None:
        asked = self.asked
        self.found.wish = Wish.read(asked.python, self.root, self.project, self.found.pyproject)
