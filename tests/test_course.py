"""One bar over all phases of a call."""

import pytest

from scoft_training.course import Course
from scoft_training.events import FinishedEvent, PhaseEvent, StepEvent, WarningEvent


def step(number, steps):
    return StepEvent(number, steps, {}, 0.0, 0.0, 0.0, 0.0, 0)


def test_the_main_phase_takes_the_middle_and_others_halve_what_is_left():
    course = Course("negatives")
    events = [
        (PhaseEvent("load models", 0, 1), 0.0),
        (PhaseEvent("load models", 1, 1), 0.05),
        (PhaseEvent("depth", 1, 2), 0.0625),  # halfway through 0.05 to 0.075
        (PhaseEvent("depth", 2, 2), 0.075),
        (PhaseEvent("negatives", 0, 4), 0.1),
        (PhaseEvent("negatives", 1, 4), 0.3),
        (WarningEvent("says nothing about how far"), 0.3),
        (PhaseEvent("negatives", 4, 4), 0.9),
        (PhaseEvent("filter", 1, 2), 0.925),
        (FinishedEvent(4, "set"), 1.0),
    ]
    assert [course.advance(event) for event, _ in events] == pytest.approx(
        [fraction for _, fraction in events]
    )


def test_training_is_its_steps_and_a_resumed_run_begins_where_it_was():
    course = Course("steps")
    assert course.advance(PhaseEvent("latents", 5, 5)) == pytest.approx(0.05)
    assert course.advance(step(500, 1000)) == pytest.approx(0.5)
    assert course.advance(step(1000, 1000)) == pytest.approx(0.9)


def test_several_main_phases_share_the_middle_and_one_that_is_left_out_is_passed():
    course = Course(["a", "b", "c", "d"])
    events = [
        (PhaseEvent("load a", 1, 1), 0.05),
        (PhaseEvent("a", 1, 2), 0.2),
        (PhaseEvent("a", 2, 2), 0.3),
        (PhaseEvent("load b", 1, 1), 0.3),
        (PhaseEvent("c", 0, 2), 0.5),
        (PhaseEvent("d", 1, 2), 0.8),
        (PhaseEvent("d", 2, 2), 0.9),
        (PhaseEvent("write", 1, 1), 0.95),
    ]
    assert [course.advance(event) for event, _ in events] == pytest.approx(
        [fraction for _, fraction in events]
    )


def test_it_never_falls_and_empty_phases_are_done():
    course = Course("negatives")
    assert course.advance(PhaseEvent("depth", 0, 0)) == pytest.approx(0.05)
    course.advance(PhaseEvent("negatives", 3, 3))
    assert course.advance(PhaseEvent("negatives", 0, 3)) == pytest.approx(0.9)
