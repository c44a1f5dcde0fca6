"""What the tests of this scenario share: editions of the app, deploys, and the receipts of those."""

import re
from pathlib import Path

import pytest
from hello import make_source
from planted import SECRETS
from plays import DEPLOY, play

APP = Path(__file__).parents[1] / "app"


@pytest.fixture(scope="session")
def edition(tmp_path_factory):
    """`edition("two")` is a source of that name; files replace those of the app, and None removes one."""

    def make(name, **files):
        folder = tmp_path_factory.mktemp("source") / "app"
        make_source(APP, folder)
        for file, text in {"edition.py": f"NAME = FATE = {name!r}\n", **files}.items():
            (folder / file).unlink(missing_ok=True)
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                (folder / file).write_text(text)
        return {"folder": str(folder)}

    return make


@pytest.fixture(scope="session")
def receipts(tmp_path_factory):
    return tmp_path_factory.mktemp("receipts")


@pytest.fixture(scope="session")
def deploy(receipts):
    def run(source, *arguments, **variables):
        result = play(*arguments, playbook=DEPLOY, app_source=source, app_receipt_folder=str(receipts), **variables)
        assert not re.search(SECRETS, result.output)
        return result

    return run
