"""A grid scored from its files to metrics.json, with the miniature's own networks."""

import dataclasses
import gc
import json
import shutil
import weakref

import pytest
from scored_grid import SIZES, make_dataset, make_grid

from scoft_training import scoring
from scoft_training.config import ScoreConfig
from scoft_training.errors import ConfigError, DatasetError
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent, WarningEvent
from scoft_training.metric_network_interface import MetricNetwork
from scoft_training.miniature.loading import register
from scoft_training.score_records import read_scores
from scoft_training.scoring import FolderRequest, ScoreRequest, score_folder, score_grid

register()

JUDGE = ScoreConfig(
    kid_network="miniature_judge",
    clip_network="none",
    similarity_networks="miniature_judge",
    diversity_network="miniature_judge",
)


def finished(events):
    """Run to the end; returns what came and what is returned."""
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


def score(folder, dataset, *, should_stop=lambda: False, **options):
    config = dataclasses.replace(
        JUDGE, **{k: v for k, v in options.items() if hasattr(JUDGE, k) and k != "features"}
    )
    others = {k: v for k, v in options.items() if not hasattr(JUDGE, k)}
    request = ScoreRequest(
        **{"grid": folder, "dataset": dataset, "work": folder.parent / "work"} | others,
        config=config,
    )
    return finished(score_grid(request, should_stop=should_stop))


WRITE_REPORT = scoring.write_report


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    """Leave out the page, which takes longer than everything else and has its own tests."""
    monkeypatch.setattr(scoring, "write_report", lambda scores, grid, folder: folder / "no.html")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    dataset = make_dataset(folder / "sets")
    make_grid(folder / "grid", dataset)
    return folder / "grid", dataset


@pytest.fixture
def grid(made, tmp_path):
    """The grid's folder, a copy, and its dataset, which nothing writes to."""
    shutil.copytree(made[0], tmp_path / "grid")
    return tmp_path / "grid", made[1]


def numbers(value, path=""):
    """Every number of a JSON value by its place."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from numbers(one, f"{path}.{key}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from numbers(one, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def test_a_grid_gets_its_three_answers_and_a_report(grid, monkeypatch):
    monkeypatch.setattr(scoring, "write_report", WRITE_REPORT)
    folder, dataset = grid
    before = sorted(path.relative_to(dataset) for path in dataset.rglob("*"))

    events, scores = score(folder, dataset)

    assert read_scores(folder / "metrics.json") == scores
    assert events[-1] == FinishedEvent(0, str(folder / "report.html"))
    assert (folder / "report.html").is_file()
    base, half, most = scores.models
    assert [model.model.name for model in scores.models] == ["base", "step 100", "step 200"]
    # The more of a training picture a drawing holds, the more it copies and the less it varies.
    assert base.copies.value < half.copies.value < most.copies.value
    assert most.copies.value > 0.98
    assert most.get("diversity_train").value < half.get("diversity_train").value
    # Drawings for held-out captions hold as much of their pictures.
    assert base.knows.value > half.knows.value > most.knows.value
    # Neutral prompts are drawn alike by all.
    assert base.forgot.value == half.forgot.value
    assert [value.key for value in base.metrics] == [
        "kid_reference",
        "kid_general",
        "similarity_miniature_judge",
        "diversity_train",
        "diversity_test",
        "vendi_train",
        "vendi_test",
        "vendi_all",
    ]
    assert scores.suggestion.step == 200
    assert {one.model for one in scores.nearest} == {"base", "step 100", "step 200"}
    assert all(one.own for one in scores.nearest if one.model == "step 200")
    assert (folder / scores.nearest[0].training_file).resolve().is_file()
    assert sorted(path.relative_to(dataset) for path in dataset.rglob("*")) == before


def test_what_was_measured_with_what_is_written_down(grid):
    folder, dataset = grid

    events, scores = score(folder, dataset, kid_subset_size=4, kid_subsets=3)

    assert scores.settings["kid_subset_size"] == 4
    assert scores.picture_sets["reference"]["pictures"] == SIZES.test
    assert scores.picture_sets["training"]["source"] == "train split of avelun"
    assert scores.picture_sets["general"]["pictures"] == 5
    assert scores.picture_sets["step 200 / test"]["pictures"] == 12
    assert len(scores.networks["miniature_judge"]) == 64
    assert {"scoft", "torch", "pillow"} <= set(scores.versions)
    assert scores.drawing == {"resolution": 128}
    captions = [scores.prompts[index] for index in scores.models[0].copies.prompts]
    assert [(one.role, one.seeds) for one in captions] == [("train", (0, 1, 2))] * 4
    assert any("centre enters, as in training" in text for text in scores.conventions)
    assert any("mean of 3 subsets of 4 pictures" in text for text in scores.conventions)
    assert len(set(scores.conventions)) == len(scores.conventions)
    # Each network is described once, not behind each of its measures.
    assert sum("miniature_judge:" in text for text in scores.conventions) == 1
    told = [event.message for event in events if isinstance(event, WarningEvent)]
    assert told == list(scores.warnings)
    # Where the user keeps things is nobody's business who reads the file.
    assert str(folder.parent) not in (folder / "metrics.json").read_text(encoding="utf-8")


def test_the_miniatures_own_clip_scores_drawings_against_their_captions(grid):
    folder, dataset = grid

    _, scores = score(
        folder, dataset, kid_network="none", clip_network="miniature_clip", diversity_network="none"
    )

    base, _, most = (model.get("clip_score") for model in scores.models)
    assert most.value > base.value + 0.3
    assert most.forms["100 x"] == pytest.approx(40 * most.forms["2.5 x"], rel=0.05)
    assert len(most.per_caption) == SIZES.test
    (difference,) = (
        one for one in scores.differences if (one.model, one.key) == ("step 200", "clip_score")
    )
    assert difference.low > 0


def test_order_of_files_and_batch_size_change_nothing(grid, tmp_path):
    folder, dataset = grid
    moved = tmp_path / "elsewhere" / "set"
    shutil.copytree(dataset, moved)
    for split in ("train", "test"):
        table = moved / split / "metadata.jsonl"
        rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
        for number, row in enumerate(rows):
            name = f"images/{len(rows) - number}.png"
            (moved / split / row["file_name"]).rename(moved / split / name)
            row["file_name"] = name
        text = "".join(json.dumps(row) + "\n" for row in reversed(rows))
        table.write_text(text, encoding="utf-8")
    shutil.copytree(folder, tmp_path / "other" / "grid")
    other = tmp_path / "other" / "grid"
    lines = (other / "pictures.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (other / "pictures.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
    options = {"kid_subset_size": 4, "fid": True}

    score(folder, dataset, batch_size=16, **options)
    score(other, moved, batch_size=3, **options)

    found = [
        dict(numbers(json.loads((place / "metrics.json").read_text(encoding="utf-8"))))
        for place in (folder, other)
    ]
    for values in found:
        assert values.pop(".settings.batch_size")
    assert len(found[0]) > 100
    assert found[1] == pytest.approx(found[0], rel=1e-5, abs=1e-5)


def test_nothing_goes_through_a_network_twice(grid, monkeypatch):
    folder, dataset = grid
    _, first = score(folder, dataset)

    def refused(self, prepared):
        raise AssertionError("computed again")

    monkeypatch.setattr(MetricNetwork, "embed_prepared", refused)
    _, second = score(folder, dataset)

    assert second == first


def test_stopped_scoring_goes_on_with_what_it_has(grid, monkeypatch):
    folder, dataset = grid
    asked = 0

    def stop_soon():
        nonlocal asked
        asked += 1
        return asked > 40

    events, scores = score(folder, dataset, should_stop=stop_soon, batch_size=4)

    assert scores is None
    assert isinstance(events[-1], StoppedEvent)
    assert not (folder / "metrics.json").exists()
    events, scores = score(folder, dataset, batch_size=4)
    assert scores is not None
    begun = next(
        event.done
        for event in events
        if isinstance(event, PhaseEvent) and "pictures under" in event.phase and event.done
    )
    assert begun >= 16


def test_scoring_is_stopped_also_while_pictures_are_compared(grid):
    folder, dataset = grid
    request = ScoreRequest(grid=folder, dataset=dataset, work=folder.parent / "work", config=JUDGE)
    seen = []

    def comparing():
        return any("compare" in event.phase for event in seen if isinstance(event, PhaseEvent))

    for event in score_grid(request, should_stop=comparing):
        seen.append(event)

    # KID is the first of three: the others were not begun.
    assert seen[-2] == PhaseEvent("compare under miniature_judge", 0, 3)
    assert isinstance(seen[-1], StoppedEvent)
    assert not (folder / "metrics.json").exists()


def test_networks_are_held_one_at_a_time(grid, monkeypatch):
    folder, dataset = grid
    load, held, alive = scoring.load_metric_network, [], []

    def counted(name, **options):
        gc.collect()
        alive.append(sum(one() is not None for one in held))
        network = load(name, **options)
        held.append(weakref.ref(network))
        return network

    monkeypatch.setattr(scoring, "load_metric_network", counted)
    score(folder, dataset, similarity_networks="miniature_clip,miniature_judge")

    # The judge is loaded once, for three purposes.
    assert alive == [0, 0]


def test_an_unreadable_picture_is_named_and_left_out_only_if_told(grid):
    folder, dataset = grid
    damaged = folder / "pictures" / "step-100" / "0001-seed1.png"
    damaged.write_bytes(damaged.read_bytes()[:300])

    with pytest.raises(DatasetError, match="0001-seed1.png"):
        score(folder, dataset)
    assert not (folder / "metrics.json").exists()

    _, scores = score(folder, dataset, skip_unreadable=True)
    assert any("0001-seed1.png" in warning for warning in scores.warnings)
    # Two of three seeds are left for each caption, for every model.
    assert [model.copies.pictures for model in scores.models] == [8, 8, 8]


def test_a_network_that_is_not_there_costs_only_its_own_metric(grid, tmp_path, monkeypatch):
    folder, dataset = grid
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    events, scores = score(
        folder,
        dataset,
        similarity_networks="dreamsim_vitb32,miniature_judge",
        allow_download=False,
    )

    assert scores.models[0].copies.network == "miniature_judge"
    assert scores.absent_networks == ("dreamsim_vitb32",)
    (warning,) = (one for one in scores.warnings if one.startswith("Not measured: DreamSim"))
    assert "https://" in warning
    assert str(tmp_path / "models") in warning
    assert warning in [event.message for event in events if isinstance(event, WarningEvent)]


def test_scoring_that_measures_nothing_is_an_error(grid):
    folder, _ = grid

    with pytest.raises(ConfigError, match="nothing could be measured. Whether the models know"):
        score(folder, None, work=None, kid_network="none", diversity_network="none")


def test_without_a_dataset_what_it_would_answer_is_left_out(grid):
    folder, _ = grid

    _, scores = score(folder, None, work=None)

    assert [value.key for value in scores.models[0].metrics] == [
        "kid_general",
        *("diversity_train", "diversity_test", "vendi_train", "vendi_test", "vendi_all"),
    ]
    assert any("know the culture is not measured" in text for text in scores.warnings)
    assert any("copy is not measured: their training" in text for text in scores.warnings)
    assert scores.suggestion is None
    assert (folder / "features").is_dir()


def test_captions_of_another_dataset_are_told(grid, tmp_path):
    folder, dataset = grid
    other = tmp_path / "set"
    shutil.copytree(dataset, other)
    table = other / "train" / "metadata.jsonl"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[1:]), encoding="utf-8")

    _, scores = score(folder, other)

    assert any(text.startswith("1 of 4 training captions have no") for text in scores.warnings)
    assert scores.models[0].copies.captions == 3


def test_folders_of_general_and_reference_pictures_are_taken(grid):
    folder, dataset = grid
    pictures = dataset / "train" / "images"

    _, scores = score(folder, dataset, reference=pictures, general=pictures)

    assert scores.picture_sets["reference"] == scores.picture_sets["general"]
    assert scores.models[0].knows.reference_pictures == SIZES.train


def test_another_baseline_is_compared_with_and_an_unknown_one_told(grid):
    folder, dataset = grid

    _, scores = score(folder, dataset, baseline="step 100")
    assert {one.baseline for one in scores.differences if one.key != "kid_reference"} == {
        "step 100",
        "base",
    }
    assert {one.baseline for one in scores.differences if one.key == "vendi_all"} == {"step 100"}

    events, scores = score(folder, dataset, baseline="step 300")
    assert any("'step 300' is none of this grid's models" in text for text in scores.warnings)
    told = [event.message for event in events if isinstance(event, WarningEvent)]
    assert told == list(scores.warnings)


def test_a_baseline_that_is_drawn_in_part_is_not_said_to_be_missing(grid):
    folder, dataset = grid
    next((folder / "pictures" / "base").iterdir()).unlink()

    _, scores = score(folder, dataset, kid_network="none", diversity_network="none")

    assert [one.model.name for one in scores.models] == ["step 100", "step 200"]
    assert scores.differences == ()
    (told,) = (text for text in scores.warnings if "`baseline`" in text)
    assert told.startswith("`baseline`: 'base' is not drawn completely, so differences to it")


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("kid_network", "inceptoin", "`kid_network`: Unknown .* Did you mean 'inception'"),
        ("similarity_networks", "dreamsim,dinno", "`similarity_networks`: Unknown metric network"),
        ("clip_network", "miniature_judge", "`clip_network` 'miniature_judge' reads no texts"),
        ("batch_size", 0, "`batch_size` must be between 1 and 1024"),
    ],
)
def test_options_are_checked_before_anything_is_read(tmp_path, option, value, sentence):
    with pytest.raises(ConfigError, match=sentence):
        score(tmp_path / "nowhere", None, **{option: value})


def test_a_grid_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DatasetError, match="there is no grid"):
        score(tmp_path, None)


def test_any_folder_of_pictures_is_compared_with_another(grid, tmp_path):
    _, dataset = grid
    request = FolderRequest(
        folder=dataset / "train" / "images",
        reference=dataset / "test" / "images",
        features=tmp_path / "features",
        config=dataclasses.replace(JUDGE, fid=True),
    )

    events, scores = finished(score_folder(request))

    (model,) = scores.models
    assert [value.key for value in model.metrics] == ["kid_reference", "fid_reference", "vendi_all"]
    # They were drawn for nothing that was held out.
    assert [value.title for value in model.metrics] == [
        *("KID to the reference pictures", "FID to the reference pictures"),
        "Vendi score of all pictures",
    ]
    assert "held-out" not in str(scores.conventions)
    assert model.knows.pictures == SIZES.train
    assert model.knows.reference_pictures == SIZES.test
    assert not any("in the reference folder, too" in text for text in scores.warnings)
    assert not any(isinstance(event, FinishedEvent) for event in events)
    assert not list(dataset.rglob("metrics.json"))


def test_pictures_that_are_in_both_folders_are_told(grid, tmp_path):
    _, dataset = grid
    shutil.copytree(dataset / "test" / "images", tmp_path / "both")
    copied = next((dataset / "train" / "images").iterdir())
    shutil.copy(copied, tmp_path / "both" / "copied.png")
    request = FolderRequest(
        folder=dataset / "train" / "images",
        reference=tmp_path / "both",
        features=tmp_path / "features",
        config=JUDGE,
    )

    _, scores = finished(score_folder(request))

    assert scores.warnings[0].startswith(f"1 of {SIZES.train} pictures are in the reference folder")
