"""Settings of every test process."""

import logging

import torch

# The networks of the tests are so small that a second thread costs more than it brings, and on a
# busy machine many times more.
torch.set_num_threads(1)

# diffusers notes each conversion of a network built by hand; nothing here depends on it.
logging.getLogger("diffusers.models.modeling_utils").setLevel(logging.ERROR)
