"""No option does nothing: each that enters the run id changes the weights, the others do not."""

import dataclasses

import pytest
from safetensors.torch import load_file
from stack import SMALL_RUN, PoolBackbone, write_demo

from scoft_training.backbones import register_backbone
from scoft_training.config import TrainConfig
from scoft_training.files import digest_tensors
from scoft_training.options import options
from scoft_training.runs import RunRequest, run_training

pytestmark = pytest.mark.usefixtures("small_registry")

SHORT = dataclasses.replace(SMALL_RUN, steps=4, margin=2.0, weight_decay=0.01)

CHANGES = {
    "perceptual_backbone": "pool-16",
    "gradient_step": "last",
    "steps": 5,
    "learning_rate": 2e-3,
    "optimizer": "adam",
    "weight_decay": 0.5,
    "lr_scheduler": "constant",
    "lr_warmup_steps": 2,
    "max_grad_norm": 1e-3,
    "batch_size": 1,
    "gradient_accumulation_steps": 2,
    "rank": 2,
    "alpha": 9.0,
    "resolution": 72,
    "crop": "random",
    "random_flip": False,
    "ldm_weight": 0.1,
    "memorization_weight": 0.9,
    "perceptual_weight": 5.0,
    "contrastive_weight": 5.0,
    "margin": None,
    "negatives_lambda": 0.1,
    "lpips_weight": 1.0,
    "augmentations": 2,
    "perceptual_every": 2,
    "ddim_steps": 2,
    "guidance_scale": 2.0,
    "unit_recorded_step": True,
    "min_snr_gamma": 1.0,
    "seed": 1,
    "precision": "fp64",
}
WITHOUT_EFFECT = {
    "preset": "mpc",
    "save_every": 1,
    "keep_checkpoints": 1,
    "validate_every": 2,
    "preview_every": 2,
    "preview_prompts": "a house",
    "preview_steps": 3,
    "snapshot_every": 2,
}


@pytest.fixture(scope="module")
def digest_of(tmp_path_factory, small_registry):
    folder = tmp_path_factory.mktemp("options")
    dataset = write_demo(folder / "aruna")
    register_backbone(
        "pool-16", lambda request: PoolBackbone(request.dtype, side=16), description="coarser"
    )
    # LPIPS needs 528 MB of VGG; what its weight does to a run is the same with any network.
    register_backbone("lpips", lambda request: PoolBackbone(request.dtype), description="pool")
    work = folder / "work"

    def digest(config):
        output = folder / f"{abs(hash(config))}.safetensors"
        output.unlink(missing_ok=True)
        request = RunRequest(dataset, "small", config, device="cpu", work=work, output=output)
        list(run_training(request))
        return digest_tensors({name: t.float() for name, t in load_file(output).items()})

    return digest


@pytest.fixture(scope="module")
def plain(digest_of):
    return digest_of(SHORT)


def test_every_option_is_tried():
    assert {**CHANGES, **WITHOUT_EFFECT}.keys() == {option.name for option in options(TrainConfig)}
    kept = {option.name for option in options(TrainConfig) if not option.changes_weights}
    assert kept == WITHOUT_EFFECT.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_an_option_of_the_run_id_changes_the_weights(digest_of, plain, name):
    assert getattr(SHORT, name) != CHANGES[name]
    assert digest_of(dataclasses.replace(SHORT, **{name: CHANGES[name]})) != plain


def test_the_other_options_change_nothing(digest_of, plain):
    assert digest_of(dataclasses.replace(SHORT, **WITHOUT_EFFECT)) == plain
