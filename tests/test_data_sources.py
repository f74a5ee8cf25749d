"""Every form of a dataset gives the same rows, and messages name the very file and row."""

import json
import unicodedata

import pytest
from made_captions import captions
from PIL import Image

from scoft_training.data import dataset_version, read_dataset
from scoft_training.data_sources import is_dataset
from scoft_training.errors import DatasetError

HEAD = "file_name,text,blip_text,include,consent\n"


@pytest.fixture
def picture(tmp_path):
    """Draws a picture of its own at a path below the dataset's folder, which it returns."""
    count = 0

    def draw(path, text=None, encoding="utf-8"):
        nonlocal count
        count += 1
        target = tmp_path / "korea" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 8), (count % 256, count // 256, 50)).save(target)
        if text is not None:
            target.with_suffix(".txt").write_bytes(text.encode(encoding))
        return tmp_path / "korea"

    return draw


def kinds(dataset):
    return [problem.kind for problem in dataset.problems]


def message(dataset, kind):
    (problem,) = [problem for problem in dataset.problems if problem.kind == kind]
    return problem.message


@pytest.mark.parametrize("folder", ["train", "."])
def test_a_table_of_any_kind_is_read_in_the_split_or_the_root(picture, folder):
    root = picture(f"{folder}/images/a.png")
    picture(f"{folder}/images/b.png")
    rows = [
        {"file_name": "images/a.png", "text": "떡국, 나물", "blip_text": ["soup", "a bowl"]},
        {"file_name": "images/b.png", "text": "두 번째\n줄"},
    ]
    tables = {
        "metadata.jsonl": "\n".join(map(json.dumps, rows)),
        "metadata.csv": 'file_name,text,blip_text\nimages/a.png,"떡국, 나물",soup | a bowl\n'
        'images/b.png,"두 번째\n줄",\n',
        "metadata.tsv": 'file_name\ttext\tblip_text\nimages/a.png\t떡국, 나물\t["soup", "a bowl"]\n'
        'images/b.png\t"두 번째\n줄"\t\n',
    }
    for name, text in tables.items():
        (root / folder / name).write_text(text, encoding="utf-8")
        dataset = read_dataset(root)
        assert [(row.file_name, row.cultural_caption) for row in dataset.rows] == [
            (row["file_name"], row["text"]) for row in rows
        ]
        assert dataset.rows[0].generic_captions == ("soup", "a bowl")
        first = 1 if name.endswith("jsonl") else 2
        assert [row.where for row in dataset.rows] == [
            f"{name}, row {first}:",
            f"{name}, row {first + 1}:",
        ]
        (root / folder / name).unlink()


def test_semicolons_and_words_for_true_and_false_are_understood(picture):
    root = picture("train/a.png")
    picture("train/b.png")
    (root / "train/metadata.csv").write_text(
        "file_name;text;include;consent\na.png;a pot;yes;by letter\nb.png;a bowl;No;\n"
    )
    dataset = read_dataset(root)
    assert [(row.file_name, row.consent) for row in dataset.rows] == [("a.png", "by letter")]
    assert dataset.excluded == 1


def test_faults_of_a_spreadsheet_name_its_row(picture):
    root = picture("train/a.png")
    (root / "train/metadata.csv").write_text(
        f"{HEAD}a.png,,,,\n,,,,\nb.png,a pot,,,\na.png,one,two,,,three\n"
    )
    messages = [problem.message for problem in read_dataset(root).errors]
    assert messages[0].startswith("metadata.csv, row 2: `text` is missing.")
    assert messages[1].startswith("metadata.csv, row 4: `b.png` does not exist.")
    assert messages[2].startswith("metadata.csv, row 5: there are 6 cells, but the table has 5")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,text\na,b\n", r"^metadata.csv, row 1: there is no column `file_name`\."),
        ("file_name,text,text\n", r"^metadata.csv, row 1: the column `text` stands there twice\."),
        ('file_name,text\na.png,"open', r"^metadata.csv, near line 2: .*double quote"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(picture, text, sentence):
    root = picture("train/a.png")
    (root / "train/metadata.csv").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        read_dataset(root)


def test_of_two_tables_the_first_is_read_and_that_is_said(picture):
    root = picture("train/a.png")
    (root / "train/metadata.jsonl").write_text('{"file_name": "a.png", "text": "from lines"}')
    (root / "train/metadata.csv").write_text("file_name,text\na.png,from a table\n")
    dataset = read_dataset(root)
    assert dataset.rows[0].cultural_caption == "from lines"
    assert message(dataset, "two-tables").startswith("metadata.jsonl is read, and metadata.csv")


@pytest.mark.parametrize("folder", ["train/", ""])
def test_captions_beside_pictures_are_rows_in_the_order_of_names(picture, folder):
    root = picture(f"{folder}b.JPG", " 떡국\n한 그릇 ")
    picture(f"{folder}food_drink/c.png", "a pot")
    picture(f"{folder}a 그림 🎎.png", "한복")
    if not folder:
        picture("test/t.png", "not of this split")
        picture("negative_images/n.png")
    dataset = read_dataset(root)
    assert [(row.where, row.cultural_caption, row.category) for row in dataset.rows] == [
        ("a 그림 🎎.txt:", "한복", None),
        ("b.txt:", "떡국 한 그릇", None),
        ("food_drink/c.txt:", "a pot", "food_drink"),
    ]
    assert [row.number for row in dataset.rows] == [1, 2, 3]
    assert dataset.problems == ()


def test_a_picture_without_caption_and_a_caption_without_picture_are_said(picture):
    root = picture("train/a.png", "a pot")
    picture("train/b.png")
    (root / "train/lost.txt").write_text("where is it")
    dataset = read_dataset(root)
    (error,) = dataset.errors
    assert (error.row, error.kind) == (2, "no-caption")
    assert error.message.startswith("b.png: there is no b.txt beside it.")
    assert message(dataset, "caption-without-picture").startswith("lost.txt: there is no picture")


@pytest.mark.parametrize(
    ("language", "encoding"),
    [("Korean", "cp949"), ("Japanese", "shift_jis"), ("Arabic", "cp1256"), ("Hindi", "utf-16-le")],
)
def test_captions_of_another_encoding_are_read_together_and_reported(picture, language, encoding):
    for index, text in enumerate(captions(language)):
        root = picture(f"train/{index:02}.png", text, encoding)
    dataset = read_dataset(root, check_pictures=False)
    assert [row.cultural_caption for row in dataset.rows] == captions(language)
    assert message(dataset, "guessed-encoding").startswith("00.txt, and so 29 other files: this is")


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_table_of_another_encoding_is_read_and_reported_unless_stated(picture, name):
    lines = []
    for index, text in enumerate(captions("Korean")):
        root = picture(f"train/{index}.png")
        pair = {"file_name": f"{index}.png", "text": text}
        quoted = f'{index}.png,"{text}"'
        lines.append(json.dumps(pair, ensure_ascii=False) if name.endswith("l") else quoted)
    head = [] if name.endswith("l") else ["file_name,text"]
    (root / "train" / name).write_bytes("\n".join(head + lines).encode("cp949"))
    dataset = read_dataset(root, check_pictures=False)
    assert [row.cultural_caption for row in dataset.rows] == captions("Korean")
    assert message(dataset, "guessed-encoding").startswith(f"{name}: this is not UTF-8 and was rea")
    (root / "card.json").write_text('{"encoding": "cp949"}')
    assert kinds(read_dataset(root, check_pictures=False)) == []


def test_a_caption_that_was_misread_before_is_a_warning(picture):
    root = picture("train/a.png", "비빔밥 한 그릇".encode().decode("latin-1"))
    assert message(read_dataset(root), "misread-caption").startswith("a.txt: `text` was spoilt by")


@pytest.mark.parametrize(("table", "disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_may_spell_their_accents_otherwise_than_the_disk(picture, table, disk):
    name = "사진/cafétéria 김치.png"
    root = picture("train/" + unicodedata.normalize(disk, name))
    values = {"file_name": unicodedata.normalize(table, name), "text": "a pot"}
    (root / "train/metadata.jsonl").write_text(json.dumps(values))
    dataset = read_dataset(root)
    assert dataset.problems == ()
    assert dataset.rows[0].image_path.is_file()


def test_the_version_changes_with_captions_and_tables(picture):
    root = picture("train/a.png", "a pot")
    seen = {dataset_version(root)}
    (root / "train/a.txt").write_text("another pot")
    seen.add(dataset_version(root))
    picture("train/b.png", "a bowl")
    seen.add(dataset_version(root))
    (root / "card.json").write_text("{}")
    seen.add(dataset_version(root))
    (root / "train/metadata.csv").write_text("file_name,text\na.png,a pot\n")
    seen.add(dataset_version(root))
    assert len(seen) == 5
    assert dataset_version(root) == dataset_version(root)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train/metadata.jsonl"], True),
        (["train/metadata.csv"], True),
        (["metadata.tsv"], True),
        (["train/a.jpg", "train/a.txt"], True),
        (["a.JPG", "a.txt"], True),
        (["food_drink/a.webp", "food_drink/a.txt"], True),
        (["a.jpg", "b.png"], False),
        (["a.jpg", "readme.txt"], False),
        (["test/metadata.jsonl"], False),
        (["test/a.jpg", "test/a.txt"], False),
        (["a.txt"], False),
    ],
)
def test_a_dataset_is_told_from_names(tmp_path, files, expected):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert is_dataset(tmp_path) is expected
    assert not is_dataset(tmp_path / "nowhere")
