"""Bytes alive, against numbers derived by hand."""

import pytest
import torch

from scoft_training.live_bytes import LiveBytes

DEVICES = pytest.mark.parametrize("device", ["cpu", "meta"])


@DEVICES
def test_a_tensor_counts_from_its_making_to_its_end(device):
    with LiveBytes() as live:
        one = torch.ones(5, 7, device=device)
        assert (live.now, live.peak) == (5 * 7 * 4, 5 * 7 * 4)
        two = one.to(torch.float64)
        assert live.now == 5 * 7 * (4 + 8)
        del one
        assert live.now == 5 * 7 * 8
        three = torch.ones(3, device=device, dtype=torch.float16)
        assert (live.now, live.peak) == (5 * 7 * 8 + 3 * 2, 5 * 7 * (4 + 8))
    del two
    assert live.now == 3 * 2, "what ends after the block counts off too"
    del three
    assert live.now == 0


@DEVICES
def test_views_results_in_place_and_what_was_there_before_add_nothing(device):
    before = torch.ones(6, 4, device=device)
    with LiveBytes() as live:
        views = [before.t(), before[1:], before.view(24), before.detach(), before.expand(2, 6, 4)]
        before.mul_(3.0)
        torch.add(before, 1.0, out=before)
        assert (live.now, live.peak, len(views)) == (0, 0, 5)
        again = before * 1.0
        part = again[:1]
        del again
        assert live.now == 6 * 4 * 4, "a view keeps its whole storage"
        del part
        assert live.now == 0


@DEVICES
def test_a_graph_holds_what_the_backward_pass_needs(device):
    weight = torch.ones(11, 13, device=device, requires_grad=True)
    pictures = torch.ones(3, 11, device=device)
    with LiveBytes() as live:
        # tanh keeps its own result; the product keeps `pictures` and `weight`, both made before.
        hidden = torch.tanh(pictures @ weight)
        # The sum of squares keeps `hidden`, which is there already, and is one number itself.
        loss = hidden.square().sum()
        del hidden
        assert live.now == 3 * 13 * 4 + 4
        # The most was alive when the squares, tanh's result and the sum stood side by side.
        assert live.peak == 2 * 3 * 13 * 4 + 4
        loss.backward()
        del loss
        assert live.now == 11 * 13 * 4, "only the weight's gradient is left"
    weight.grad = None
    assert live.now == 0


@DEVICES
def test_a_checkpointed_graph_holds_less_and_works_more(device):
    from torch.utils.checkpoint import checkpoint

    def block(hidden):
        for _ in range(10):
            hidden = torch.tanh(hidden)
        return hidden

    start = torch.ones(1000, device=device, requires_grad=True)
    held = {}
    for name, run in (
        ("kept", lambda hidden: block(hidden)),
        ("recomputed", lambda hidden: checkpoint(block, hidden, use_reentrant=False)),
    ):
        with LiveBytes() as live:
            result = run(start)
            held[name] = live.now
            result.sum().backward()
            start.grad = None
        peak = live.peak
        # The ten results at the backward pass, and the gradient on its way beside them.
        assert 10 * 4000 <= peak <= 13 * 4000
    assert held == {"kept": 10 * 4000, "recomputed": 1 * 4000}


def test_it_counts_nothing_twice_when_an_address_is_used_again():
    with LiveBytes() as live:
        for _ in range(50):
            torch.ones(1000)
    assert (live.now, live.peak) == (0, 4000)
