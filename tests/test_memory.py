"""Choices of memory: made once, from what is free."""

import pytest
import torch
from stack import CPU, small_base

from scoft_training.config import MemoryConfig
from scoft_training.memory import (
    LEVELS,
    apply_memory,
    decide_memory,
    enough,
    free_memory,
    keep_begun,
    out_of_memory,
    peak_memory,
    single_choices,
)

GIB = 2**30
FAST = MemoryConfig("fast", "off", "off", 4, "on")
BALANCED = MemoryConfig("balanced", "off", "on", 1, "on")
LOW = MemoryConfig("low", "on", "on", 1, "off")
# What a run would need, invented: 5 for the UNet or 2 when it recomputes, 9 for the decoder of four
# pictures, 3 for one recomputed, 1 for guidance that is batched.
NEEDS = {FAST: 9 + 1, BALANCED: 5 + 1, LOW: 3}


def fits_into(free, asked=None):
    asked = [] if asked is None else asked

    def fits(memory):
        asked.append(memory)
        return enough(NEEDS[memory], free)

    return fits


def decide(config=None, *, free, asked=None):
    return decide_memory(config or MemoryConfig(), batch_size=4, fits=fits_into(free, asked))


@pytest.mark.parametrize(
    ("free", "chosen"),
    # 10 of 11.2 leave a tenth free, of 11 they do not; so do 6 of 6.7 and of 6.6.
    [(None, FAST), (11.2, FAST), (11, BALANCED), (6.7, BALANCED), (6.6, LOW), (1, LOW)],
)
def test_auto_takes_the_first_level_that_fits_with_a_tenth_to_spare(free, chosen):
    assert decide(free=free) == chosen


def test_nothing_is_estimated_that_decides_nothing():
    asked = []
    assert decide(free=100, asked=asked) == FAST
    assert asked == [FAST]
    asked.clear()
    assert decide(free=1, asked=asked) == LOW
    assert asked == [FAST, BALANCED], "low is what is left; nothing depends on whether it fits"
    for level, chosen in zip(LEVELS, (FAST, BALANCED, LOW), strict=True):
        asked.clear()
        assert decide(MemoryConfig(level), free=1, asked=asked) == chosen
        assert asked == []


def test_what_was_asked_for_is_never_overruled():
    single = MemoryConfig("auto", "on", "off", 7, "off")
    for fits in (lambda _: True, lambda _: False):
        chosen = decide_memory(single, batch_size=4, fits=fits)
        assert single_choices(chosen) == single_choices(single)
    mixed = MemoryConfig("low", batched_guidance="on")
    chosen = decide_memory(mixed, batch_size=4, fits=lambda _: False)
    assert chosen == MemoryConfig("low", "on", "on", 1, "on")


def kept(asked, chosen, begun, fits=lambda _: True):
    return keep_begun(asked, chosen, single_choices(begun), batch_size=4, fits=fits)


def test_a_resume_keeps_what_the_run_began_with():
    # More memory is free than at the beginning: nothing gets faster, the bits stay.
    assert kept(MemoryConfig(), chosen=FAST, begun=LOW) == LOW
    assert kept(MemoryConfig(), chosen=LOW, begun=LOW) == LOW
    # Choices of no level, from a run whose options were set one by one.
    own = MemoryConfig("fast", "off", "on", 2, "on")
    assert single_choices(kept(MemoryConfig(), chosen=FAST, begun=own)) == single_choices(own)


def test_a_resume_does_not_keep_what_no_longer_fits():
    assert kept(MemoryConfig(), LOW, FAST, fits=lambda memory: memory != FAST) == LOW
    # What began slimmer than auto would choose now is asked for itself.
    assert kept(MemoryConfig(), LOW, BALANCED, fits=lambda memory: memory == BALANCED) == BALANCED


def test_an_explicit_choice_stands_in_a_resume():
    asked = MemoryConfig(batched_guidance="off", decode_batch_size=2)
    assert kept(asked, FAST, begun=FAST) == MemoryConfig("fast", "off", "off", 2, "off")
    assert kept(MemoryConfig("low"), chosen=LOW, begun=FAST) == LOW


@pytest.mark.parametrize("choice", ["on", "off"])
def test_checkpointing_is_switched_on_both_networks(choice):
    base = small_base()
    apply_memory(MemoryConfig("auto", choice, choice, 1, "on"), base.unet, base.vae)
    assert base.unet.is_gradient_checkpointing == (choice == "on")
    assert base.vae.is_gradient_checkpointing == (choice == "on")
    apply_memory(FAST, base.unet, base.vae)
    assert not base.unet.is_gradient_checkpointing


def test_the_advice_names_only_what_is_left_to_lower():
    most = str(out_of_memory(CPU, FAST, 4))
    places = [most.index(words) for words in ("`memory` low", "`batch_size`", "`resolution`")]
    assert places == sorted(places)
    for words in ("`gradient_checkpointing` on", "`decode_batch_size` 1", "`batched_guidance` off"):
        assert words in most
    assert "decode_batch_size" not in str(out_of_memory(CPU, FAST, 1))
    least = str(out_of_memory(CPU, LOW, 1))
    assert "In order of effect: lower `resolution`. What" in least


def test_the_cpu_tells_what_is_free_and_what_the_process_holds():
    # A process that has loaded torch holds some hundred MiB, and this machine has less than 1 TiB.
    assert 100 * 2**20 < peak_memory(CPU) < 2**40
    assert 100 * 2**20 < free_memory(CPU) < 2**40
    assert free_memory(torch.device("meta")) is None
