"""Every encoder keeps what encoders promise."""

import pytest

from ncaudit.encoders.base import Encoder
from ncaudit.testing import EncoderSuite


@pytest.fixture(scope="session")
def suite(encoder: Encoder) -> EncoderSuite:
    return EncoderSuite(encoder)


@pytest.mark.parametrize("check", EncoderSuite.names())
def test_an_encoder_keeps_its_promises(suite: EncoderSuite, check: str) -> None:
    getattr(suite, check)()
