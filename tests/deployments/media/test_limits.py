"""MediaLimits: what is allowed where nothing else is said."""

from deployments.media.limits import MediaLimits


def test_defaults():
    assert MediaLimits() == MediaLimits(max_pixels=50_000_000, max_audio_seconds=1800.0)
