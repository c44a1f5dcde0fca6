"""Build the wheel, install it with each extra alone, and do what its README says in a fresh project.

    python tests/package/wheel.py UV

UV is the program uv. It needs the package index, or a cache of uv that has the locked packages. Ends with status 1 and
a sentence for the first thing that is wrong.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

SHOP = Path(__file__).parents[2]
PACKAGE = SHOP / "upkeeper"
PYTHON = sys.executable

# What each extra has to be enough for; no module of the package is in none of them.
EXTRAS = {
    "": ["answers", "alarms", "bulkhead", "context", "deadline", "errors", "health", "slots"],
    "redis": [
        "breaker_state",
        "circuit_breaker",
        "idempotency",
        "key_records",
        "limiter",
        "rate_limit",
        "shared",
        "sliding_window",
    ],
    "client": ["retry", "client"],
    "database": ["database"],
    "metrics": ["metrics"],
    "logs": ["logs"],
    "settings": ["settings"],
    "all": ["stack"],
}

MODULES = [module for modules in EXTRAS.values() for module in modules]

# The requests of the README's application, asked for with what `all` installs.
ASK = """
import sys
import httpx2

origin = {"Origin": "https://shop.example"}
with httpx2.Client(base_url=sys.argv[1], timeout=20, trust_env=False) as client:
    for hurry in ({}, {"X-Request-Timeout-Ms": "100"}):  # the time-out of the step, and the deadline of the request
        late = client.get("/report", headers=origin | hurry)
        assert late.status_code == 504, late.text
        assert late.json()["type"] == "urn:upkeeper:deadline-exceeded", late.text

    def pay(key):
        return client.post("/checkout", headers={"Idempotency-Key": key} if key else {})

    assert pay("").status_code == 400, "a key is needed"
    broken = pay("the-key")
    assert broken.status_code == 502, broken.text
    opened = pay("the-key")
    assert (opened.status_code, opened.json()["type"]) == (503, "urn:upkeeper:dependency-failed"), opened.text
    assert int(opened.headers["Retry-After"]) > 1
    assert 'circuit_breaker_events_total{kind="opened",name="bank"} 1.0' in client.get("/metrics").text

    answers = [client.get("/", headers=origin) for _ in range(25)]
    refused = [each for each in answers if each.status_code == 429]
    assert refused, "the limit is 20"
    answer = refused[0]
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert answer.json()["type"] == "urn:upkeeper:rate-limited"
    assert client.get("/readyz").status_code == 200
print("limit, breaker, deadline, idempotency and CORS do what the README says")
"""

# A dependency that charges, to see that a check-out that is sent again is done once.
BANK = """
import itertools
from fastapi import FastAPI

app, numbers = FastAPI(), itertools.count(1)

@app.post("/charges")
async def charge():
    return {"id": next(numbers)}
"""

REPEAT = """
import sys
import httpx2

with httpx2.Client(base_url=sys.argv[1], timeout=20, trust_env=False) as client:
    answers = [client.post("/checkout", headers={"Idempotency-Key": "one"}) for _ in range(3)]
    assert [each.json() for each in answers] == [{"charge": 1}] * 3, [each.text for each in answers]
    assert [each.headers.get("Idempotency-Replayed") for each in answers] == [None, "true", "true"]
    assert client.post("/checkout", headers={"Idempotency-Key": "two"}).json() == {"charge": 2}
print("a check-out that is sent again is done once")
"""


def main(uv: str) -> None:
    """Do all of it in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="upkeeper-") as name:
        folder = Path(name)
        wheel = build(uv, folder)
        missing = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} - set(MODULES)
        assert not missing, f"no extra is named for {missing}"
        for extra, modules in EXTRAS.items():
            python = install(uv, folder / f"venv-{extra}", wheel, extra)
            lines = "".join(f"import upkeeper.{module}\n" for module in modules)
            run([python, "-c", lines], folder)
            print(f"upkeeper[{extra}]: {', '.join(modules)}", flush=True)
        python = folder / "venv-all" / "bin" / "python"
        run([uv, "pip", "install", "--quiet", "--python", str(python), *constrained("uvicorn[standard]")], folder)
        follow_readme(python, folder / "project")
        copied(python, folder / "copied")


def build(uv: str, folder: Path) -> Path:
    """Build in a copy, so that nothing is left in the checkout, and return the wheel."""
    source = folder / "source"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(source)], folder)
    [wheel] = folder.glob("*.whl")
    names = run([PYTHON, "-m", "zipfile", "-l", str(wheel)], folder)
    for wanted in ("upkeeper/py.typed", "upkeeper/client.py", "/licenses/LICENSE"):
        assert wanted in names, f"{wanted} is not in the wheel"
    return wheel


def install(uv: str, venv: Path, wheel: Path, extra: str) -> Path:
    """Install the wheel with an extra into an environment of its own, and return its Python."""
    run([uv, "venv", "--quiet", "--python", PYTHON, str(venv)], venv.parent)
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    run([uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), *constrained(wanted)], venv.parent)
    return venv / "bin" / "python"


def constrained(wanted: str) -> list[str]:
    """A requirement at the versions that the sample has locked."""
    return ["--constraint", str(SHOP / "requirements.txt"), wanted]


def follow_readme(python: Path, project: Path) -> None:
    """Save `main.py` as the README has it, run it and ask."""
    project.mkdir()
    [main_py] = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.S)
    (project / "main.py").write_text(main_py)
    (project / "bank.py").write_text(BANK)
    with serve(python, project, "main:app") as url:
        print(run([python, "-c", ASK, url], project), end="", flush=True)
    with serve(python, project, "bank:app", "/docs") as bank, serve(python, project, "main:app", BANK_URL=bank) as url:
        print(run([python, "-c", REPEAT, url], project), end="", flush=True)


def copied(python: Path, project: Path) -> None:
    """Copy the folder below a package of another name, where no upkeeper is installed."""
    shutil.copytree(PACKAGE, project / "myapp" / "lib" / "patterns")
    shutil.rmtree(next(python.parents[1].glob("lib/python*/site-packages/upkeeper")))
    modules = "".join(f"import myapp.lib.patterns.{module}\n" for module in MODULES)
    run([python, "-c", modules], project)
    print("a copied folder works under another name", flush=True)


class serve:  # noqa: N801 - used as a function
    """An application under Uvicorn on a free port, until the block ends."""

    def __init__(self, python: Path, project: Path, app: str, ready: str = "/healthz", **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.ready = f"http://127.0.0.1:{port}", ready
        command = [python, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning"]
        self.process = subprocess.Popen(command, cwd=project, env=os.environ | environment)

    def __enter__(self) -> str:
        opener, give_up = build_opener(ProxyHandler({})), time.monotonic() + 120
        while True:
            try:
                opener.open(self.url + self.ready, timeout=5)
                return self.url
            except OSError:
                assert self.process.poll() is None, "the application did not start"
                assert time.monotonic() < give_up, "the application did not answer"
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)


def run(command: list[str | Path], folder: Path) -> str:
    """Run a command outside of the checkout, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{' '.join(map(str, command))[:200]}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


if __name__ == "__main__":
    main(sys.argv[1])
