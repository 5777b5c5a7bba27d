from __future__ import annotations

import botocore.session
import pytest
from botocore.parsers import create_parser

from upgrader.lab.clouds.aws_faults import TooMany, struck
from upgrader.lab.clouds.front_view import Fault


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.THROTTLE, 400, "ThrottlingException"),
        (Fault.QUOTA, 400, "TooManyUniqueTargetGroupsPerLoadBalancer"),
        (Fault.RIGHTS, 403, "AccessDenied"),
        (Fault.ERROR, 503, "ServiceUnavailable"),
    ],
)
def test_a_fault_is_written_as_awss_library_reads_it(fault: Fault, status: int, code: str) -> None:
    answer = struck(fault, "ModifyRule")
    assert answer is not None
    model = botocore.session.get_session().get_service_model("elbv2")
    said = {"status_code": answer.status_code, "headers": dict(answer.headers), "body": answer.data}

    read = create_parser("query").parse(said, model.operation_model("ModifyRule").output_shape)

    assert (answer.status_code, read["Error"]["Code"]) == (status, code)
    assert read["Error"]["Message"]


@pytest.mark.parametrize("fault", [None, Fault.LAG, Fault.LIE, Fault.UNKNOWN, Fault.HANG])
def test_other_faults_let_a_call_go_on(fault: Fault | None) -> None:
    assert struck(fault, "ModifyRule") is None


def test_who_asks_too_often_is_throttled_until_time_has_passed() -> None:
    """AWS: 40 reads at once, and 10 a second after that."""
    bucket = TooMany(40, 10)

    at_once = [bucket.is_one_more_too_many(100.0) for _ in range(42)]
    later = [bucket.is_one_more_too_many(100.5) for _ in range(6)]

    assert at_once == [False] * 40 + [True] * 2
    assert later == [False] * 5 + [True]


def test_a_look_every_two_seconds_is_never_throttled() -> None:
    bucket = TooMany(40, 10)

    assert not any(bucket.is_one_more_too_many(2.0 * look) for look in range(200) for _ in range(3))
