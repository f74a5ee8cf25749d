"""A small BLIP in the files that the real one comes in, shared by the tests of captions."""

import torch

WORDS = (
    "a the two red blue green person cat dog tree house bowl stands sits near on under with and big"
)


def write_blip(folder, seed=0):
    """Save a small BLIP with random weights and a vocabulary of its own, as the hub holds it."""
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    begin = len(vocabulary)
    config = BlipConfig(
        text_config={
            "vocab_size": begin + 1,
            "hidden_size": 24,
            "encoder_hidden_size": 20,
            "intermediate_size": 28,
            "projection_dim": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "max_position_embeddings": 40,
            "bos_token_id": begin,
            "sep_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 20,
            "intermediate_size": 28,
            "projection_dim": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 33,
            "patch_size": 11,
            "initializer_range": 0.02,
        },
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = BlipForConditionalGeneration(config)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter *= 12  # or pictures would hardly matter
    network.save_pretrained(folder)
    pixels = BlipImageProcessor(size={"height": 33, "width": 33})
    BlipProcessor(pixels, BertTokenizer(vocab=str(folder / "vocab.txt"))).save_pretrained(folder)
    return folder
