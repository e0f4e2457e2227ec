"""Conformance suites for encoders, engines and signals, for the parts of ncaudit and for plugins.

A suite holds one check per promise. Each check raises AssertionError where the promise is
broken; a test framework may run them one by one, by `names`, or all at once:

    from ncaudit.testing import EncoderSuite

    @pytest.mark.parametrize("check", EncoderSuite.names())
    def test_my_encoder(check):
        getattr(EncoderSuite(load_mine("cpu")), check)()
"""

from ncaudit.testing.encoders import EncoderSuite
from ncaudit.testing.engines import CrewSuite, EngineSuite
from ncaudit.testing.signals import SignalSuite
from ncaudit.testing.suite import Suite

__all__ = ["CrewSuite", "EncoderSuite", "EngineSuite", "SignalSuite", "Suite"]
