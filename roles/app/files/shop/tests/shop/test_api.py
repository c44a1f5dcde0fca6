"""The API answers as its OpenAPI document says, whatever it is asked: the real service, asked by Schemathesis."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


@pytest.fixture(scope="module")
def document(serve, simulator, _redis_process):
    """What is to be held to. No limit refuses anything, and what takes long is cut off soon."""
    server = serve(
        APP_REDIS_URL=_redis_process.url,
        APP_DEPENDENCIES_URL=simulator.url,
        APP_SIMULATOR_CONTROLS="true",
        APP_TOKEN_KEY="a key for nothing but this test 0123456789",
        APP_RATE_LIMIT_ANONYMOUS="1000000",
        APP_RATE_LIMIT_CHECKOUT="1000000",
        APP_REQUEST_TIMEOUT="2",
        APP_EVENTS_TIMEOUT="0.1",
        APP_UPLOAD_LIMIT="64",
    )
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@schema.exclude(path_regex="^/api/(slow|simulator)").parametrize()
@few
def test_nothing_breaks_the_service_and_every_answer_is_documented(case):
    case.call_and_validate()


@schema.include(path="/api/slow").parametrize()
@few
def test_what_takes_too_long_is_answered_504_and_nothing_else(case):
    response = case.call()
    case.validate_response(response, excluded_checks=[not_a_server_error])
    assert response.status_code < 500 or response.status_code == 504


@schema.include(path="/api/simulator/{service}").parametrize()
@few
def test_the_simulator_takes_only_what_is_a_behaviour(case):
    case.call_and_validate()
