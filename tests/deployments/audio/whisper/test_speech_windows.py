"""Packing: every stretch is in one window, in order, and times are mapped back."""

from hypothesis import given
from hypothesis import strategies as st

from deployments.audio.voice_activity import Span
from deployments.audio.whisper.speech_windows import Clock, pack

RATE = 100  # samples per second
LENGTH = 30 * RATE
MARGIN = 40


@st.composite
def talks(draw):
    """Stretches of speech and the samples of their recording."""
    at, stretches = 0, []
    for pause, speech in draw(st.lists(st.tuples(st.integers(1, 2500), st.integers(10, 4000)), min_size=1)):
        stretches.append(Span(at + pause, at + pause + speech))
        at = stretches[-1].stop
    return stretches, at + draw(st.integers(0, 1000))


@given(talks())
def test_every_stretch_is_in_one_window_and_no_sample_in_two(talk):
    stretches, samples = talk
    windows = list(pack(stretches, samples, LENGTH, RATE))
    assert [stretch for window in windows for stretch in window.speech] == stretches
    parts = [part for window in windows for part in window.parts]
    assert parts[0].start >= 0
    assert parts[-1].stop <= samples
    assert all(left.stop <= right.start for left, right in zip(parts, parts[1:], strict=False))
    for window in windows:
        covered = [any(part.start <= each.start and each.stop <= part.stop for part in window.parts)
                   for each in window.speech]  # fmt: skip
        assert all(covered)


@given(talks())
def test_only_a_long_stretch_makes_a_long_window(talk):
    stretches, samples = talk
    for window in pack(stretches, samples, LENGTH, RATE):
        assert window.length <= LENGTH or len(window.speech) == 1


@given(talks(), st.floats(0.2, 0.8))
def test_times_of_speech_are_mapped_back(talk, share):
    stretches, samples = talk
    for window in pack(stretches, samples, LENGTH, RATE):
        clock = window.clock(RATE)
        for stretch in window.speech:
            inside = stretch.start + share * (stretch.length - 1)
            before = sum(min(part.stop, inside) - part.start for part in window.parts if part.start <= inside)
            assert abs(clock.start(before / RATE) - inside / RATE) < 0.02
            assert abs(clock.stop(before / RATE) - inside / RATE) < 0.02


def spoken(pauses):
    """Stretches of 1 s with these pauses between them, in seconds."""
    starts = [sum(pauses[:number]) + number for number in range(len(pauses) + 1)]
    return [Span(round(start * RATE), round((start + 1) * RATE)) for start in starts]


def test_the_longest_pause_near_the_end_of_a_window_ends_it():
    for number, first in ((None, 20), (18, 18), (9, 20)):  # which pause is longer, and the stretches before the cut
        pauses = [0.7 if place + 1 == number else 0.5 for place in range(24)]
        windows = list(pack(spoken(pauses), 40 * RATE, LENGTH, RATE))
        assert [len(window.speech) for window in windows] == [first, 25 - first]


def test_a_long_pause_is_shortened_and_a_short_one_is_kept():
    stretches = [Span(100, 300), Span(350, 500), Span(2500, 2700)]
    (window,) = pack(stretches, 3000, LENGTH, RATE)
    assert window.parts == (Span(100 - MARGIN, 500 + MARGIN), Span(2500 - MARGIN, 2700 + MARGIN))


def test_a_time_at_the_seam_of_a_pause_is_where_speech_ends_or_begins():
    (window,) = pack([Span(100, 500), Span(2500, 2700)], 3000, LENGTH, RATE)
    clock = window.clock(RATE)
    seam = window.parts[0].length / RATE
    for second in (seam - 0.3, seam, seam + 0.3):
        assert (clock.stop(second), clock.start(second)) == (5.0, 25.0)
    assert clock.start(0.0) == 1.0
    assert clock.stop(99.0) == 27.0


def test_a_clock_without_parts_keeps_times_up_to_the_end():
    clock = Clock(end=7.0)
    assert (clock.start(3.0), clock.stop(30.0)) == (3.0, 7.0)
