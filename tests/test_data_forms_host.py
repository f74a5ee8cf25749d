"""The folders that the host lists as datasets, in every form, and what its node reads of them."""

import json

import pytest
from PIL import Image

pytestmark = [pytest.mark.host, pytest.mark.slow]


def test_every_form_is_listed_and_read(host):
    row = {"file_name": "사진.png", "text": "떡국 한 그릇"}
    line = json.dumps(row)
    table = "file_name,text\n사진.png,떡국 한 그릇\n"
    caption = {"사진.txt": row["text"]}
    forms = {
        "lines": ("train", {"metadata.jsonl": line}),
        "lines_in_root": (".", {"metadata.jsonl": line}),
        "table": ("train", {"metadata.csv": table}),
        "table_in_root": (".", {"metadata.tsv": table.replace(",", "\t")}),
        "captions": ("train", caption),
        "captions_in_root": (".", caption),
        "no_dataset": (".", {}),
    }
    for name, (below, files) in forms.items():
        folder = host.folder / "input" / name / below
        folder.mkdir(parents=True)
        Image.new("RGB", (12, 8)).save(folder / "사진.png")
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    listed = host.get("/object_info/ScoftLoadDataset")["ScoftLoadDataset"]["input"]["required"]
    assert set(forms) - set(json.dumps(listed["dataset"]).split('"')) == {"no_dataset"}
    for name in sorted(set(forms) - {"no_dataset"}):
        prompt = {
            "1": {"class_type": "ScoftLoadDataset", "inputs": {"dataset": name}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
        }
        ended = host.wait(host.queue(prompt))
        assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
        assert ended["outputs"]["2"]["text"][0].startswith(f"{name}: 1 pictures")
