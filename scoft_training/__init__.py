"""SCoFT: self-contrastive fine-tuning of text-to-image models, as a library and a command.

Rooms, from the ground up: `errors`; `files`, `config`, `draws`, `losses`, `sampling`; `pictures`,
`events`; `data`, `lora_files`, `checkpoints`, `weights`; `models`, `backbones`; `precompute`,
`generation`, `demo`; `objective`; `trainer`; `runs`; `cli`. Imports go down this list only.
"""

__version__ = "0.1.0"
