"""One captioning in a process of its own, which a test kills; see test_caption_kills.py.

Each drawing is noted before its picture's file is written, and each finished picture after it.
"""

import os
import sys
import time
from pathlib import Path

import torch

from scoft_training import captioning
from scoft_training.captioners import load_captioner
from scoft_training.captioning import caption_rows
from scoft_training.config import CaptionConfig
from scoft_training.data import read_dataset
from scoft_training.events import CaptionEvent

CONFIG = CaptionConfig(captions_per_picture=3, max_new_tokens=7, min_new_tokens=3)


def note(log, *words):
    # One write, so that a kill leaves a whole line or none.
    os.write(log, (" ".join(map(str, words)) + "\n").encode())


def main(dataset, weights, work, log_path, seconds):
    torch.set_num_threads(1)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    captioner = load_captioner(weights=weights, allow_download=False)
    rows = read_dataset(dataset).rows
    names = {row.sha256: row.number for row in rows}
    rounds = captioning._Scribe.rounds

    def noted(self, row, first):
        for number, texts in enumerate(rounds(self, row, first), start=first):
            note(log, "drawn", names[row.sha256], number)
            time.sleep(seconds)
            yield texts

    captioning._Scribe.rounds = noted
    note(log, "started")
    for event in caption_rows(
        rows, CONFIG, captioner, work=work, device=torch.device("cpu"), dtype=torch.float32
    ):
        if isinstance(event, CaptionEvent):
            note(log, "done", event.row)
    note(log, "finished")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]), float(sys.argv[5]))
