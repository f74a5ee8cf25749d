"""Promises of a LoRA in memory: merged it is the adapter, and what is refused changes nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small_unet import (
    A_LAYER,
    ATTENTION,
    RANK,
    WITH_CONVOLUTIONS,
    noise_pred,
    tiny_unet,
    trained_unet,
)

from scoft_training import lora_layers
from scoft_training.errors import ConfigError, ModelFileError
from scoft_training.lora_layers import (
    Lora,
    LoraLayer,
    applied_lora,
    load_into_adapter,
    lora_digest,
    lora_from_adapter,
    merge_lora,
)


def all_bytes(module: torch.nn.Module) -> dict[str, bytes]:
    """Every parameter's bytes."""
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_merging_equals_the_adapter(strength):
    wrapped = trained_unet(targets=WITH_CONVOLUTIONS)
    lora = lora_from_adapter(wrapped)
    assert {layer.down.ndim for layer in lora.layers.values()} == {2, 4}
    wrapped.set_adapters("default", strength)
    unet = tiny_unet()
    before = noise_pred(unet)

    merge_lora(unet, lora, strength)

    assert (noise_pred(unet) - before).abs().max() > 0.01
    torch.testing.assert_close(noise_pred(unet), noise_pred(wrapped), rtol=1e-5, atol=1e-5)


def test_merging_rounds_once_by_the_derived_amount():
    linear = torch.nn.Linear(2, 3, bias=False, dtype=torch.float16)
    linear.weight.data.fill_(1)
    unet = torch.nn.ModuleDict({"to_q": linear})
    layer = LoraLayer(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [5.0], [7.0]]), alpha=0.5)

    merge_lora(unet, Lora({"to_q": layer}, {}), strength=2.0)

    # strength * alpha / rank = 1, so W = 1 + up @ down.
    assert linear.weight.tolist() == [[4.0, 7.0], [6.0, 11.0], [8.0, 15.0]]
    assert linear.weight.dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("raises", [False, True])
def test_applied_lora_restores_every_bit_also_when_the_body_raises(dtype, raises):
    lora = lora_from_adapter(trained_unet(targets=WITH_CONVOLUTIONS))
    unet = tiny_unet().to(dtype)
    before = {name: value.clone() for name, value in unet.state_dict().items()}

    try:
        with applied_lora(unet, lora, 0.7):
            changed = {
                name.removesuffix(".weight")
                for name, value in unet.state_dict().items()
                if not torch.equal(value, before[name])
            }
            if raises:
                raise KeyError("drawing failed")
    except KeyError:
        assert raises

    assert changed == set(lora.layers)
    for name, value in unet.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_refused_merge_changes_nothing():
    unet = tiny_unet()
    before = all_bytes(unet)
    lora = lora_from_adapter(trained_unet())
    layers = {**lora.layers, "zz_last.to_q": lora.layers[A_LAYER]}

    with pytest.raises(ModelFileError, match=r"no module of this UNet is called 'zz_last\.to_q'"):
        merge_lora(unet, Lora(layers, {}))

    assert all_bytes(unet) == before


@pytest.mark.parametrize(
    ("settings", "targets", "message"),
    [
        ({"r": 5}, ATTENTION, "has rank 4 at '.*', but `rank` is 5. Set `rank` to 4"),
        ({"lora_alpha": 4}, ATTENTION, "has alpha 6 at '.*', but `alpha` is 4. Set `alpha` to 6"),
        ({}, ["to_q"], "has 32 layers and the adapter to be filled 8: '.*' is only in the LoRA"),
        ({}, [*ATTENTION, "proj_in"], "32 layers .* 36: '.*proj_in' is only in the adapter"),
    ],
    ids=["rank", "alpha", "fewer", "more"],
)
def test_a_refused_load_names_what_to_set_and_changes_nothing(settings, targets, message):
    lora = lora_from_adapter(trained_unet(1))
    unet = trained_unet(2, targets, **settings)
    before = all_bytes(unet)

    with pytest.raises(ConfigError, match=message):
        load_into_adapter(unet, lora)

    assert all_bytes(unet) == before


def test_a_late_mismatch_is_refused_before_the_first_copy():
    unet = trained_unet(2)
    before = all_bytes(unet)
    lora = lora_from_adapter(trained_unet(1))
    last = max(lora.layers)
    odd = dataclasses.replace(lora.layers[last], down=torch.ones(RANK, 23))

    with pytest.raises(
        ConfigError, match=r"has shape \(4, 23\) at '.*', but the adapter has \(4, "
    ):
        load_into_adapter(unet, Lora({**lora.layers, last: odd}, {}))

    assert all_bytes(unet) == before


def test_a_wrong_adapter_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"Unknown LoRA adapter 'defalt'.*Did you mean 'default'"):
        lora_from_adapter(trained_unet(), "defalt")
    with pytest.raises(ConfigError, match=r"has no LoRA adapter\. Attach one"):
        lora_from_adapter(tiny_unet())


def test_an_adapter_s_copy_is_detached_and_stays_as_it_was():
    unet = trained_unet()
    lora = lora_from_adapter(unet)
    digest = lora_digest(lora)

    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.zero_()

    assert lora_digest(lora) == digest
    assert not lora.layers[A_LAYER].up.requires_grad
    assert list(lora.layers) == sorted(lora.layers)


def test_the_digest_is_over_tensors_and_alphas_and_not_over_the_header():
    lora = lora_from_adapter(trained_unet())
    digest = lora_digest(lora)
    layer = lora.layers[A_LAYER]
    transposed = dataclasses.replace(layer, down=layer.down.reshape(layer.down.T.shape))
    others = [
        dataclasses.replace(layer, alpha=layer.alpha + 1),
        dataclasses.replace(layer, up=-layer.up),
        dataclasses.replace(layer, up=layer.up.double()),
        transposed,
    ]

    assert lora_digest(Lora(dict(reversed(lora.layers.items())), {"when": "now"})) == digest
    digests = {lora_digest(Lora({**lora.layers, A_LAYER: other}, {})) for other in others}
    assert len(digests | {digest}) == 5


def test_the_public_names_are_pinned():
    assert lora_layers.__all__ == [
        "Lora",
        "LoraLayer",
        "applied_lora",
        "fitted_layers",
        "load_into_adapter",
        "lora_digest",
        "lora_from_adapter",
        "merge_lora",
        "other_base_advice",
        "weights_by_path",
    ]
