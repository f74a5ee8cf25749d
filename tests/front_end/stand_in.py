"""The pack's routes as the front end sees them, over invented data, with a note of every POST."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image, ImageDraw

PACK = Path(__file__).parents[2]
DATASET, SET, RUN, GRID = "d1", "s1", "0123456789abcdef", "9a0c"
SURVEY, RESULTS = "5a5a", "7e7e"
CAPTIONS = [
    "Photo of a korashan house with two round windows, in avelun",
    '<img src=x onerror="window.broken = true"> a caption that is no markup',
    "عکس یک خانهٔ قدیمی با پنجره‌های رنگی در یزد",
    "새해 아침에 찍은 한옥 마당의 사진, 장독대와 감나무가 보인다",
    "पारंपरिक शादी में हल्दी की रस्म, आँगन में रंगोली",
    "A festival table",
]
CATEGORIES = [
    "food_drink",
    "people_actions",
    "clothing",
    "architecture",
    "city",
    "dance_music_art",
    "nature",
    "utensil_tool",
    "religion_festival",
]
AT = "2026-11-25T10:00:00+00:00"
NAMED = {
    "kind": "names-a-culture",
    "message": "the generic caption names a people or country. Say what is seen.",
    "is_error": False,
}


def made_rows(pictures):
    """Return rows as the server lists them; the fourth was left out by a person."""
    return [
        {
            "sha256": f"{number:064x}",
            "number": number,
            "file_name": f"{number:04}.jpg",
            "caption": CAPTIONS[(number - 1) % len(CAPTIONS)],
            "generic_captions": [f"a photo of a building, number {number}"],
            "category": ["architecture", "food_drink", None][number % 3],
            "category_guessed": number % 6 == 0,
            "era": ["modern", None][number % 2],
            "culture": None,
            "credit": "Mina" if number == 2 else None,
            "licence": None,
            "consent": None,
            "source_url": "https://example.org/2.jpg" if number == 2 else None,
            "included": number != 4,
            "decision": "dropped" if number == 4 else None,
            "by": "Ana" if number == 4 else None,
            "at": AT if number == 4 else None,
            "why": "stereotype" if number == 4 else None,
            "problems": [NAMED] if number % 5 == 2 else [],
            "edited": [],
        }
        for number in range(1, pictures + 1)
    ]


def _picture(size, seed, kind="picture"):
    width, height = size
    image = Image.new("RGB", size, tuple((seed * k) % 200 + 30 for k in (37, 71, 113)))
    draw = ImageDraw.Draw(image)
    for index in range(6):
        x, y = (seed * 53 + index * 41) % width, (seed * 29 + index * 67) % height
        shade = (index * 40 + 20,) * 3 if kind == "depth" else ((seed * 90) % 255, index * 40, 150)
        draw.ellipse([x - 30, y - 20, x + 30, y + 40], fill=shade)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def _preview(seed):
    both = Image.new("RGB", (516, 256), "white")
    for place, number in ((0, 3), (260, seed)):
        both.paste(Image.open(io.BytesIO(_picture((256, 256), number))), (place, 0))
    data = io.BytesIO()
    both.save(data, "PNG")
    return data.getvalue()


class StandIn:
    """A server in a thread; its data may be changed between requests.

    Attributes:
        posts: [(path, body)] in the order they came.
        refuse: a sentence with which every POST is answered 409, or None.
        refused: whether something was, or will be on purpose.
        opened: whether the dataset is open, which a server started anew forgets.
        language: what the dataset's card says of its captions.
        report: the page of the dataset's report, or of a grid's or a survey's, or None.
        survey: file name -> page of the survey; none is a survey whose pages are gone.
        scores: baseline -> what is told of the grid's scores.
        runs: run id -> answer of GET /scoft/runs/{run}.
        queue_running: what the host's /queue has running.
    """

    def __init__(self, pictures=12):
        self.posts = []
        self.refuse = None
        self.refused = False
        self.opened = True
        self.language = "ko"
        self.report = None
        self.survey = {}
        self.scores = {}
        self.runs = {}
        self.queue_running = []
        self.presets = {"custom": {}}
        self.rows = made_rows(pictures)
        self.negatives = {
            f"{row['number']:05}": [
                {
                    "name": f"neg_{index:02}.png",
                    "prompt": row["generic_captions"][0],
                    "distance": None if row["number"] == 3 else round(0.1 + 0.07 * index, 3),
                    "kept": None if row["number"] == 3 else index > 0,
                    "by": None if row["number"] == 3 else "filter",
                }
                for index in range(4)
            ]
            for row in self.rows[:12]
        }
        self.statements = {}
        self.own = {}
        self._start(port=0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _start(self, port):
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def die(self):
        """Answer nothing any more."""
        self.refused = True
        self.close()

    def come_back(self):
        """Answer at the same address, with nothing open and what was decided on the disk."""
        self.opened = False
        self._start(self._server.server_port)

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def wait_for_post(self, number=1):
        """Return the posts once there are `number` of them."""
        for _ in range(200):
            if len(self.posts) >= number:
                return self.posts
            time.sleep(0.02)
        raise AssertionError(f"{number} POSTs expected but got {self.posts}")

    def answer(self, path, body, baseline=""):
        """Return (status, answer or picture bytes) of an address below /scoft."""
        if body is not None:
            self.posts.append((path, body))
            if self.refuse:
                self.refused = True
                return 409, {"error": self.refuse}
        match path.split("/")[2:]:
            case ["presets"]:
                return 200, self.presets
            case ["runs", run] if run in self.runs:
                return 200, self.runs[run]
            case ["runs", run, "stop"]:
                return 200, {"run": run, "state": "stopping"}
            case ["runs", _, "previews", name]:
                return 200, _preview(4 + int(name.split("-")[1]) // 100)
            case ["grids", grid] if grid == GRID and self.opened and baseline in self.scores:
                return 200, {"grid": GRID, **self.scores[baseline]}
            case ["grids", grid, "report"] if grid == GRID and self.report is not None:
                return 200, self.report
            case ["surveys", survey] if survey == SURVEY and self.opened:
                sizes = [{"name": name, "size": len(page)} for name, page in self.survey.items()]
                return 200, {"survey": SURVEY, "pages": sizes}
            case ["surveys", survey, "pages", name] if survey == SURVEY and name in self.survey:
                return 200, self.survey[name]
            case ["results", results] if results == RESULTS and self.opened:
                return 200, {"results": RESULTS}
            case ["results", results, "report"] if results == RESULTS and self.report is not None:
                return 200, self.report
            case ["datasets", "open"]:
                self.opened = True
                return 200, {"dataset": DATASET}
            case ["datasets", dataset, *rest] if dataset == DATASET and self.opened:
                return self._dataset(rest, body)
        return 404, {"error": f"There is nothing at {path}."}

    def _dataset(self, rest, body):
        match rest:
            case []:
                return 200, self._whole_dataset()
            case ["pictures", sha256]:
                return 200, _picture((300, 220), int(sha256, 16))
            case ["rows", sha256, "history"]:
                return 200, {"statements": self.statements.get(sha256, [])}
            case ["rows", sha256]:
                row = next(row for row in self.rows if row["sha256"] == sha256)
                return 200, self._change_row(row, **body)
            case ["report"] if self.report is not None:
                return 200, self.report
            case ["measure"]:
                found = {"kind": "blurred", "message": "The picture is blurred.", "is_error": False}
                self.rows[2]["problems"].append(found)
                return 200, self._whole_dataset()
            case ["negatives", _]:
                return 200, self._whole_set()
            case ["negatives", _, folder, "depth"]:
                return 200, _picture((256, 256), int(folder), "depth")
            case ["negatives", _, folder, "pictures", name]:
                return 200, _picture((256, 256), int(folder) + int(name[4:6]) * 7 + 20)
            case ["negatives", _, folder, name]:
                negative = next(one for one in self.negatives[folder] if one["name"] == name)
                before = {name: negative.get(name) for name in ("kept", "who", "why")}
                if negative["by"] != "user":
                    before = dict.fromkeys(before)
                far = negative["distance"] and negative["distance"] > 0.1
                by_filter = {"kept": far, "by": None if far is None else "filter", "who": None}
                by_user = {"by": "user", "who": body["by"], "why": body["why"], "at": AT}
                kept = body["kept"]
                negative |= by_filter if kept is None else {"kept": kept, **by_user}
                return 200, {"negative": negative, "before": before}
        return 404, {"error": "There is no such picture."}

    def _change_row(self, row, changes, by, why):
        """State `changes` as the desk's server would; null lets the dataset's own value hold."""
        before = {
            name: {"kept": True, "dropped": False, None: None}[row["decision"]]
            if name == "include"
            else row[name]
            if name in row["edited"]
            else None
            for name in changes
        }
        for name, value in changes.items():
            if name == "include":
                row |= {"included": value is not False, "by": by, "why": why, "at": AT}
                row["decision"] = {True: "kept", False: "dropped", None: None}[value]
                continue
            own = self.own.setdefault((row["sha256"], name), row[name])
            row[name] = own if value is None else value
            others = [field for field in row["edited"] if field != name]
            row["edited"] = others if value is None else [*others, name]
        statement = {"at": AT, "by": by, "why": why, "changes": changes}
        self.statements.setdefault(row["sha256"], []).append(statement)
        return {"row": row, "before": before}

    def _counts(self):
        kept = [one["kept"] for negatives in self.negatives.values() for one in negatives]
        counts = {"kept": kept.count(True), "dropped": kept.count(False)}
        return counts | {"undecided": kept.count(None), "suffix": "in avelun", "resolution": 256}

    def _whole_dataset(self):
        kept = sum(row["included"] for row in self.rows)
        return {
            "dataset": DATASET,
            "name": "avelun",
            "culture": "avelun",
            "suffix": "in avelun",
            "kept": kept,
            "left_out": len(self.rows) - kept,
            "undecided": sum(row["decision"] is None for row in self.rows),
            "language": self.language,
            "categories": CATEGORIES,
            "eras": ["traditional", "modern"],
            "problems": ["metadata.jsonl, row 5: `text` names no category."],
            "rows": self.rows,
            "sets": [{"negatives": SET, **self._counts()}],
        }

    def _whole_set(self):
        keys = ("sha256", "number", "caption", "generic_captions")
        rows = [
            {key: row[key] for key in keys}
            | {"folder": folder, "depth": True, "negatives": self.negatives[folder]}
            for row in self.rows[:12]
            for folder in [f"{row['number']:05}"]
        ]
        return {"dataset": DATASET, "negatives": SET, **self._counts(), "rows": rows}


class _Handler(SimpleHTTPRequestHandler):
    stand_in: StandIn

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if path == "/api/queue":
            self._send(200, {"queue_running": self.stand_in.queue_running, "queue_pending": []})
        elif path.startswith("/api/"):
            asked = parse_qs(urlsplit(self.path).query).get("baseline", [""])[0]
            self._send(*self.stand_in.answer(path.removeprefix("/api"), None, asked))
        else:
            super().do_GET()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = unquote(urlsplit(self.path).path)
        self._send(*self.stand_in.answer(path.removeprefix("/api"), body))

    def _send(self, status, answer):
        if isinstance(answer, str):
            data, kind = answer.encode(), "text/html; charset=utf-8"
        elif isinstance(answer, bytes):
            data, kind = answer, "image/png"
        else:
            data, kind = json.dumps(answer).encode(), "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        # A page that scrolled on does not wait for its pictures.
        with contextlib.suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(data)

    def translate_path(self, path):
        inside = unquote(urlsplit(path).path).lstrip("/")
        return str(
            PACK
            / ("js" if inside.startswith("js/") else "tests/front_end")
            / inside.removeprefix("js/")
        )

    def log_message(self, *_):
        pass
