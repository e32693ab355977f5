"""Of the deployments' tests: what reading a picture sets for its whole process does not outlive a test."""

from collections.abc import Iterator

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def pillows_own_limit() -> Iterator[None]:
    limit = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = limit
