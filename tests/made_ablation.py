"""A hand-made ablation and its results, for tests of tables and pages."""

from scoft_training.ablation_config import Ablation, Arm, Culture
from scoft_training.ablation_records import Metric, TrialResult
from scoft_training.config import (
    GenerateConfig,
    GridConfig,
    MemoryConfig,
    ScoreConfig,
    TrainConfig,
)

METRICS = (
    Metric("kid_reference", "KID to held-out pictures", "lower", "x 1000"),
    Metric("kid_general", "KID to general pictures", "lower", "x 1000"),
    Metric("clip_score", "CLIP Score", "higher", "2.5 x cosine"),
    Metric("similarity_dino_vits16", "DINO likeness", "lower", "cosine"),
    Metric("diversity_train", "DIV of training captions", "higher", "cosine distance"),
    Metric("vendi_all", "Vendi score", "higher", "of 35 pictures"),
)


def made_ablation(folder):
    """Two cultures, two seeds, the base and two trained arms."""
    return Ablation(
        folder=folder / "out",
        base="v1-5.safetensors",
        device="cpu",
        allow_download=False,
        seeds=(0, 1),
        cultures=(Culture("korea", folder / "korea"), Culture("nigeria", folder / "nigeria")),
        arms=(Arm("sd", None), Arm("m", TrainConfig(preset="m")), Arm("mine", TrainConfig())),
        compare=(("m", "sd"),),
        memory=MemoryConfig(),
        grid=GridConfig(),
        draw=GenerateConfig(),
        score=ScoreConfig(),
    )


def results_of(ablation, metrics=METRICS, **others):
    """Arm number + 10 x seed + 100 x culture, in every figure."""
    return [
        TrialResult(
            culture=culture.name,
            seed=seed,
            grid=ablation.folder / "grids" / "gone",
            models={arm.name: arm.name for arm in ablation.arms},
            metrics=metrics,
            figures={
                arm.name: {one.key: 1.0 * place + 10 * seed + 100 * at for one in metrics}
                | {"seconds": 5.0}
                for place, arm in enumerate(ablation.arms)
            },
            **others,
        )
        for seed in ablation.seeds
        for at, culture in enumerate(ablation.cultures)
    ]
