"""Export Dataset in a real ComfyUI: what it writes can be chosen as a dataset again."""

import os

import pytest
from random_stack import draw_demo_dataset
from running_host import error_of

from scoft_training.data import dataset_digest, read_dataset

pytestmark = [pytest.mark.host, pytest.mark.slow]


def exporting(name):
    return {
        "1": {"class_type": "ScoftLoadDataset", "inputs": {"dataset": "handed"}},
        "2": {"class_type": "ScoftExportDataset", "inputs": {"dataset": ["1", 0], "name": name}},
    }


def test_a_set_goes_out_and_comes_in_the_same(host):
    root = host.folder / "input" / "handed"
    draw_demo_dataset(root, num_pictures=3, negatives=1)
    exports = host.folder / "output" / "scoft" / "exports"
    for name, written in (("한국/../my set.", "한국_.._my set"), ("한국/../my set. ", None)):
        ended = host.wait(host.queue(exporting(name)))
        assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
        if written:
            assert os.listdir(exports) == [written]
            again = read_dataset(exports / written)
            assert dataset_digest(again) == dataset_digest(read_dataset(root))
            assert (exports / written / "README.md").is_file()
    assert sorted(os.listdir(exports)) == ["한국_.._my set", "한국_.._my set_2"]


def test_a_name_of_dots_is_refused(host):
    ended = host.wait(host.queue(exporting(" ../. ")))
    assert "is no folder's name" in error_of(ended)
