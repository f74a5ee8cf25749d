"""Captions as one thing: what is joined, indexed and moved stays together."""

import torch

from scoft_training.conditioning import Conditioning, size_ids


def captions(count, *, pooled=True, value=0.0):
    embeds = value + torch.arange(count * 3 * 5.0).view(count, 3, 5)
    return Conditioning(
        embeds, value + torch.arange(count * 7.0).view(count, 7) if pooled else None
    )


def test_sizes_are_of_the_file_then_of_the_crop_then_of_what_is_seen():
    # (height, width) of the picture, (top, left) of the crop, (height, width) of the square.
    assert size_ids((300, 400), (0, 43), (256, 128)).tolist() == [300, 400, 0, 43, 256, 128]


def test_indexing_takes_the_same_captions_of_every_tensor():
    found = captions(4).sized(torch.arange(24.0).view(4, 6))
    some = found[torch.tensor([2, 0])]
    assert len(some) == 2
    assert torch.equal(some.prompt_embeds, found.prompt_embeds[[2, 0]])
    assert torch.equal(some.pooled_prompt_embeds, found.pooled_prompt_embeds[[2, 0]])
    assert some.time_ids[:, 0].tolist() == [12, 0]
    one = found[3]
    assert (one.prompt_embeds.shape, one.pooled_prompt_embeds.shape) == ((3, 5), (7,))
    assert one.time_ids.tolist() == [18, 19, 20, 21, 22, 23]
    # And back again.
    again = Conditioning.stack([found[index] for index in range(4)])
    assert torch.equal(again.pooled_prompt_embeds, found.pooled_prompt_embeds)
    assert torch.equal(again.time_ids, found.time_ids)
    joined = Conditioning.cat([found[:1], found[1:]])
    assert torch.equal(joined.time_ids, found.time_ids)


def test_a_size_goes_to_all_captions_of_a_network_that_asks_and_to_no_other():
    ids = size_ids((8, 9), (1, 2), (4, 4))
    assert captions(3).sized(ids).time_ids.tolist() == [[8, 9, 1, 2, 4, 4]] * 3
    assert captions(3)[0].sized(ids).time_ids.tolist() == [8, 9, 1, 2, 4, 4]
    assert captions(3, pooled=False).sized(ids).time_ids is None
    assert captions(3).sized(None).time_ids is None


def test_the_empty_caption_takes_number_and_sizes_of_those_it_stands_beside():
    beside = captions(2).sized(torch.arange(12.0).view(2, 6))
    uncond = captions(1, value=100.0)[0].uncond_for(beside)
    assert uncond.prompt_embeds.shape == (2, 3, 5)
    assert (uncond.prompt_embeds >= 100).all()
    assert (uncond.pooled_prompt_embeds >= 100).all()
    assert torch.equal(uncond.time_ids, beside.time_ids)
    assert captions(1, pooled=False)[0].uncond_for(captions(2, pooled=False)).time_ids is None


def test_a_narrow_number_format_leaves_the_sizes_alone():
    # bfloat16 holds 8 binary digits, and 1023 needs ten.
    given = captions(1).sized(size_ids((1023, 777), (0, 0), (64, 64)))
    arguments = given.arguments(torch.bfloat16)
    assert arguments["encoder_hidden_states"].dtype == torch.bfloat16
    assert arguments["added_cond_kwargs"]["text_embeds"].dtype == torch.bfloat16
    assert arguments["added_cond_kwargs"]["time_ids"][0, :2].tolist() == [1023, 777]
    assert "added_cond_kwargs" not in captions(1, pooled=False).arguments(torch.float32)
