import pytest

from airbridge.capture.summary import Spread, spread


def test_nothing_measured_has_no_figures() -> None:
    assert spread([]) is None


def test_one_time_is_least_median_and_greatest() -> None:
    assert spread([7.0]) == Spread(1, 7.0, 7.0, 7.0, 0.0)


def test_jitter_is_half_of_the_span_of_the_middle_nine_tenths() -> None:
    times = [200.0 + step for step in range(-50, 51)]
    figures = spread(times)
    assert figures is not None
    assert (figures.least, figures.median, figures.greatest) == (150.0, 200.0, 250.0)
    assert figures.jitter == pytest.approx(45.0)


def test_a_single_outlier_does_not_move_the_jitter() -> None:
    figures = spread([200.0] * 99 + [5000.0])
    assert figures is not None
    assert figures.jitter == 0.0
    assert figures.greatest == 5000.0
