"""SCoFT: self-contrastive fine-tuning of text-to-image models, as a library and a command.

What lives in which room stands in README.md, under "The code"; which room may import which, in
pyproject.toml's layers.
"""

__version__ = "0.1.0"
