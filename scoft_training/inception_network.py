"""Inception-v3 as torch-fidelity builds it, for KID and FID: loading its weights from a file.

Not here: what is measured (`metrics`) and the names to choose by (`metric_networks`).
torch-fidelity is imported when it is loaded.
"""

from __future__ import annotations

import io

import torch
from torch import Tensor

from .backbone_interface import BackboneRequest
from .errors import ConfigError, ModelFileError
from .metric_network_interface import MetricNetwork
from .weights import WeightsSpec, load_tensors

__all__ = ["INCEPTION", "InceptionNetwork", "load_inception"]

_LAYER = "2048"

INCEPTION = WeightsSpec(
    name="inception",
    # pytorch-fid keeps the same bytes under the second name.
    file_names=(
        "weights-inception-2015-12-05-6726825d.pth",
        "pt_inception-2015-12-05-6726825d.pth",
    ),
    url=(
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth"
    ),
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    in_torch_hub=True,
)

_CONVENTION = (
    "Inception-v3 with TensorFlow's weights of 2015-12-05, its 2048 pooled numbers; pictures in 8 "
    "bits, resized to 299 x 299 by TensorFlow 1's bilinear without antialiasing, all as "
    "torch-fidelity does it. clean-fid resizes with antialiasing, so its numbers are others."
)


class InceptionNetwork(MetricNetwork):
    """torch-fidelity's own network, its own resizing included; it reads whole bytes."""

    def _vectors(self, images: Tensor) -> Tensor:
        pictures = (images * 255).round().to(torch.uint8)
        vectors: Tensor = self.network(pictures)[0]
        return vectors


def load_inception(request: BackboneRequest) -> InceptionNetwork:
    """Return Inception-v3 with weights from a file; torch-fidelity itself downloads nothing.

    Raises:
        ConfigError: another dtype than float32; torch-fidelity's own float64 is float32, too.
        ModelFileError: not found, or not the weights of that network.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    if request.dtype != torch.float32:
        raise ConfigError(
            f"The metric network 'inception' runs in float32 only, as torch-fidelity does, but got "
            f"{request.dtype}. Choose float32."
        )
    path = request.find(INCEPTION)
    # torch-fidelity unpickles whatever file it is given: it gets tensors that were read before.
    buffer = io.BytesIO()
    torch.save(load_tensors(path), buffer)
    buffer.seek(0)
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat",
            [_LAYER],
            feature_extractor_weights_path=buffer,
        )
    except RuntimeError as error:
        first = str(error).partition("\n")[2].strip().splitlines()
        raise ModelFileError(
            f"{path}: does not hold the weights of torch-fidelity's Inception-v3: "
            f"{(first or [str(error)])[0][:200]} Name the right file, or leave the path empty to "
            "have it looked for."
        ) from error
    return InceptionNetwork(
        INCEPTION.name,
        network,
        settings={"layer": _LAYER, "resizing": "TensorFlow 1's bilinear to 299"},
        convention=_CONVENTION,
        dim=int(_LAYER),
    )
