#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds a release of an app."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build a release of an app
version_added: 0.1.0
author: The production.fastapi maintainers (@production-fastapi)
description:
  - Fetches the source of a Python web app, builds its virtualenv, and imports the app once, so that a broken one is
    found before it is served.
  - The name of a release follows from its source and from how it is built. The same input is the same release, so a
    second run changes nothing.
  - A release is complete when it has a C(release.json). A build that was killed is removed by the next one; one that
    fails leaves nothing behind.
  - What a build runs, it runs in transient units of systemd, in a sandbox, as a user of its own, whose name is that of
    the app's user with a V(_) after it. Root copies what was built when the last process of that user has ended, so a
    finished release belongs to root.
  - The import check runs as the app's user, in the sandbox that the service has. What is live is never touched.
options:
  name:
    description: Name of the app.
    type: str
    required: true
  directory:
    description: Folder of the app on the host. The module makes C(releases), C(shared), C(public) and C(build) in it.
    type: path
    required: true
  user:
    description: User that later runs the app. It exists, and so does the one that builds for it.
    type: str
    required: true
  source:
    description:
      - Where the app comes from, of one kind.
      - C(git) is a URL, with C(version) (branch, tag or commit, of which the beginning will do; default C(HEAD)) and
        C(key), the path of a deploy key on the host. Submodules are included, with the same key, and on the same
        server with the same token. Files in Git LFS are included if the host has C(git-lfs). The build sees the
        history and the tags.
      - C(folder) is a path on the controller. In a git work tree, files that git ignores are left out, except the paths
        in C(include).
      - C(archive) is a path on the controller or a URL of a tar.* or zip file. A URL needs C(checksum) (V(sha256:...)).
      - C(package) is the name of a package in the index, with C(version).
      - All but C(package) may have a C(subdirectory), the folder of the app in the source.
      - Without any it is the sample service of this collection.
      - A path of the controller is looked for beside the inventory, then beside the playbook.
    type: dict
    required: true
  version:
    description: In place of the C(version) of a C(source) that is C(git) or C(package).
    type: str
    default: ""
  dependencies:
    description:
      - File that says what the app depends on. V(auto) takes the first of the others that the source has, and refuses a
        source whose versions are in a file of another tool, such as C(poetry.lock).
      - Else one of V(uv.lock), V(pylock.toml), V(requirements.txt) and V(pyproject.toml), or the path of a file with
        requirements, from the folder of the app or from the top of the source, as V(requirements/production.txt).
    type: str
    default: auto
  python:
    description:
      - Version of Python, as V(3.12), found on the host or installed by uv.
      - Empty is what C(.python-version) of the source asks for, else C(requires-python) of C(pyproject.toml), else the
        host's C(python3).
    type: str
    default: ""
  entrypoint:
    description:
      - The app as V(module:attribute). Empty takes C([tool.fastapi] entrypoint) of C(pyproject.toml).
      - A function without arguments is taken for one that makes the app; parentheses behind it say so.
    type: str
    default: ""
  environment:
    description: Environment variables of the app, for the import. They are neither shown nor stored by this module.
    type: dict
    default: {}
  files:
    description:
      - Files that the app is given, by their names, for the import. They are neither shown nor stored by this module.
    type: dict
    default: {}
  requirements:
    description:
      - What joins the app's virtualenv to serve it, each as a package and a range of versions.
      - Versions that the app has pinned do not move. When they are outside the range, the build is refused.
    type: list
    elements: str
    default: []
  index_url:
    description: URL of the package index. Empty is the installer's default.
    type: str
    default: ""
  index_credentials:
    description:
      - What opens package indexes, each as C({username, password}) under its name in C([[tool.uv.index]]) or its URL.
      - They are part of no release name, no command line and no log. Code of packages that have to be built can read
        them while it runs, and build commands cannot.
    type: dict
    default: {}
  ignore_pins:
    description:
      - Packages of O(requirements) whose version the app does not say, whatever it pins.
    type: list
    elements: str
    default: []
  install_options:
    description:
      - Options for uv when it installs the app and what it depends on.
      - It installs O(requirements) without them.
    type: list
    elements: str
    default: []
  extras:
    description: Extras of the app (C(optional-dependencies)) that are installed with it.
    type: list
    elements: str
    default: []
  groups:
    description: Dependency groups of the app that are installed with it.
    type: list
    elements: str
    default: []
  build_commands:
    description:
      - Commands that C(/bin/sh) runs in the source, when all is installed and before the app is imported.
      - They run as the build account, with the virtualenv first in E(PATH) and an empty home. 1800 seconds each.
    type: list
    elements: str
    default: []
  build_environment:
    description:
      - Environment variables of O(build_commands), and of packages and apps that have to be built, such as
        E(SETUPTOOLS_SCM_PRETEND_VERSION). Another value is another release. They are not shown.
    type: dict
    default: {}
  proxy:
    description: URL of the HTTP proxy. Empty is none.
    type: str
    default: ""
  ca_bundle:
    description: File with the certificates of the authorities to trust, on the host. Empty is the installer's default.
    type: path
    default: ""
  uv_version:
    description:
      - Version of uv, installed once for all apps in C(/opt/production.fastapi).
      - Empty is the one whose hashes are known.
    type: str
    default: ""
  uv_hashes:
    description:
      - SHA-256 of the wheels that the index may have as this version of uv, each as V(sha256:...).
      - Those of the default version for amd64 and arm64 are known.
    type: list
    elements: str
    default: []
  resolve:
    description:
      - Whether to resolve the versions of a source without a lock again, which is another release. Without it a release
        takes the versions of the live one, as far as its source allows them.
    type: bool
    default: false
  resolution:
    description: Set by the action. Which resolution of its versions the release has, as the first server says.
    type: str
  pins:
    description: Set by the action. The versions that another server of the app has resolved.
    type: dict
    default: {}
  preferred:
    description: Set by the action. The versions of the live release of another server, for one that has none.
    type: dict
    default: {}
  resolver:
    description: Set by the action. Whether this server resolves the versions of a source without a lock.
    type: bool
    default: true
  static:
    description:
      - Folders of the source that Nginx serves itself. They are copied to C(public/releases/RELEASE) for all complete
        releases; M(production.fastapi.switch) turns C(public/current).
    type: list
    elements: str
    default: []
  static_kept:
    description: Those of O(static) whose files outlive their release in C(public/kept).
    type: list
    elements: str
    default: []
  media:
    description: Paths in C(shared) where the app saves what Nginx serves. Nginx's group may read them.
    type: list
    elements: str
    default: []
  shared:
    description:
      - Paths of the source that are links to C(shared) in the release.
      - What the source has there is copied by the app's user, once.
    type: list
    elements: str
    default: []
  sandbox:
    description:
      - Settings of the service's unit that make its sandbox, a line each, as the filter
        P(production.fastapi.sandbox#filter) returns them. Empty is that filter's result for C(shared).
    type: list
    elements: str
    default: []
  minimum_free_disk_mb:
    description: Free disk that a build needs, in MiB. An existing release needs none.
    type: int
    default: 0
  minimum_free_memory_mb:
    description: Available memory that a build needs, in MiB. An existing release needs none.
    type: int
    default: 0
  upload:
    description: Set by the action. Archive of the source on the host.
    type: path
  packed:
    description: Set by the action. The source itself in place of O(upload), encoded, when it is small.
    type: str
  sealed:
    description: Set by the action. Options that must not be shown, encoded.
    type: str
attributes:
  check_mode:
    description: Says what would be built.
    support: full
  diff_mode:
    description: A release has no difference to show; it is there or it is not.
    support: none
"""

EXAMPLES = r"""
- name: Build what is on the main branch
  production.fastapi.release:
    name: shop
    directory: /srv/shop
    user: shop
    source:
      git: https://git.example.com/shop.git
      version: main
      subdirectory: services/api
    entrypoint: shop.main:app
    requirements: ["gunicorn>=25,<28", "uvicorn>=0.30,<1", "uvicorn-worker>=0.3,<1"]
  register: app_release
"""

RETURN = r"""
release:
  description: The release. In check mode, what is known of it before it is built.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the release.
      type: str
      sample: 3f1c9a0b7d2e-5d0c11aa
    path:
      description: Folder of the release.
      type: str
      sample: /srv/shop/releases/3f1c9a0b7d2e-5d0c11aa
    source:
      description: The source in words, without credentials.
      type: str
      sample: https://git.example.com/shop.git main (3f1c9a0b7d2e)
    entrypoint:
      description: The app as C(module:attribute).
      type: str
      sample: shop.main:app
    directory:
      description: Folder that the app is run in.
      type: str
      sample: /srv/shop/releases/3f1c9a0b7d2e-5d0c11aa/src/services/api
    python:
      description: Version of Python.
      type: str
      sample: 3.13.5
    dependencies:
      description: File that the dependencies were taken from, or C(package).
      type: str
      sample: uv.lock
    pins:
      description: The versions of all packages, where the source has no lock.
      type: dict
      sample: {fastapi: 0.121.0}
    base:
      description: What the release would be called without O(resolve).
      type: str
      sample: 3f1c9a0b7d2e-5d0c11aa
    resolution:
      description: When its versions were resolved by O(resolve); empty when they were not.
      type: str
      sample: "20261129230501"
    unpacked:
      description:
        - Hashes of what its virtualenv was made C(from), and of what it was left C(as); empty when it was not made of
          wheels alone. The next release with the same C(from) gets a copy.
      type: dict
      sample: {from: c0d7b93f02b36892, as: 6b02c134c10e21a2}
wants_pins:
  description: Whether the build needs the versions that another server of the app resolves.
  returned: when it does
  type: bool
former:
  description: The versions of the live release, where its source has no lock.
  returned: success
  type: dict
resolution:
  description: The resolution that the release has or will have.
  returned: success
  type: str
complete:
  description: Whether nothing is left to do for the release and its folders.
  returned: success
  type: bool
live:
  description: The release that C(current) of the app points to; empty when there is none.
  returned: success
  type: str
unfinished:
  description:
    - Whether a deploy goes on, see M(production.fastapi.deploy_lock), or that of the live release has not ended well.
    - A first deploy that fails late leaves its release live, because there is nothing to go back to.
  returned: success
  type: bool
wants_upload:
  description: Whether the build needs the source from the controller, which the action sends then.
  returned: when the release is not there yet
  type: bool
log:
  description: Last lines of the command that failed.
  returned: failure
  type: list
  elements: str
"""

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import is_unfinished
from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask, secrets_of, secrets_of_urls
from ansible_collections.production.fastapi.plugins.module_utils._release.build import Release, Spec
from ansible_collections.production.fastapi.plugins.module_utils._release.host import SYSTEM_BUNDLE, Settings
from ansible_collections.production.fastapi.plugins.module_utils._release.pins import Resolving, WantsPinsError
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    ReleaseError,
)

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "user": {"type": "str", "required": True},
    "source": {"type": "dict", "required": True},
    "version": {"type": "str", "default": ""},
    "dependencies": {"type": "str", "default": "auto"},
    "python": {"type": "str", "default": ""},
    "entrypoint": {"type": "str", "default": ""},
    # Its values come sealed: masked as no_log, a value such as "1" would be cut out of every release name.
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "files": {"type": "dict", "default": {}, "no_log": True},
    "requirements": {"type": "list", "elements": "str", "default": []},
    "index_url": {"type": "str", "default": ""},
    "index_credentials": {"type": "dict", "default": {}, "no_log": True},
    "install_options": {"type": "list", "elements": "str", "default": []},
    "ignore_pins": {"type": "list", "elements": "str", "default": []},
    "extras": {"type": "list", "elements": "str", "default": []},
    "groups": {"type": "list", "elements": "str", "default": []},
    "build_commands": {"type": "list", "elements": "str", "default": []},
    "build_environment": {"type": "dict", "default": {}, "no_log": True},
    "proxy": {"type": "str", "default": ""},
    "ca_bundle": {"type": "path", "default": ""},
    "uv_version": {"type": "str", "default": ""},
    "uv_hashes": {"type": "list", "elements": "str", "default": []},
    "resolve": {"type": "bool", "default": False},
    "resolution": {"type": "str"},
    "pins": {"type": "dict", "default": {}},
    "preferred": {"type": "dict", "default": {}},
    "resolver": {"type": "bool", "default": True},
    "static": {"type": "list", "elements": "str", "default": []},
    "static_kept": {"type": "list", "elements": "str", "default": []},
    "media": {"type": "list", "elements": "str", "default": []},
    "shared": {"type": "list", "elements": "str", "default": []},
    "sandbox": {"type": "list", "elements": "str", "default": []},
    "minimum_free_disk_mb": {"type": "int", "default": 0},
    "minimum_free_memory_mb": {"type": "int", "default": 0},
    "upload": {"type": "path"},
    "packed": {"type": "str", "no_log": True},
    "sealed": {"type": "str", "no_log": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    os.umask(0o022)
    options = dict(module.params)
    if options["sealed"]:
        options |= json.loads(base64.b64decode(options["sealed"]))
    if options["packed"]:
        options["upload"] = str(unpacked(options["packed"], Path(module.tmpdir)))
    secrets = secrets_of_urls([options[name] for name in ("source", "index_url", "install_options", "proxy")])
    passwords = [pair["password"] for pair in options["index_credentials"].values()]
    hidden = ("environment", "build_environment", "files")
    secrets |= secrets_of([*passwords, *(value for name in hidden for value in options[name].values())])
    try:
        module.exit_json(**build(module, options, secrets))
    except ReleaseError as error:
        log = mask(error.log, secrets).strip().splitlines()[-40:]
        module.fail_json(msg=mask(str(error), secrets), log=log)


def build(module: AnsibleModule, options: dict[str, Any], secrets: set[str]) -> dict[str, Any]:
    """Find the release, or build it; asks the action for the source when only the controller has it."""
    spec = specify(options)
    release = Release(spec, warn=lambda text: module.warn(mask(text, secrets)))
    release.resolve(offline=module.check_mode and shutil.which("git") is None)
    live = release.live()
    standing = {
        "live": live,
        "unfinished": is_unfinished(Path("/"), spec.name, live),
        "former": dict(release.former.pins),
        "resolution": release.resolution,
    }
    known = release.read()
    if known is not None:
        drifted = release.folders(check=module.check_mode) | release.publish(check=module.check_mode)
        return {"changed": drifted, "release": known, "complete": not (drifted and module.check_mode), **standing}
    release.check_room()
    uploaded = "tree" in spec.source or ("archive" in spec.source and "://" not in spec.source["archive"])
    wants_upload = uploaded and not options["upload"]
    if module.check_mode or wants_upload:
        plan = {"release": release.plan(), "complete": False, "wants_upload": wants_upload}
        return {"changed": True, **plan, **standing}
    release.folders(check=False)
    try:
        built = release.build(Path(options["upload"]) if uploaded else None)
    except WantsPinsError:
        return {"changed": False, "release": release.plan(), "complete": False, "wants_pins": True, **standing}
    release.publish(check=False)
    return {"changed": True, "release": built, "complete": True, **standing}


def unpacked(packed: str, folder: Path) -> Path:
    """The source that came along, as a file in a folder that nobody else can read."""
    file = folder / "source"
    file.write_bytes(base64.b64decode(packed))
    return file


def specify(options: dict[str, Any]) -> Spec:
    """The options of the module as the build reads them."""
    bundle = options["ca_bundle"]
    if bundle and not Path(bundle).is_file():
        # A host without the package ca-certificates has no system bundle, and need not have one.
        if bundle != SYSTEM_BUNDLE:
            raise ReleaseError(f"app_ca_bundle: the host has no file {bundle}.")
        bundle = ""
    own = {name: value for name, value in options.items() if name in Spec.__dataclass_fields__}
    settings = Settings(options["index_url"], options["proxy"], bundle)
    resolving = Resolving(options["pins"], options["preferred"], options["resolver"])
    return Spec(**own | {"directory": Path(options["directory"]), "settings": settings, "resolving": resolving})


if __name__ == "__main__":
    main()
