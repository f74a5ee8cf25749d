"""Captions: drawn by a function of seed and picture, judged, kept, and never over a person's."""

import contextlib
import dataclasses
import json

import pytest
import torch
from small_blip import WORDS, write_blip
from stack import CPU, write_demo

from scoft_training.captioners import load_captioner
from scoft_training.captioning import CAPTIONS_BY, caption_rows, clean_caption
from scoft_training.config import CaptionConfig
from scoft_training.data import read_dataset
from scoft_training.errors import ConfigError, DatasetError, NotEnoughMemoryError
from scoft_training.events import CaptionEvent, PhaseEvent, StopRequested, WarningEvent, to_json
from scoft_training.options import options, validate
from scoft_training.overlays import (
    OVERLAYS,
    Overlay,
    read_overlays,
    read_statements,
    write_overlays,
)

SHORT = CaptionConfig(captions_per_picture=3, max_new_tokens=7, min_new_tokens=3)


@pytest.fixture(scope="module")
def blip_folder(tmp_path_factory):
    return write_blip(tmp_path_factory.mktemp("weights") / "blip")


@pytest.fixture(scope="module")
def blip(blip_folder):
    return load_captioner(weights=blip_folder, allow_download=False)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return read_dataset(write_demo(tmp_path_factory.mktemp("captioning") / "set")).rows[:4]


class Scripted:
    """Says what it is told, one list a round, and counts who asks."""

    name = "scripted"
    digest = "scripted"

    def __init__(self, *rounds):
        self.rounds = list(rounds)
        self.looks = 0
        self.blocks = []

    def on(self, device, dtype):
        @contextlib.contextmanager
        def block():
            self.blocks.append("in")
            yield
            self.blocks.append("out")

        return block()

    def look(self, image):
        assert image.mode == "RGB"
        self.looks += 1

    def draw(self, seen, generators, config):
        said = self.rounds.pop(0)
        if isinstance(said, Exception):
            raise said
        assert len(said) == len(generators)
        return said


def run(rows, captioner, work, config=SHORT, **settings):
    settings = {"device": CPU, "dtype": torch.float32, **settings}
    return list(caption_rows(rows, config, captioner, work=work, **settings))


def drawn(events):
    return {event.row: event.captions for event in events if isinstance(event, CaptionEvent)}


def warnings(events):
    return [event.message for event in events if isinstance(event, WarningEvent)]


def of_row(work, row):
    return read_overlays(work)[row.sha256].generic_captions


# BLIP


def test_captions_are_a_function_of_seed_and_picture(blip, rows, tmp_path):
    torch.manual_seed(1)
    first = drawn(run(rows, blip, tmp_path / "a"))
    torch.manual_seed(2)
    assert drawn(run(rows[::-1], blip, tmp_path / "b")) == first
    assert drawn(run(rows[2:3], blip, tmp_path / "c")) == {3: first[3]}
    assert len(set(first.values())) == len(rows)
    for captions in first.values():
        assert len(captions) >= 3
        assert all(set(caption.split()) <= set(WORDS.split()) for caption in captions)
    other = dataclasses.replace(SHORT, seed=1)
    assert drawn(run(rows, blip, tmp_path / "a", other)) != first


def test_neither_loading_nor_drawing_touches_global_random_state(blip_folder, rows, tmp_path):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    run(rows[:1], load_captioner(weights=blip_folder, allow_download=False), tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_run_in_fewer_bits_leaves_the_network_as_it_was(blip, rows, tmp_path):
    before = {key: tensor.clone() for key, tensor in blip._network.state_dict().items()}
    few = drawn(run(rows[:2], blip, tmp_path, dtype=torch.bfloat16))
    assert len(few) == 2
    after = blip._network.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert len(list((tmp_path / "captions").iterdir())) == 1
    run(rows[:1], blip, tmp_path)
    assert len(list((tmp_path / "captions").iterdir())) == 2


def test_what_is_there_is_not_drawn_again(blip, rows, tmp_path, monkeypatch):
    first = run(rows, blip, tmp_path)
    lines = (tmp_path / OVERLAYS).read_bytes()
    monkeypatch.setattr(blip, "on", None)
    monkeypatch.setattr(blip, "look", None)
    assert run(rows, blip, tmp_path) == first
    assert (tmp_path / OVERLAYS).read_bytes() == lines


def test_a_stopped_run_goes_on_and_ends_alike(blip, rows, tmp_path, monkeypatch):
    whole = drawn(run(rows, blip, tmp_path / "whole"))
    seen = []

    def check_stop():
        if len(seen) == 2:
            raise StopRequested

    look = blip.look
    monkeypatch.setattr(blip, "look", lambda image: seen.append(1) or look(image))
    with pytest.raises(StopRequested):
        run(rows, blip, tmp_path / "cut", check_stop=check_stop)
    assert len(list((tmp_path / "cut" / "captions").glob("*/*.json"))) == 1
    seen.clear()
    assert drawn(run(rows, blip, tmp_path / "cut")) == whole
    assert len(seen) == len(rows) - 1
    for row in rows:
        assert of_row(tmp_path / "cut", row) == of_row(tmp_path / "whole", row)


# Judging and keeping


def test_duplicates_are_drawn_again_and_only_different_captions_count(rows, tmp_path):
    captioner = Scripted(
        ["a bowl on a table", "A bowl on a table.", "a red bowl"],
        ["a red bowl", "", "two spoons near a bowl"],
    )
    events = run(rows[:1], captioner, tmp_path)
    captions = ("a bowl on a table", "a red bowl", "two spoons near a bowl")
    assert events == [
        PhaseEvent("captions of pictures", 0, 1),
        CaptionEvent(1, captions, ((), (), ())),
        PhaseEvent("captions of pictures", 1, 1),
    ]
    assert of_row(tmp_path, rows[0]) == captions
    assert to_json(events[1])["event"] == "caption"
    assert (captioner.looks, captioner.blocks) == (1, ["in", "out"])


def test_redraws_end_and_fewer_captions_are_used(rows, tmp_path):
    captioner = Scripted(*[["the same bowl"] * 3] * 4)
    run(rows[:1], captioner, tmp_path)
    assert captioner.rounds == []
    assert of_row(tmp_path, rows[0]) == ("the same bowl",)
    # The bound holds for the picture, not for the run.
    run(rows[:1], Scripted(), tmp_path)


def test_flagged_captions_are_kept_but_not_used(rows, tmp_path):
    captioner = Scripted(
        ["a korean bowl", "a bowl of soup", "soup soup soup soup"],
        ["a Tuvan yurt", "a white tent", "a long long story about a tent"],
        ["a tent by a lake", "a tent", "tents"],
    )
    events = run(
        rows[:1],
        captioner,
        tmp_path,
        cultures=["Tuvan"],
        count_tokens=lambda text: 78 if text.startswith("a long") else 77,
    )
    (event,) = [event for event in events if isinstance(event, CaptionEvent)]
    assert dict(zip(event.captions, event.flags, strict=True)) == {
        "a korean bowl": ("names-a-culture",),
        "a bowl of soup": (),
        "soup soup soup soup": ("degenerate-caption",),
        "a Tuvan yurt": ("names-a-culture",),
        "a white tent": (),
        "a long long story about a tent": ("too-long",),
        "a tent by a lake": (),
        "a tent": (),
        "tents": ("degenerate-caption",),
    }
    assert of_row(tmp_path, rows[0]) == ("a bowl of soup", "a white tent", "a tent by a lake")
    assert warnings(events) == []
    (path,) = (tmp_path / "captions").glob("*/*.json")
    stored = json.loads(path.read_text())
    assert stored["captions"][0] == {"text": "a korean bowl", "flags": ["names-a-culture"]}


def test_a_rows_own_culture_counts(rows, tmp_path):
    row = dataclasses.replace(rows[0], culture="Tuvan")
    config = CaptionConfig(captions_per_picture=1)
    run([row], Scripted(["a Tuvan tent"], ["a tent by a lake"]), tmp_path, config)
    assert of_row(tmp_path, row) == ("a tent by a lake",)


def test_drawing_goes_on_where_a_culture_was_learned_of_later(rows, tmp_path):
    config = CaptionConfig(captions_per_picture=1)
    run(rows[:1], Scripted(["a Tuvan tent"]), tmp_path, config)
    assert of_row(tmp_path, rows[0]) == ("a Tuvan tent",)
    run(rows[:1], Scripted(["a tent by a lake"]), tmp_path, config, cultures=["Tuvan"])
    assert of_row(tmp_path, rows[0]) == ("a tent by a lake",)
    assert len(read_statements(tmp_path)) == 1


def test_flagged_captions_are_used_if_nothing_else_is_left(rows, tmp_path):
    captioner = Scripted(*[["a korean bowl", "korean soup in a bowl", "soup"]] * 4)
    events = run(rows[1:2], captioner, tmp_path)
    (message,) = warnings(events)
    assert message.startswith("metadata.jsonl, row 2: the captioner wrote no plain caption for")
    assert "(degenerate-caption, names-a-culture)" in message
    assert of_row(tmp_path, rows[1]) == ("a korean bowl", "korean soup in a bowl", "soup")


def test_a_silent_captioner_is_reported_and_nothing_is_stated(rows, tmp_path):
    events = run(rows[:1], Scripted(*[["", " ", "\n"]] * 4), tmp_path)
    (message,) = warnings(events)
    assert "row 1: the captioner wrote nothing for" in message
    assert read_overlays(tmp_path) == {}


def test_who_when_and_why_are_stated_and_the_dataset_is_left_alone(rows, tmp_path):
    split = rows[0].image_path.parent.parent
    before = sorted((path, path.stat().st_mtime_ns) for path in split.rglob("*"))
    run(rows[:1], Scripted(["one bowl", "two bowls", "three bowls"]), tmp_path)
    (statement,) = read_statements(tmp_path)
    assert (statement.by, statement.why) == ("scoft caption", "generic captions")
    assert statement.at.startswith("20")
    assert sorted((path, path.stat().st_mtime_ns) for path in split.rglob("*")) == before


def test_what_a_person_stated_stays(rows, tmp_path):
    run(rows[:1], Scripted(["one bowl", "two bowls", "three bowls"]), tmp_path)
    mine = Overlay(
        sha256=rows[0].sha256,
        by="Kim",
        at="2026-03-31",
        why="better",
        generic_captions=("a brass bowl",),
    )
    write_overlays(tmp_path, [mine])
    other = dataclasses.replace(SHORT, seed=1)
    events = run(rows[:1], Scripted(["a cup", "a red cup", "a blue cup"]), tmp_path, other)
    (message,) = warnings(events)
    assert "row 1: the generic captions stated by Kim in the work folder stay" in message
    assert of_row(tmp_path, rows[0]) == ("a brass bowl",)


def test_new_settings_replace_the_captions_of_old_ones(rows, tmp_path):
    run(rows[:1], Scripted(["one bowl", "two bowls", "three bowls"]), tmp_path)
    write_overlays(
        tmp_path,
        [Overlay(sha256=rows[0].sha256, by="Kim", at="2026-03-31", why="x", era="modern")],
    )
    other = dataclasses.replace(SHORT, seed=1)
    run(rows[:1], Scripted(["a cup", "a red cup", "a blue cup"]), tmp_path, other)
    held = read_overlays(tmp_path)[rows[0].sha256]
    assert held.generic_captions == ("a cup", "a red cup", "a blue cup")
    assert held.era == "modern"
    assert [one.by for one in read_statements(tmp_path)] == ["Kim", CAPTIONS_BY]


def test_a_damaged_file_of_captions_is_drawn_anew(rows, tmp_path):
    said = ["one bowl", "two bowls", "three bowls"]
    run(rows[:1], Scripted(said), tmp_path)
    (path,) = (tmp_path / "captions").glob("*/*.json")
    for damaged in ("{", "[]", '{"rounds": 1, "captions": ["x"]}'):
        path.write_text(damaged)
        run(rows[:1], Scripted(said), tmp_path)
        assert json.loads(path.read_text())["rounds"] == 1


def test_a_broken_rows_file_is_told_before_the_work(rows, tmp_path):
    (tmp_path / OVERLAYS).write_text("{\n")
    captioner = Scripted()
    with pytest.raises(DatasetError, match=r"rows\.jsonl, row 1: this is not valid JSON"):
        run(rows[:1], captioner, tmp_path)
    assert captioner.looks == 0


def test_running_out_of_memory_is_a_sentence_and_keeps_what_was_done(rows, tmp_path):
    captioner = Scripted(["one bowl", "two bowls", "three bowls"], torch.OutOfMemoryError("full"))
    with pytest.raises(NotEnoughMemoryError, match="Lower `captions_per_picture`"):
        run(rows[:2], captioner, tmp_path)
    assert len(list((tmp_path / "captions").glob("*/*.json"))) == 1


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("  a bowl\non a table ", "a bowl"),
        ("a man ' s hat , on a t - shirt", "a man's hat, on a t-shirt"),
        ("arafed man in a red hat", "man in a red hat"),
        ("there is an arafed man", "there is a man"),
        ("a arafed old house and two araffed dogs", "an old house and two dogs"),
        ("a giraffe near arafat hill", "a giraffe near arafat hill"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_captions_are_cleaned(text, caption):
    assert clean_caption(text) == caption


def test_an_invented_noun_is_flagged(rows, tmp_path):
    config = CaptionConfig(captions_per_picture=1)
    run(rows[:1], Scripted(["araffe sitting on a bench"], ["a man on a bench"]), tmp_path, config)
    assert of_row(tmp_path, rows[0]) == ("a man on a bench",)


def test_options_are_checked(rows, tmp_path):
    validate(CaptionConfig())
    for option in options(CaptionConfig):
        assert option.help.endswith((".", ")")), option.name
        assert option.kind is str or (option.minimum is not None and option.maximum is not None)
    with pytest.raises(ConfigError, match="`top_p` must be between 0.01 and 1.0 but got 0.0"):
        run(rows, Scripted(), tmp_path, CaptionConfig(top_p=0.0))
    with pytest.raises(ConfigError, match="`min_new_tokens` must not be above .* got 9 and 8"):
        validate(CaptionConfig(min_new_tokens=9, max_new_tokens=8))
