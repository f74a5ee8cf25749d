"""CLIP Score, likeness, DIV and Vendi score of a grid's models, from the vectors of one network.

The formulas are in `metrics`; here they get the right pictures, and their numbers a title, a
direction and the convention they follow. KID and FID are in `score_kid`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from .metric_network_interface import MetricNetwork, TextMetricNetwork
from .metrics import (
    CLIP_SCORE_FORMS,
    caption_clip_scores,
    clip_score_forms,
    diversities,
    nearest,
    similarities,
    vendi_score,
    vendi_scores,
)
from .picture_folders import PictureFile
from .score_features import Vectors
from .score_records import MetricValue, Nearest
from .score_sets import Drawn, relative_name
from .score_values import Found, Setting, compared, over_captions, sentences

__all__ = [
    "captions_with_pictures",
    "clip_values",
    "diversity_values",
    "network_title",
    "similarity_values",
]

_TITLES = {
    "clip_vit_b32": "CLIP-I (ViT-B/32)",
    "clip_vit_l14": "CLIP-I (ViT-L/14)",
    "dino_vits16": "DINO",
    "dinov2": "DINOv2",
    "dreamsim": "DreamSim",
    "dreamsim_vitb32": "DreamSim (ViT-B/32)",
    "inception": "Inception",
}

_CLIP = "; ".join(f"{name}: {whose}" for name, whose in CLIP_SCORE_FORMS.items())
_SIMILARITY = (
    "mean cosine of the pictures drawn for a training caption and that caption's picture, then the "
    "mean over captions (table 2 of the paper; the measures of DreamBooth, Ruiz et al. 2023)"
)
_DIVERSITY = (
    "mean cosine distance of two pictures of one caption, then the mean over captions (DIV in "
    "table 2 of the paper)"
)
_VENDI = (
    "Vendi score of order 1 under the cosine (Friedman & Dieng 2023): how many different pictures "
    "there are in effect"
)


def network_title(name: str) -> str:
    """Return how people call the likeness under a network."""
    return _TITLES.get(name, name)


def captions_with_pictures(setting: Setting) -> Callable[[int], bool]:
    """Return what tells whether a prompt is the caption of a picture of the training split."""
    there = {file.sha256 for file in setting.compared.training}
    return lambda prompt: setting.grid.prompts[prompt].picture in there


def clip_values(setting: Setting, network: TextMetricNetwork, vectors: Vectors) -> Found:
    """CLIP Score of pictures for held-out captions, or for training captions without those."""
    pictures = setting.drawn("test", readable=vectors.has) or setting.drawn(
        "train", readable=vectors.has
    )
    found = Found()
    if pictures is None:
        return found
    texts = [setting.grid.prompts[prompt].text for prompt in pictures.prompts]
    if cut := network.cut(texts):
        found.warnings.append(
            f"CLIP Score: {len(cut)} of {len(texts)} captions are longer than "
            f"{network.context_length} tokens, and {network.name} does not see their ends; the "
            f"first is {texts[cut[0]][:60]!r}."
        )
    of_captions = network.embed_text(texts).repeat_interleave(pictures.each, dim=0)
    for model, drawings in pictures.pictures.items():
        cosines = caption_clip_scores(vectors.of(drawings), of_captions)
        each = 2.5 * cosines.clamp(min=0).view(-1, pictures.each).mean(dim=1)
        found.values[model] = [
            over_captions(
                each,
                pictures,
                within=(0, 2.5),
                key="clip_score",
                title="CLIP Score",
                unit="2.5 x cosine",
                better="higher",
                network=network.name,
                convention=sentences(f"CLIP Score: {_CLIP}", network.convention),
                forms=clip_score_forms(cosines),
            )
        ]
    return compared(setting, found)


def similarity_values(
    setting: Setting, network: MetricNetwork, vectors: Vectors, *, with_nearest: bool
) -> Found:
    """How like drawings for training captions are to the pictures of these captions.

    Args:
        setting: its training pictures include the captions'.
        network: of the vectors.
        vectors: of drawings and training pictures.
        with_nearest: find for each caption the drawing that is nearest to any training picture.
    """
    training = {one.sha256: one for one in setting.compared.training if vectors.has(one)}
    prompts = setting.grid.prompts
    pictures = setting.drawn(
        "train", readable=vectors.has, only=lambda prompt: prompts[prompt].picture in training
    )
    found = Found()
    if pictures is None:
        return found
    own = vectors.of(training[str(prompts[prompt].picture)] for prompt in pictures.prompts)
    for model, drawings in pictures.pictures.items():
        each = similarities(_by_caption(vectors.of(drawings), pictures), own)
        found.values[model] = [
            over_captions(
                each,
                pictures,
                within=(-1, 1),
                key=f"similarity_{network.name}",
                title=f"{network_title(network.name)} likeness to training pictures",
                unit="cosine",
                better="lower",
                network=network.name,
                convention=sentences(f"Likeness: {_SIMILARITY}", network.convention),
                reference_pictures=len(own),
                forms={"cosine": float(each.mean())},
            )
        ]
        if with_nearest:
            found.nearest += _nearest(setting, vectors, pictures, model, list(training.values()))
    return compared(setting, found)


def diversity_values(setting: Setting, network: MetricNetwork, vectors: Vectors) -> Found:
    """DIV and Vendi score of pictures of one caption, and the Vendi score of all test pictures."""
    found = Found()
    common: dict[str, Any] = {"better": "higher", "network": network.name}
    for role, words in (("train", "training captions"), ("test", "held-out captions")):
        pictures = setting.drawn(role, least=2, readable=vectors.has)
        if pictures is None:
            continue
        for model, drawings in pictures.pictures.items():
            embeddings = _by_caption(vectors.of(drawings), pictures)
            div, vendi = diversities(embeddings), vendi_scores(embeddings)
            found.values.setdefault(model, []).extend(
                (
                    over_captions(
                        div,
                        pictures,
                        within=(0, 2),
                        key=f"diversity_{role}",
                        title=f"DIV of {words}",
                        unit="cosine distance",
                        convention=sentences(f"DIV: {_DIVERSITY}", network.convention),
                        **common,
                    ),
                    over_captions(
                        vendi,
                        pictures,
                        within=(1, pictures.each),
                        key=f"vendi_{role}",
                        title=f"Vendi score of {words}",
                        unit=f"of {pictures.each} pictures",
                        convention=sentences(
                            f"Vendi: {_VENDI}, of each caption's, then the mean over captions",
                            network.convention,
                        ),
                        **common,
                    ),
                )
            )
    everything = setting.drawn("test", readable=vectors.has)
    if everything is None:
        return compared(setting, found)
    for model, drawings in everything.pictures.items():
        found.values.setdefault(model, []).append(
            MetricValue(
                "vendi_all",
                "Vendi score across held-out captions"
                if setting.captioned
                else "Vendi score of all pictures",
                vendi_score(vectors.of(drawings)),
                unit=f"of {len(drawings)} pictures",
                convention=sentences(
                    f"Vendi: {_VENDI}, over all held-out captions, {everything.each} of each"
                    if setting.captioned
                    else f"Vendi: {_VENDI}",
                    network.convention,
                ),
                pictures=len(drawings),
                captions=len(everything.prompts),
                **common,
            )
        )
    return compared(setting, found)


def _nearest(
    setting: Setting,
    vectors: Vectors,
    pictures: Drawn,
    model: str,
    training: Sequence[PictureFile],
) -> list[Nearest]:
    """Return of each caption the drawing nearest to any training picture, the nearest first."""
    drawings = pictures.pictures[model]
    places, cosines = nearest(vectors.of(drawings), vectors.of(training))
    found, folder = [], setting.grid.folder
    for number, best in enumerate(cosines.view(-1, pictures.each).argmax(dim=1).tolist()):
        place = number * pictures.each + best
        prompt = setting.grid.prompts[drawings[place].prompt]
        original = training[int(places[place])]
        found.append(
            Nearest(
                model,
                relative_name(drawings[place].path, folder),
                prompt.text,
                original.sha256,
                relative_name(original.path, folder),
                float(cosines[place]),
                own=original.sha256 == prompt.picture,
            )
        )
    return sorted(found, key=lambda one: -one.cosine)


def _by_caption(vectors: Tensor, pictures: Drawn) -> Tensor:
    """(captions x pictures, dim) -> (captions, pictures, dim)."""
    return vectors.view(len(pictures.prompts), pictures.each, -1)
