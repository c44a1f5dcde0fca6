"""Metrics of several processes: they add up, never go back, and leave no more files than there are workers."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from upkeeper.slots import Slots
from websockets.sync.client import unix_connect

PROJECT = Path(__file__).parents[2]
WORKERS = 4

APPLICATION = """
import os
from fastapi import FastAPI, Response, WebSocket
from upkeeper import metrics

metrics.prepare("metrics", release="2026.1", host="web-1")
api = FastAPI()
app = metrics.MetricsMiddleware(api)

@api.get("/pid")
async def pid():
    return os.getpid()

@api.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    await socket.send_text(str(os.getpid()))
    await socket.receive_text()

@api.get("/metrics")
def scrape():
    body, content_type = metrics.render()
    return Response(body, headers={"Content-Type": content_type})
"""


class Service:
    """Gunicorn in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = str(folder / "http.sock")

    @contextlib.contextmanager
    def running(self, *options):
        (self.folder / "application.py").write_text(APPLICATION)
        command = [sys.executable, "-m", "gunicorn", "application:app", "--bind", f"unix:{self.socket}"]
        command += ["--workers", str(WORKERS), "--worker-class", "uvicorn_worker.UvicornWorker", "--no-control-socket"]
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        with (self.folder / "log").open("w") as log:
            master = subprocess.Popen(
                [*command, *options], cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            log = self.folder / "log"
            self.until(lambda: log.read_text().count("startup complete") >= WORKERS, "not all workers began")
            yield
        finally:
            master.terminate()
            master.wait(15)

    def get(self, path):
        """The body; OSError when the worker leaves without an answer. Each time a new connection, for any worker."""
        connection = http.client.HTTPConnection("test", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(self.socket)
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            assert response.status == 200
            return response.read().decode()

    def ask(self, requests):
        """Send so many requests at once; how many were answered, and by whom."""

        def pid(_):
            with contextlib.suppress(OSError):
                return int(self.get("/pid"))

        with ThreadPoolExecutor(8) as threads:
            pids = [pid for pid in threads.map(pid, range(requests)) if pid]
        return len(pids), set(pids)

    def value(self, name, /, **labels):
        for family in text_string_to_metric_families(self.get("/metrics")):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return 0

    def answered(self):
        return self.value("http_request_duration_seconds_count", method="GET", route="/pid", status="200")

    def files(self):
        return sorted(file.name for file in (self.folder / "metrics").glob("slot-*.lock"))

    def until(self, true, otherwise):
        """What it says as soon as it is true; a worker that leaves meanwhile is no answer."""
        for _ in range(600):
            with contextlib.suppress(OSError):
                if said := true():
                    return said
            time.sleep(0.05)
        pytest.fail(f"{otherwise}: {(self.folder / 'log').read_text()}")


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path)


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["imported by each worker", "preloaded"])
def test_requests_of_all_workers_add_up_in_each(service, preload):
    with service.running(*preload):
        before = service.answered()
        answered, pids = service.ask(100)
        assert answered == 100
        assert len(pids) > 1, "one worker answered all: this shows nothing"
        assert {service.answered() for _ in range(8)} == {before + 100}
        assert service.value("build_info", release="2026.1", host="web-1") == 1


def test_sums_and_files_outlive_workers_that_are_killed_and_recycled(service):
    """Neither a restart after some requests nor SIGKILL takes a request from the sum, or counts one twice."""
    with service.running("--max-requests", "10"):
        least = most = service.answered()
        seen = set()
        for _ in range(20):
            answered, pids = service.ask(30)
            least, most = least + answered, most + 30  # a worker that leaves may drop what it had counted
            seen |= pids
            with contextlib.suppress(ProcessLookupError):  # recycled meanwhile
                os.kill(min(pids), signal.SIGKILL)
            shown = service.until(service.answered, "no worker answers")
            assert least <= shown <= most
            least = shown
            if len(seen) >= 2 * WORKERS:
                break
        assert len(seen) >= 2 * WORKERS, "too few workers were replaced: this shows nothing"
        assert service.files() == [f"slot-{number}.lock" for number in range(WORKERS)]
        assert len(list((service.folder / "metrics").glob("histogram_*.db"))) <= WORKERS


def test_what_a_dead_worker_held_open_is_open_no_more(service):
    with service.running():
        with unix_connect(service.socket, "ws://test/echo") as websocket:
            pid = int(websocket.recv())
            assert service.value("websocket_connections_open", route="/echo") == 1
            os.kill(pid, signal.SIGKILL)
            service.until(lambda: service.value("websocket_connections_open", route="/echo") == 0, "still counted")
        assert service.value("websocket_connections_total", route="/echo") == 1


def python(code, folder):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


BREAKER = """
    from upkeeper import metrics
    from upkeeper.circuit_breaker import BreakerEvent
    metrics.prepare("metrics")
    metrics.breaker_event(BreakerEvent("payments", "{kind}"))
    [state] = [line for line in metrics.render()[0].decode().splitlines() if line.startswith("circuit_breaker_state{{")]
    print(state, flush=True)
    input()
"""


def test_the_state_of_a_breaker_is_what_was_seen_last_by_whomever(tmp_path):
    """The process that saw it close ends; the one that saw it open before lives on."""
    with python(BREAKER.format(kind="opened"), tmp_path) as first:
        assert first.stdout.readline() == 'circuit_breaker_state{name="payments"} 2.0\n'
        for kind in ("closed", "rejected"):
            with python(BREAKER.format(kind=kind), tmp_path) as other:
                text, _ = other.communicate("\n", timeout=120)
            assert text == 'circuit_breaker_state{name="payments"} 0.0\n'
        first.communicate("\n", timeout=120)


REDIS = """
    from upkeeper import metrics
    metrics.prepare("metrics")
    {then}
    def show():
        lines = metrics.render()[0].decode().splitlines()
        print(*[line for line in lines if line.startswith("redis_available")], flush=True)
        input()
    show()
    show()
"""


def test_a_process_that_is_gone_says_nothing_of_now(tmp_path):
    with (
        python(REDIS.format(then="metrics.redis_state('up')"), tmp_path) as first,
        python(REDIS.format(then="input(); metrics.redis_state('down')"), tmp_path) as second,
    ):
        assert first.stdout.readline() == "redis_available 1.0\n"
        tell(second)
        assert second.stdout.readline() == "redis_available 0.0\n"
        second.kill()
        second.wait(10)
        tell(first)
        assert first.stdout.readline() == "redis_available 1.0\n", "it still counts"
        first.kill()


def test_who_takes_over_the_files_of_another_does_not_speak_for_it(tmp_path):
    with python(REDIS.format(then="metrics.redis_state('down')"), tmp_path) as first:
        assert first.stdout.readline() == "redis_available 0.0\n"
        first.kill()
    with python(REDIS.format(then=""), tmp_path) as second:
        assert second.stdout.readline() == "\n"
        second.kill()


def test_a_worker_that_has_just_begun_a_file_does_not_spoil_the_sum(tmp_path):
    touch = "metrics.redis_state('up'); open('metrics/counter_7.db', 'w').close()"
    with python(REDIS.format(then=touch), tmp_path) as process:
        assert process.stdout.readline() == "redis_available 1.0\n"
        process.kill()


def tell(process):
    process.stdin.write("go on\n")
    process.stdin.flush()


def in_child(work):
    """Run `work` in a forked process and give what it returns: a small number."""
    pid = os.fork()
    if pid == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_number_is_free_again_when_its_process_is_gone(tmp_path):
    taken = []
    slots = Slots(tmp_path, taken.append)
    assert [slots.mine(), slots.mine()] == [0, 0]
    assert [in_child(slots.mine) for _ in range(3)] == [1, 1, 1], "each had one of its own, and left it"
    assert slots.taken() == {0}
    assert taken == [0]


def test_a_fork_leaves_its_parents_number_alone(tmp_path):
    slots = Slots(tmp_path, lambda _: None)
    slots.mine()
    in_child(lambda: 0)
    assert in_child(lambda: Slots(tmp_path, lambda _: None).mine()) == 1
    assert slots.taken() == {0}


def test_processes_that_live_at_once_have_different_numbers(tmp_path):
    code = """
        from pathlib import Path
        from upkeeper.slots import Slots
        print(Slots(Path("."), lambda _: None).mine(), flush=True)
        input()
    """
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(python(code, tmp_path)) for _ in range(5)]
        numbers = {int(process.stdout.readline()) for process in processes}
        assert numbers == {0, 1, 2, 3, 4}
        processes[0].kill()
        processes[0].wait(10)
        assert len(Slots(tmp_path, lambda _: None).taken()) == 4
        for process in processes[1:]:
            process.communicate("\n", timeout=120)
