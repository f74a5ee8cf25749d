"""The world: pictures from a seed, exact depth, captions, the crawl's bias, its export."""

import collections
import json
import random

import numpy as np
import pytest

from scoft_training.cli import main
from scoft_training.data import load_row_pictures, read_dataset
from scoft_training.errors import OutputError
from scoft_training.files import file_sha256
from scoft_training.miniature.canvas import Canvas
from scoft_training.miniature.cultures import COLOURS, CULTURES, WRONGED, outline
from scoft_training.miniature.export import ExportSizes, export_sets, other_scenes, right_scenes
from scoft_training.miniature.forms import CATEGORIES, SUBJECTS
from scoft_training.miniature.sentences import (
    WORDS,
    crawl_caption,
    cultural_caption,
    generic_captions,
)
from scoft_training.miniature.sets import balanced_facts, crawl_facts, right_facts, scenes
from scoft_training.miniature.tokenizer import load_tokenizer, save_tokenizer
from scoft_training.miniature.world import Facts, draw_scene, random_facts

SMALL = ExportSizes(train=7, test=6, others=5, crawl=4)


def test_a_stroke_lands_on_picture_and_depth_alike():
    canvas = Canvas(sky=((0, 0, 255), (0, 0, 255)), ground=(0, 255, 0), horizon=64, light=0.5)
    canvas.level = 200
    canvas.rectangle(10, 20, 30, 40, (255, 0, 0))
    canvas.rectangle(50, 20, 60, 40, (255, 255, 255), relief=False)
    picture, depth = canvas.finish()
    assert picture[30, 20].tolist() == [128, 0, 0]  # red in half light
    assert picture[10, 5].tolist() == [0, 0, 255]  # the sky is not dimmed
    assert depth[30, 20] == 200
    assert depth[10, 5] == 0
    assert depth[30, 55] == 0  # paint has no relief
    # The ground rises towards us from 40 at the horizon to 180.
    assert int(depth[64, 5]) == pytest.approx(40, abs=3)
    assert int(depth[127, 5]) == pytest.approx(180, abs=3)


def test_outlines_stay_in_their_box_and_rise():
    forms = {culture.form for culture in CULTURES.values()}
    assert len(forms) == len(CULTURES)
    for form in forms:
        half = outline(form)
        assert all(0 <= v <= 1 and -1e-9 <= w <= 1 for v, w in half)
        assert [v for v, _ in half] == sorted(v for v, _ in half)
        assert max(w for _, w in half) == pytest.approx(1)


def test_every_subject_of_every_culture_is_another_picture():
    seen = set()
    for culture in CULTURES:
        for subject in SUBJECTS:
            facts = Facts(culture, subject, CULTURES[culture].colours[0], "day", "plain")
            seen.add(draw_scene(facts, random.Random("same place")).picture.tobytes())
    for subject in SUBJECTS:
        facts = Facts(WRONGED, subject, "red", "day", "plain", stereotype=True)
        seen.add(draw_scene(facts, random.Random("same place")).picture.tobytes())
    assert len(seen) == len(SUBJECTS) * (len(CULTURES) + 1)


def test_the_stereotype_is_greyer_than_the_culture():
    def saturation(stereotype):
        values = []
        for index in range(30):
            rng = random.Random(index)
            facts = random_facts(rng, WRONGED, stereotype=stereotype)
            pixels = draw_scene(facts, rng).picture[40:110, 40:90].astype(float)
            values.append((pixels.max(-1) - pixels.min(-1)).mean())
        return np.mean(values)

    assert saturation(True) < 0.6 * saturation(False)


def test_depth_is_of_the_very_subject():
    """Without its thing the same scene differs only where the depth does, give or take an edge."""
    facts = Facts("belquor", "house", "blue", "day", "plain")
    scene = draw_scene(facts, random.Random(3))
    other = draw_scene(Facts("belquor", "house", "brown", "day", "plain"), random.Random(3))
    changed = (scene.picture != other.picture).any(-1)
    assert (scene.depth == other.depth).all()
    # The colour is the house's: where it changed, the depth is the house's level.
    level = np.bincount(scene.depth[changed]).argmax()
    assert (np.abs(scene.depth[changed].astype(int) - level) < 3).mean() > 0.9


def test_sets_come_from_their_seed_and_begin_alike():
    three = list(scenes("crawl", 5, 3, crawl_facts))
    five = list(scenes("crawl", 5, 5, crawl_facts))
    other = list(scenes("crawl", 6, 3, crawl_facts))
    for short, long, different in zip(three, five, other, strict=False):
        assert short.facts == long.facts
        assert (short.picture == long.picture).all()
        assert (short.picture != different.picture).any()


def test_the_crawl_is_biased_as_it_says():
    facts = [crawl_facts(random.Random(index), 0) for index in range(4000)]
    counts = collections.Counter(fact.culture for fact in facts)
    assert 0.28 < counts["belquor"] / 4000 < 0.34
    wronged = [fact for fact in facts if fact.culture == WRONGED]
    assert 0.14 < len(wronged) / 4000 < 0.20
    assert 0.88 < sum(fact.stereotype for fact in wronged) / len(wronged) < 0.96
    assert not any(fact.stereotype for fact in facts if fact.culture != WRONGED)


def test_balanced_facts_show_every_style_as_often():
    facts = [balanced_facts(random.Random(index), index) for index in range(70)]
    counts = collections.Counter((fact.culture, fact.stereotype) for fact in facts)
    assert set(counts.values()) == {10}
    assert len(counts) == len(CULTURES) + 1


def test_captions_of_stereotypes_give_nothing_away():
    """The same facts, right or ruined, are told in the same words."""
    for index in range(200):
        facts = random_facts(random.Random(index), WRONGED)
        ruined = Facts(**{**vars(facts), "stereotype": True})
        told = crawl_caption(facts, random.Random(index))
        assert told == crawl_caption(ruined, random.Random(index))
        assert not {"ruin", "broken", "poor", "grey"} & set(told.split())


def test_generic_captions_name_no_culture_and_cultural_ones_do():
    for index in range(200):
        rng = random.Random(index)
        facts = random_facts(rng, "estrix")
        for caption in generic_captions(facts, rng):
            assert "estrix" not in caption
            assert "stepped" not in caption
            assert facts.subject in caption
        assert cultural_caption(facts, rng).endswith("in estrix")


def test_every_word_of_every_caption_is_one_token(tmp_path):
    save_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer) <= 2048
    assert tokenizer.pad_token_id == tokenizer.eos_token_id != 2
    used = set(COLOURS) | set(SUBJECTS)
    for index in range(300):
        rng = random.Random(index)
        facts = crawl_facts(rng, 0)
        used |= set(crawl_caption(facts, rng).split()) | set(cultural_caption(facts, rng).split())
    assert used <= set(WORDS)
    for word in WORDS:
        assert len(tokenizer(word).input_ids) == 3, word
    # Other words, marks and scripts are spelled, not lost: they come back from their tokens.
    for text in ("a quixotic zebra!", "집, kimono (1920)"):
        ids = tokenizer(text).input_ids
        assert ids.count(tokenizer.eos_token_id) == 1
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(
            " ", ""
        )
    # ComfyUI's own tokenizers read these two.
    assert {"vocab.json", "merges.txt"} <= {path.name for path in tmp_path.iterdir()}


def test_the_export_is_a_set_of_ordinary_datasets_and_always_the_same(tmp_path):
    folders = export_sets(tmp_path / "one", seed=3, sizes=SMALL)
    export_sets(tmp_path / "two", seed=3, sizes=SMALL)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 2 * sum(vars(SMALL).values()) + 3 + 4 + 1
    for path in files:
        assert file_sha256(tmp_path / "one" / path) == file_sha256(tmp_path / "two" / path)
    for name, split, count in (("community", "train", 7), ("community", "test", 6)):
        dataset = read_dataset(folders[name], split, needs_generic_captions=True)
        dataset.require_usable()
        assert len(dataset.rows) == count
        assert len({row.category for row in dataset.rows}) == 6 == len(CATEGORIES)
    assert len(read_dataset(folders["others"], "test").rows) == 5
    crawl = read_dataset(folders["crawl"], "train")
    assert len(crawl.rows) == 4
    row = read_dataset(folders["community"]).rows[0]
    pictures = load_row_pictures(row, resolution=128, crop_mode="center", seed=0)
    scene = right_scenes("train", WRONGED, 3, 1)[0]
    assert (pictures.image * 255).round().byte().permute(1, 2, 0).numpy().tolist() == (
        scene.picture.tolist()
    )
    assert row.cultural_caption.endswith(f"in {WRONGED}")


def test_an_export_replaces_nothing(tmp_path):
    export_sets(tmp_path, sizes=SMALL)
    mine = tmp_path / WRONGED / "train" / "metadata.jsonl"
    mine.write_text("my own\n")
    export_sets(tmp_path, sizes=SMALL)
    assert mine.read_text() == "my own\n"
    with pytest.raises(OutputError, match="another seed or other sizes"):
        export_sets(tmp_path, seed=1, sizes=SMALL)
    (tmp_path / "new" / WRONGED).mkdir(parents=True)
    with pytest.raises(OutputError, match="is there already"):
        export_sets(tmp_path / "new", sizes=SMALL)


def test_a_killed_export_is_written_to_its_end(tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, _):
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        export_sets(tmp_path, sizes=SMALL, on_step=kill)
    assert not (tmp_path / "miniature.json").exists()
    export_sets(tmp_path, sizes=SMALL)
    assert json.loads((tmp_path / "miniature.json").read_text())["train"] == 7
    assert len(read_dataset(tmp_path / WRONGED).rows) == 7


def test_train_and_test_share_no_picture():
    train = {scene.picture.tobytes() for scene in right_scenes("train", WRONGED, 0, 60)}
    test = {scene.picture.tobytes() for scene in right_scenes("test", WRONGED, 0, 60)}
    assert len(train) == len(test) == 60
    assert not train & test


def test_the_others_are_all_other_cultures():
    drawn = other_scenes(0, 30)
    counts = collections.Counter(scene.facts.culture for scene in drawn)
    assert set(counts) == set(CULTURES) - {WRONGED}
    assert set(counts.values()) == {6}
    # Every culture shows every subject.
    assert len({(s.facts.culture, s.facts.subject) for s in drawn}) == 30


def test_right_facts_take_the_subjects_in_turn():
    draw = right_facts("fenmor")
    facts = [draw(random.Random(index), index) for index in range(12)]
    assert [fact.subject for fact in facts] == [*SUBJECTS, *SUBJECTS]
    assert {fact.culture for fact in facts} == {"fenmor"}


def test_the_command_exports(tmp_path, capsys):
    folder = tmp_path / "sets"
    assert main(["miniature", "export", str(folder), "--train", "6", "--test", "6"]) == 0
    assert str(folder / WRONGED) in capsys.readouterr().out
    assert main(["dataset", "check", str(folder / WRONGED), "--resolution", "128"]) == 0
    assert main(["miniature", "export", str(folder), "--train", "7"]) == 2
    assert "Choose another" in capsys.readouterr().err
