"""SCoFT: self-contrastive fine-tuning of text-to-image models, as a library and a command.

Rooms, from the ground up: `errors`; `files`, `config`, `draws`, `losses`, `sampling`; `pictures`,
`events`; `lora_layers`, `lora_metadata`; `data`, `lora_files`, `checkpoints`, `weights`;
`backbone_interface`; `clip_networks`, `lpips_network`; `models`, `backbones`; `precompute`,
`generation`, `demo`; `objective`; `trainer`; `runs`; `cli`. Imports go down this list only.
"""

__version__ = "0.1.0"
