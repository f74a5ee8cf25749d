"""Settings of every test process."""

import logging
import shutil
from unittest import mock

import pytest
import torch

# The networks of the tests are so small that a second thread costs more than it brings, and on a
# busy machine many times more.
torch.set_num_threads(1)

# diffusers notes each conversion of a network built by hand; nothing here depends on it.
logging.getLogger("diffusers.models.modeling_utils").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def small_registry():
    """The small base and backbone by name, for one module; the registries are put back after it."""
    from stack import register_small

    from scoft_training import backbones, models

    with mock.patch.dict(backbones._REGISTRY), mock.patch.dict(models._BASES):
        register_small()
        yield


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A running ComfyUI with the pack, for one module; `elsewhere` may hold datasets, too."""
    from running_host import running_host

    folder = tmp_path_factory.mktemp("comfyui")
    paths = folder / "paths.yaml"
    (folder / "elsewhere").mkdir()
    paths.write_text(f"mine:\n  scoft_datasets: {folder / 'elsewhere'}\n")
    with running_host(folder, "--extra-model-paths-config", str(paths)) as started:
        yield started


@pytest.fixture(scope="module")
def browser():
    """A Chromium, for one module: while it is open, the thread runs an event loop."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("playwright is not installed: pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(names)} is installed: no browser to test in")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()
