"""Another release than the one whose private names were read is logged."""

import logging

import pytest
import ray

from deployments.telemetry.logs import warn_unless_read_in


@pytest.mark.parametrize(
    ("release", "warnings"), [(".".join(ray.__version__.split(".")[:2]), 0), ("2.6", 1), ("3.0", 1)]
)
def test_another_release_is_logged(release: str, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_unless_read_in("ray", release)
    assert len(caplog.records) == warnings
    assert all(f"ray {ray.__version__} is installed" in record.getMessage() for record in caplog.records)
