# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of a release that need neither a host nor a network: names, forms, version ranges, error sentences."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.production.fastapi.plugins.module_utils._host.masking import USERINFO, mask_url

# What uv draws beside its reasons.
_DECORATION = " \t\N{BOX DRAWINGS LIGHT VERTICAL}\N{BOX DRAWINGS LIGHT HORIZONTAL}"
_DECORATION += "\N{BOX DRAWINGS LIGHT ARC UP AND RIGHT}\N{BLACK RIGHT-POINTING TRIANGLE}\N{MULTIPLICATION SIGN}"


class ReleaseError(Exception):
    """One sentence for the user, and the log of the command that failed."""

    def __init__(self, sentence: str, log: str = "") -> None:
        """Make the error."""
        super().__init__(sentence)
        self.log = log


def release_name(source_id: str, build: Mapping[str, Any]) -> str:
    """`<source id>-<build hash>`: the same source built in the same way has the same name."""
    digest = hashlib.sha256(json.dumps(build, sort_keys=True).encode()).hexdigest()[:8]
    return f"{slug(source_id)}-{digest}"


def slug(text: str) -> str:
    """The text in the letters that a release name may have: a-z, 0-9, dot and hyphen."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "release"


def is_commit(version: str) -> bool:
    """Whether the version is a full commit (SHA-1 or SHA-256), so that nobody has to be asked what it means."""
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", version) is not None


def is_short_commit(version: str) -> bool:
    """Whether the version may be the beginning of a commit, as git shows it: 4 to 39 hexadecimal digits."""
    return re.fullmatch(r"[0-9a-f]{4,39}", version) is not None


def names_ref(listing: str, version: str) -> bool:
    """Whether the output of `git ls-remote` has a branch or tag of that name; it goes before a short commit."""
    return any(line.endswith((f"\trefs/tags/{version}", f"\trefs/heads/{version}")) for line in listing.splitlines())


def pick_short_commit(listing: str, version: str, url: str) -> str:
    """The commit that begins with `version`, of those in the output of `git rev-parse --disambiguate`, one a line."""
    found = sorted(set(listing.split()))
    if len(found) == 1:
        return found[0]
    if found:
        raise ReleaseError(
            f"app_source.version: {len(found)} commits of {url} begin with {version}: {', '.join(found[:5])};"
            " write more of it."
        )
    raise ReleaseError(f"app_source.version: {url} has no branch, tag or commit named {version}.")


def pick_commit(listing: str, version: str, url: str) -> str:
    """The commit of a branch, tag or `HEAD` in the output of `git ls-remote`; a tag wins over a branch, as in git."""
    refs = {ref: commit for commit, _unused, ref in (line.partition("\t") for line in listing.splitlines())}
    for ref in (f"refs/tags/{version}^{{}}", f"refs/tags/{version}", f"refs/heads/{version}", version):
        if ref in refs:
            return refs[ref]
    raise ReleaseError(f"app_source.version: {url} has no branch, tag or commit named {version}.")


def plain_url(url: str) -> str:
    """The URL without user name and password."""
    return re.sub(USERINFO, "", url)


def project_folder(root: Path, subdirectory: str) -> Path:
    """The app's folder in its source; raises `ReleaseError` when the subdirectory is not there."""
    if PurePosixPath(subdirectory).is_absolute() or ".." in PurePosixPath(subdirectory).parts:
        raise ReleaseError(f"app_source.subdirectory: write {subdirectory} as a path inside the source.")
    folder = root / subdirectory
    if not folder.is_dir() or not folder.resolve().is_relative_to(root.resolve()):
        raise ReleaseError(f"app_source.subdirectory: the source has no folder {subdirectory}.")
    return folder


def find_entrypoint(setting: str, pyproject: Mapping[str, Any]) -> str:
    """`app_entrypoint`, else `[tool.fastapi] entrypoint`; raises `ReleaseError` when there is none that can be one."""
    entrypoint = setting or pyproject.get("tool", {}).get("fastapi", {}).get("entrypoint", "")
    if not entrypoint:
        raise ReleaseError(
            "app_entrypoint: name the app as module:attribute, here or as [tool.fastapi] entrypoint in pyproject.toml."
        )
    name = r"[A-Za-z_]\w*"
    if not re.fullmatch(rf"{name}(\.{name})*:({name}(\.{name})*|{name}\(\))", entrypoint, re.ASCII):
        raise ReleaseError(f"app_entrypoint: write {entrypoint} as module:attribute or module:factory().")
    return str(entrypoint)


def in_words(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def normalise(package: str) -> str:
    """The name under which an index knows a package."""
    return re.sub(r"[-_.]+", "-", package).lower()


def split_requirement(requirement: str) -> tuple[str, str]:
    """`uvicorn[standard]>=0.36,<1` as (`uvicorn`, `>=0.36,<1`)."""
    match = re.fullmatch(r"\s*([\w.-]*\w)\s*(?:\[[^\]]*\])?\s*(.*?)\s*", requirement)
    if match is None:
        raise ReleaseError(f"The requirement {requirement} is not written as a package and a range of versions.")
    return normalise(match[1]), match[2]


def in_range(version: str, specifiers: str) -> bool:
    """Whether a version is in a range such as `>=0.36,<1`; only the release numbers are compared."""
    compare = {
        ">=": lambda a, b: a >= b,
        "<=": lambda a, b: a <= b,
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        ">": lambda a, b: a > b,
        "<": lambda a, b: a < b,
    }
    for specifier in filter(None, (part.strip() for part in specifiers.split(","))):
        match = re.fullmatch(r"(>=|<=|==|!=|>|<)\s*([\d.]+)", specifier)
        if match is None:
            raise ReleaseError(f"The range {specifier} is not one of >=, <=, ==, !=, >, < and a version.")
        if not compare[match[1]](*_padded(version, match[2])):
            return False
    return True


def _padded(*versions: str) -> list[list[int]]:
    numbers = [[int(number) for number in re.findall(r"\d+", re.split(r"[^\d.]", version)[0])] for version in versions]
    width = max(map(len, numbers))
    return [number + [0] * (width - len(number)) for number in numbers]


def unfit(installed: Mapping[str, str], requirements: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The packages whose version, chosen by the app, is outside the supported range: `{package: (version, range)}`."""
    ranges = dict(split_requirement(requirement) for requirement in requirements)
    found = {
        package: (installed[package], supported)
        for package, supported in ranges.items()
        if package in installed and not in_range(installed[package], supported)
    }
    worker, uvicorn = installed.get("uvicorn-worker", ""), installed.get("uvicorn", "")
    if "uvicorn-worker" in ranges and worker and uvicorn and in_range(worker, "<0.4") and in_range(uvicorn, ">=0.36"):
        # It calls what Uvicorn has no more, and does not say so itself.
        found["uvicorn-worker"] = (worker, ">=0.4 with uvicorn from 0.36 on")
    return found


# What Uvicorn needs besides on a Python before 3.11, which apps of 2021 pin an older one of.
TYPING = "typing-extensions>=4"


def unfit_typing(pins: Mapping[str, str], python: str) -> dict[str, tuple[str, str]]:
    """That package, where it is pinned too old for Uvicorn on this Python, such as 3.10."""
    package, supported = split_requirement(TYPING)
    if package not in pins or in_range(pins[package], supported) or not re.fullmatch(r"3\.\d+", python):
        return {}
    return {package: (pins[package], f"{supported} with Python {python}")} if in_range(python, "<3.11") else {}


# How uv and pip say that an index does not let one in, and where.
_REFUSALS = (
    re.compile(r"An index URL \((?P<url>\S+)\) could not be queried .*\((?P<status>40[13]) \w+\)"),
    re.compile(r"\((?P<status>40[13]) \w+\) for url \((?P<url>\S+)\)"),
    re.compile(r"(?P<status>40[13]) Client Error: \w+ for url: (?P<url>\S+)"),
    re.compile(r"(?P<status>40[13]) Error, Credentials not correct for (?P<url>\S+)"),
    re.compile(r"HTTP error (?P<status>40[13]) while getting (?P<url>\S+)"),
)
_MEANING = {"401": "401 Unauthorized", "403": "403 Forbidden"}


def explain_refusal(output: str) -> str:
    """One sentence about the index that has refused to answer uv or pip; empty when none has."""
    found = next((match for pattern in _REFUSALS if (match := pattern.search(output))), None)
    if found is None:
        return ""
    return (
        f"app_index_credentials: {mask_url(found['url'])} answers {_MEANING[found['status']]}; write the username and"
        " the password of its index there, under the name that the index has in pyproject.toml or under its URL."
    )


def explain_install(output: str, form: str) -> str:
    """What went wrong in an installation, in one sentence."""
    if "--locked" in output or "needs to be updated" in output:
        return "uv.lock does not match pyproject.toml: run uv lock and commit it."
    if refusal := explain_refusal(output):
        return refusal
    if re.search(r"hash mismatch|do not match the hashes", output, re.IGNORECASE):
        return f"{form}: a package does not have the hash that is written there; find out why, and lock again."
    if re.search(r"require-hashes|must have their versions pinned|hashes are required", output, re.IGNORECASE):
        return f"{form}: some packages have hashes and others have none; lock it again with hashes for all, or without."
    if re.search(r"requires-python|Python requirement|Requires-Python|not in '>=|requires a different Python", output):
        return f"app_python: {form} needs another version of Python: {last_line(output)}"
    if advice := _explain_package(output, form):
        return advice
    if re.search(
        r"dns error|error sending request|failed to fetch|connection|timed out|certificate", output, re.IGNORECASE
    ):
        asked = re.search(r"(?:url \(|Failed to fetch: [`']?)(https?://[^\s)`']+)", output)
        index = f"The index {mask_url(asked[1])}" if asked else "The index"
        return f"{index} cannot be reached; look at app_index_url, app_proxy and app_ca_bundle: {last_line(output)}"
    return f"{form} cannot be installed: {last_line(output)}"


# What compiles an extension for the Python of the host.
COMPILER = ("python3-dev", "build-essential")
# What a build says when something of the host is missing, and the Debian packages that have it. What asks for a header
# or for how to link something has a compiler next.
MISSING_ON_HOST = {
    r"pg_config": ("libpq-dev", *COMPILER),
    r"mysql_config|MYSQLCLIENT_CFLAGS": ("default-libmysqlclient-dev", *COMPILER),
    r"Python\.h": COMPILER,
    r"\bffi\.h": ("libffi-dev", *COMPILER),
    r"\bcargo\b|\brustc\b|Rust toolchain": ("cargo",),
    r"\bg?cc\b.*(failed: No such file|not found|No such file)": COMPILER,
    r"No such file or directory: '[\w-]*g(cc|\+\+)'": COMPILER,
    r"pkg-config": ("pkg-config", *COMPILER),
}


# How many packages without a wheel say that an app is older than its Python, and the oldest that Gunicorn has.
MANY_BUILT = 3
OLDEST = 10
# What packages need that are often built, before the first thing that a build of them lacks.
OF_PACKAGE = {
    "lxml": ("libxml2-dev", "libxslt1-dev", *COMPILER),
    "mysqlclient": ("default-libmysqlclient-dev", "pkg-config", *COMPILER),
    "psycopg-c": ("libpq-dev", *COMPILER),
    "psycopg2": ("libpq-dev", *COMPILER),
    "pygraphviz": ("libgraphviz-dev", *COMPILER),
    "python-ldap": ("libldap-dev", "libsasl2-dev", *COMPILER),
    "systemd-python": ("libsystemd-dev", "pkg-config", *COMPILER),
}
# Those of them that have no wheel for any Linux.
NEVER_WHEEL = frozenset(OF_PACKAGE) - {"lxml"}


# How build backends say that a project is no package, and only a folder with an app in it.
_NO_PACKAGE = re.compile(
    r"No file/folder found for (?:package|module)|Unable to determine which files to ship|Expected a Python module at"
    r"|Multiple top-level (?:packages|modules) discovered"
)


def is_no_package(output: str) -> bool:
    """Whether a build has failed because the project is no package."""
    return _NO_PACKAGE.search(output) is not None


def _older_python(output: str) -> str:
    """Which Python may have wheels, where so many packages have none for this one that the app is older than it."""
    built = set(re.findall(r"^\s*Building ([\w.-]+)==", output, re.MULTILINE))
    used = re.search(r"Using (?:CPython|Python) 3\.([0-9]+)", output)
    if len(built) < MANY_BUILT or (used and int(used[1]) <= OLDEST):
        return ""
    return f', such as "3.{OLDEST}": {len(built)} packages here have none'


def _explain_package(output: str, form: str) -> str:
    """One sentence about a package that has no wheel for this Python; empty when that is not what went wrong."""
    if re.search(r"setuptools.scm was unable to detect version|NotVCSError|is not in a (Git|Mercurial) repo", output):
        return (
            f"{form}: the version of the app comes from git, and this source has no history; use a git source with a"
            " tag, or set SETUPTOOLS_SCM_PRETEND_VERSION in app_build_environment."
        )
    built = re.search(r"Failed to (?:build|download and build) `([^`]+)`", output)
    if built and ("The build backend returned an error" in output or "download and build" in built[0]):
        said = output.partition("[stderr]")[2] or output[built.end() :]
        found = [OF_PACKAGE.get(built[1].partition("==")[0], ())]
        found += [packages for pattern, packages in MISSING_ON_HOST.items() if re.search(pattern, said)]
        wanted = dict.fromkeys(package for packages in found for package in packages)
        reason = next(
            (line.strip() for line in said.splitlines() if re.match(r"\s*(\w*error\b|fatal)", line, re.I)), ""
        )
        helps = f"add {in_words(list(wanted))} to app_packages" if wanted else "add what it needs to app_packages"
        reason = (reason or last_line(said)).rstrip(".")
        if " @ " in built[1] and is_no_package(said):
            helps = "if it is none, write package = false below [tool.uv] in pyproject.toml"
        if " @ " in built[1]:
            return (
                f"{form}: {built[1].partition(' @ ')[0]} cannot be built: {reason}; {helps}, or change how it is built."
            )
        return (
            f"{form}: {built[1]} has no wheel for this Python, and cannot be built: {reason}; {helps}, or set"
            f" app_python to a version that it has a wheel for{_older_python(output)}."
        )
    unfit_wheel = re.search(
        r"Because (\S+) has no wheels with a matching|Distribution `(\S+) .* can't be installed", output
    )
    if unfit_wheel:
        tags = re.search(r"following ([\w ]+tags?: .*)", output)
        there = f"; it has those with the {tags[1].rstrip('.')}" if tags else ""
        return (
            f"{form}: {unfit_wheel[1] or unfit_wheel[2]} has no wheel for this Python and this machine{there}. Set"
            " app_python to a version that it has a wheel for, or pin another version of it."
        )
    return ""


def last_line(output: str) -> str:
    """The line that says why: uv's reasoning, else the last cause, else the last error, else the last line."""
    lines = [line.strip(_DECORATION) for line in output.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("hint:", "note:", "[notice]"))]
    lines = _reasons_of_npm(lines) or lines
    if not lines:
        return "it said nothing."
    reasoning = next((i for i, line in enumerate(lines) if "Because " in line), None)
    if reasoning is not None:
        chosen = " ".join(lines[reasoning:])
    else:
        starts = (("cause:",), ("error:", "ERROR:", "fatal:"), ("",))
        chosen = next(found[-1] for start in starts if (found := [line for line in lines if line.startswith(start)]))
    return re.sub(r"^(error|cause|fatal|ERROR): *", "", chosen)


def _reasons_of_npm(lines: list[str]) -> list[str]:
    """What npm itself says of its first failure, as one line; its last lines name a log that is not kept."""
    said = [found[1] for line in lines if (found := re.match(r"npm (?:ERR!|error)\s*(.*)", line))]
    end = next((i for i, line in enumerate(said) if line.startswith("A complete log")), len(said))
    told = [re.sub(r"^(?:[a-z]+|E[A-Z]+) (?=E[A-Z]+:? )", "", line) for line in said[:end]]
    meant = [line for line in told if line and not re.match(r"(syscall|errno|path) |enoent This is related", line)]
    return ["; ".join(meant)] if meant else []


def last_error(output: str) -> str:
    """The exception at the end of a traceback, in one line; without a traceback the last line."""
    _unused, traceback, rest = output.rpartition("Traceback (most recent call last):")
    if not traceback:
        return last_line(output)
    lines = rest.splitlines()
    start = next((i for i, line in enumerate(lines) if line[:1].strip()), len(lines))
    return " ".join(" ".join(lines[start : start + 3]).split())


# Modules that Python had, and the first version without them.
REMOVED = dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), "3.12") | dict.fromkeys(
    ("aifc", "audioop", "cgi", "cgitb", "crypt", "imghdr", "mailcap", "nntplib", "pipes", "sndhdr", "telnetlib", "uu"),
    "3.13",
)


def missing_module(reason: str, source: Path, project: Path, form: str) -> str:
    """Where a module that an import has not found lies, or which file has to name its package; empty for other reasons.

    `project` is the folder of the source in which the app runs.
    """
    found = re.search(r"ModuleNotFoundError: No module named '([^'.]+)", reason)
    name = found[1] if found else ""
    if not name or _has_module(project, name):
        return ""
    if name in REMOVED:
        return f"Python {REMOVED[name]} and newer have no {name}; set app_python to an older version."
    for folder, path in ((project / "src", "src"), *((above, _up_to(above, project)) for above in project.parents)):
        if folder.is_relative_to(source) and _has_module(folder, name):
            return f"{name} is in another folder of the source; write PYTHONPATH: {path} in app_environment."
    like = ", with a version and a hash as the others have" if "--hash=" in _listed(project / form) else ""
    return f"No package that {form} names has brought it; write the one that has {name} there{like}."


def _listed(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.suffix == ".txt" and file.is_file() else ""


def _has_module(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() or (folder / f"{name}.py").is_file()


def _up_to(above: Path, below: Path) -> str:
    return "/".join([".."] * (len(below.parts) - len(above.parts)))


def quote(value: str) -> str:
    """A value as systemd's EnvironmentFile= and a shell both read it back."""
    return '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'


def describe(source: Mapping[str, Any], commit: str = "") -> str:
    """The source in words, for people who look at a release later."""
    if "git" in source:
        return f"{mask_url(source['git'])} {source.get('version') or 'HEAD'} ({commit[:12] or 'not resolved'})"
    if "archive" in source:
        return mask_url(urlsplit(source["archive"])._replace(query="", fragment="").geturl())
    if "package" in source:
        return f"{source['package']} {source['version']}"
    return f"{Path(source['folder']).name} ({source.get('tree', '')[:12]})"
