"""Choices of memory: made once, from what is free."""

import pytest
from stack import CPU, small_base

from scoft_training.config import MemoryConfig
from scoft_training.memory import (
    apply_memory,
    decide_memory,
    free_memory,
    keep_begun,
    peak_memory,
)

GIB = 2**30


def decide(config=None, *, free, resolution=512, batch_size=2):
    return decide_memory(
        config or MemoryConfig(), free_bytes=free, resolution=resolution, batch_size=batch_size
    )


def test_plenty_chooses_the_fastest_and_little_the_smallest():
    fast = MemoryConfig("off", "off", 2, "on")
    assert decide(free=None) == fast
    assert decide(free=80 * GIB) == fast
    assert decide(free=4 * GIB) == MemoryConfig("on", "on", 1, "off")
    assert decide(free=4 * GIB, resolution=128) == fast


def test_what_was_asked_for_is_never_overruled():
    asked = MemoryConfig("on", "off", 7, "off")
    for free in (None, 1, 80 * GIB):
        assert decide(asked, free=free) == asked


FAST, LEAN = MemoryConfig("off", "off", 4, "on"), MemoryConfig("on", "on", 1, "off")


def test_a_resume_keeps_what_the_run_began_with():
    # More memory is free than at the beginning: nothing gets faster, the bits stay.
    assert keep_begun(MemoryConfig(), chosen=FAST, begun=LEAN) == LEAN
    assert keep_begun(MemoryConfig(), chosen=LEAN, begun=LEAN) == LEAN


def test_a_resume_does_not_keep_what_no_longer_fits():
    assert keep_begun(MemoryConfig(), chosen=LEAN, begun=FAST) == LEAN


def test_an_explicit_choice_stands_in_a_resume():
    asked = MemoryConfig(batched_guidance="off", decode_batch_size=2)
    chosen = MemoryConfig("off", "off", 2, "off")
    assert keep_begun(asked, chosen, begun=FAST) == chosen
    assert keep_begun(FAST, FAST, begun=LEAN) == FAST


@pytest.mark.parametrize("choice", ["on", "off"])
def test_checkpointing_is_switched_on_both_networks(choice):
    base = small_base()
    apply_memory(MemoryConfig(choice, choice, 1, "on"), base.unet, base.vae)
    assert base.unet.is_gradient_checkpointing == (choice == "on")
    assert base.vae.is_gradient_checkpointing == (choice == "on")
    apply_memory(MemoryConfig("off", "off", 1, "on"), base.unet, base.vae)
    assert not base.unet.is_gradient_checkpointing


def test_the_cpu_has_no_bottleneck_and_tells_its_resident_memory():
    assert free_memory(CPU) is None
    # A process that has loaded torch holds some hundred MiB, and this machine has less than 1 TiB.
    assert 100 * 2**20 < peak_memory(CPU) < 2**40
