"""The API answers as its OpenAPI document says, whatever it is asked: the real service, asked by Schemathesis."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from shop.application import create_app
from shop.settings import Settings
from upkeeper.deadline import HEADER

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


DOCUMENTED = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi())


@pytest.fixture(scope="module")
def url(serve, simulator, _redis_process):
    """Where the service answers. No limit refuses anything, and streams end soon."""
    return serve(
        APP_REDIS_URL=_redis_process.url,
        APP_DEPENDENCIES_URL=simulator.url,
        APP_SIMULATOR_CONTROLS="true",
        APP_TOKEN_KEY="a key for nothing but this test 0123456789",
        APP_RATE_LIMIT_ANONYMOUS="1000000",
        APP_RATE_LIMIT_CHECKOUT="1000000",
        APP_EVENTS_TIMEOUT="0.1",
        APP_UPLOAD_LIMIT="64",
    ).url


@schema.exclude(path_regex="^/api/(slow|simulator)").parametrize()
@few
def test_nothing_breaks_the_service_and_every_answer_is_documented(case, url):
    case.call_and_validate(base_url=url, checks=[not_a_server_error, *DOCUMENTED])


@schema.include(path="/api/slow").parametrize()
@few
def test_what_takes_too_long_is_answered_504_and_nothing_else(case, url):
    response = case.call_and_validate(base_url=url, headers={HEADER: "100"}, checks=DOCUMENTED)
    assert response.status_code < 500 or response.status_code == 504


@schema.include(path="/api/simulator/{service}").parametrize()
@few
def test_the_simulator_takes_only_what_is_a_behaviour(case, url):
    case.call_and_validate(base_url=url, checks=[not_a_server_error, *DOCUMENTED])
