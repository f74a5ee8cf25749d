"""Simulated people rank simulated pictures: a key, answers, and the files that people send back.

Strengths, skills and biases are known, so that whatever reads the answers can be held against the
truth. In a share `skill` of their rankings people order pictures by strength plus Gumbel noise, so
that of two pictures the first wins with probability sigmoid(strength difference); in the others
they go by place alone, with probability `bias` from first to last, and else from last to first.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scoft_training.survey_answers import Answer
from scoft_training.survey_key import ITEMS, SurveyKey, SurveyPage, keyed_id

MODELS = ("SD", "+M", "+MP", "+MPC")
STRENGTHS = (-1.5, -0.5, 0.5, 1.5)
CULTURES = {"Korea": 6, "Mexico": 5, "나이지리아": 4}


@dataclass(frozen=True)
class MadeSurvey:
    """A survey that has taken place.

    Attributes:
        key: the organiser's.
        strengths: culture -> strength of each of the key's models.
        people: participants' ids, culture by culture.
        culture_of: (people,) index of their culture.
        skills, biases: (people,) in [0, 1].
        pages_of: (people, pages of a culture) page numbers in the order in which they see them.
        ranks: (people, pages of a culture, items, models), by page number and the key's models.
        places: (people, pages of a culture, models), from 1.
        seconds: (people, pages of a culture, items).
    """

    key: SurveyKey
    strengths: dict[str, tuple[float, ...]]
    people: tuple[str, ...]
    culture_of: np.ndarray
    skills: np.ndarray
    biases: np.ndarray
    pages_of: np.ndarray
    ranks: np.ndarray
    places: np.ndarray
    seconds: np.ndarray

    @property
    def cultures(self):
        return tuple(self.strengths)

    def pages(self, culture):
        return [page for page in self.key.pages if page.culture == culture]

    @cached_property
    def answers(self):
        """All ranks, as `read_returns` has to give them back, in no particular order."""
        found = []
        for person, name in enumerate(self.people):
            culture = self.cultures[self.culture_of[person]]
            for number, page in enumerate(self.pages(culture)):
                for item_number, item in enumerate(ITEMS):
                    for model_number, model in enumerate(self.key.models):
                        at = (person, number, item_number)
                        place = int(self.places[person, number, model_number])
                        rank = int(self.ranks[(*at, model_number)])
                        seconds = float(self.seconds[at])
                        found.append(
                            Answer(
                                name,
                                culture,
                                f"Land of {culture}",
                                page.page,
                                page.prompt,
                                item,
                                model,
                                place,
                                rank,
                                seconds,
                            )
                        )
        return found

    @cached_property
    def files(self):
        """What everybody sends back: file name -> its JSON."""
        return {
            f"answers-c{self.culture_of[person]}-{name[:8]}.json": self.file_of(person)
            for person, name in enumerate(self.people)
        }

    def file_of(self, person):
        """Return a new dict each time, so that a test may spoil it."""
        culture = self.cultures[self.culture_of[person]]
        pages = self.pages(culture)
        order = [int(number) for number in self.pages_of[person]]
        return {
            "format": "scoft-survey-answers",
            "version": 1,
            "survey": self.key.survey,
            "culture": culture,
            "language": "en",
            "participant": self.people[person],
            "declared": {"culture": culture, "country": f"Land of {culture}", "years": 20 + person},
            "consent": {"agreed": True, "at": "2026-03-01T10:00:00.000Z"},
            "started": "2026-03-01T10:00:05.000Z",
            "finished": f"2026-03-01T10:{person % 60:02d}:30.000Z",
            "page_order": [pages[number].page for number in order],
            "pages": [self._page_of(person, number, pages[number]) for number in order],
            "comment": "",
        }

    def _page_of(self, person, number, page):
        by_model = {model: picture for picture, model in page.pictures.items()}
        pictures = [by_model[model] for model in self.key.models]
        places = self.places[person, number]
        items = {
            item: {
                "ranks": {
                    picture: int(rank)
                    for picture, rank in zip(
                        pictures, self.ranks[person, number, item_number], strict=True
                    )
                },
                "seconds": float(self.seconds[person, number, item_number]),
            }
            for item_number, item in enumerate(ITEMS)
        }
        return {
            "page": page.page,
            "order": [pictures[at] for at in np.argsort(places)],
            "seconds": float(self.seconds[person, number].sum()),
            "comment": "",
            "items": items,
        }


def made_survey(
    *,
    cultures=CULTURES,
    models=MODELS,
    strengths=STRENGTHS,
    pages=5,
    skills=0.9,
    biases=0.5,
    ties=0.0,
    seed=0,
):
    """Return a survey that has taken place.

    Args:
        cultures: name -> how many people.
        models: names.
        strengths: of each model, or culture -> of each model.
        pages: of each culture; everybody ranks them all.
        skills, biases: of everybody, or (people,).
        ties: probability that a picture shares the rank of the one before it.
        seed: everything is a function of it.
    """
    rng = np.random.default_rng(seed)
    if not isinstance(strengths, dict):
        strengths = dict.fromkeys(cultures, tuple(strengths))
    key = made_key(tuple(cultures), models, pages, allow_ties=ties > 0, seed=seed)
    culture_of = np.repeat(np.arange(len(cultures)), list(cultures.values()))
    count = len(culture_of)
    skills, biases = (np.broadcast_to(one, count).astype(float) for one in (skills, biases))
    shape = (count, pages, len(ITEMS), len(models))
    in_order = np.arange(1, len(models) + 1)
    places = rng.permuted(np.broadcast_to(in_order, (count, pages, len(models))), axis=2)
    strength = np.array([strengths[name] for name in cultures])[culture_of][:, None, None, :]
    by_strength = strength + rng.gumbel(size=shape)
    forward = rng.random(shape[:3]) < biases[:, None, None]
    by_place = np.where(forward[..., None], -1, 1) * places[:, :, None, :]
    follows = rng.random(shape[:3]) < skills[:, None, None]
    worth = np.where(follows[..., None], by_strength, by_place)
    return MadeSurvey(
        key=key,
        strengths=strengths,
        people=tuple(str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(count)),
        culture_of=culture_of,
        skills=skills,
        biases=biases,
        pages_of=rng.permuted(np.broadcast_to(np.arange(pages), (count, pages)), axis=1),
        ranks=ranks_of(worth, rng.random(shape) < ties),
        places=places,
        seconds=np.round(rng.lognormal(2.3, 0.4, size=shape[:3]), 1),
    )


def ranks_of(worth, shares):
    """Return ranks by falling worth; where `shares`, a place has the rank of the one before it.

    Args:
        worth: (..., models).
        shares: (..., models), by place; the first place's is not read.
    """
    order = np.argsort(-worth, axis=-1)
    counted = np.arange(1, worth.shape[-1] + 1)
    starts = np.where(shares & (counted > 1), 0, counted)
    ranks = np.empty(worth.shape, dtype=np.int64)
    np.put_along_axis(ranks, order, np.maximum.accumulate(starts, axis=-1), axis=-1)
    return ranks


def made_key(cultures=tuple(CULTURES), models=MODELS, pages=5, *, allow_ties=False, seed=0):
    """Return a key of pages whose ids follow from the seed."""
    secret = f"{seed + 1:032x}"
    found = []
    for culture in cultures:
        for number in range(pages):
            prompt = f"a market in {culture}, number {number}"
            ids = [keyed_id(secret, "picture", prompt, model) for model in models]
            page = keyed_id(secret, "page", prompt)
            pictures = dict(sorted(zip(ids, models, strict=True)))
            found.append(SurveyPage(page, culture, prompt, number, pictures))
    survey = keyed_id(secret, "survey", digits=16)
    return SurveyKey(survey, secret, allow_ties, tuple(models), tuple(found), {})


def write_files(folder, files):
    """Write participants' files into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder
