"""What is wrong with a generic caption: it names a people, or is no plain sentence."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

__all__ = ["caption_warnings", "degeneracy", "named_culture"]

_COUNTRIES = """
    afghanistan albania algeria andorra angola argentina armenia australia austria azerbaijan
    bahamas bahrain bangladesh barbados belarus belgium belize benin bhutan bolivia bosnia botswana
    brazil britain brunei bulgaria burkina_faso burma burundi cambodia cameroon canada cape_verde
    chad chile china colombia comoros congo costa_rica croatia cuba cyprus czech_republic czechia
    denmark djibouti dominica dominican_republic east_timor ecuador egypt el_salvador england
    eritrea estonia eswatini ethiopia fiji finland france gabon gambia georgia germany ghana greece
    greenland grenada guatemala guinea guyana haiti honduras hong_kong hungary iceland india
    indonesia iran iraq ireland israel italy ivory_coast jamaica japan jordan kazakhstan kenya
    kiribati korea kosovo kuwait kyrgyzstan laos latvia lebanon lesotho liberia libya liechtenstein
    lithuania luxembourg macau madagascar malawi malaysia maldives mali malta mauritania mauritius
    mexico micronesia moldova monaco mongolia montenegro morocco mozambique myanmar namibia nauru
    nepal netherlands holland new_zealand nicaragua niger nigeria north_korea north_macedonia norway
    oman pakistan palau palestine panama papua_new_guinea paraguay peru philippines poland portugal
    puerto_rico qatar romania russia rwanda samoa san_marino saudi_arabia scotland senegal serbia
    seychelles sierra_leone singapore slovakia slovenia solomon_islands somalia south_africa
    south_korea soviet_union spain sri_lanka sudan suriname sweden switzerland syria taiwan
    tajikistan tanzania thailand tibet togo tonga trinidad tunisia turkey turkmenistan tuvalu uganda
    ukraine united_arab_emirates united_kingdom united_states uruguay usa uzbekistan vanuatu
    venezuela vietnam wales yemen zambia zimbabwe africa asia europe
"""
_DEMONYMS = """
    afghan albanian algerian american angolan arab arabian arabic argentine argentinian armenian
    asian african european latin_american middle_eastern
    australian austrian azerbaijani azeri bahamian bahraini bangladeshi basque belarusian belgian
    belizean bengali beninese bhutanese bolivian bosnian brazilian british bruneian bulgarian
    burmese burundian cambodian cameroonian canadian catalan chadian chilean chinese colombian
    comorian congolese costa_rican croatian cuban cypriot czech danish djiboutian dominican dutch
    ecuadorian egyptian emirati english eritrean estonian ethiopian fijian filipino finnish french
    gabonese gambian georgian german ghanaian greek guatemalan guinean guyanese haitian hawaiian
    hispanic honduran hungarian icelandic indian indonesian iranian iraqi irish israeli italian
    ivorian jamaican japanese jordanian kazakh kenyan korean kosovar kurdish kuwaiti kyrgyz laotian
    latvian lebanese liberian libyan lithuanian luxembourgish macedonian malagasy malawian malay
    malaysian maldivian malian maltese maori mauritanian mauritian mexican moldovan mongolian
    montenegrin moroccan mozambican namibian nepalese nepali nicaraguan nigerian nigerien norwegian
    omani pakistani palestinian panamanian papuan paraguayan persian peruvian polish portuguese
    puerto_rican qatari romanian russian rwandan salvadoran samoan saudi scottish senegalese serbian
    singaporean slovak slovenian somali south_african soviet spanish sri_lankan sudanese surinamese
    swedish swiss syrian taiwanese tajik tanzanian thai tibetan togolese tongan tunisian turkish
    turkmen ugandan ukrainian uruguayan uzbek venezuelan vietnamese welsh yemeni zambian zimbabwean
"""
_PEOPLES = [name.replace("_", " ") for name in (_COUNTRIES + _DEMONYMS).split()]

# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han: one "word" of these may be a whole sentence.
_WRITTEN_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def caption_warnings(caption: str, cultures: Iterable[str]) -> list[tuple[str, str]]:
    """Judge a generic caption: it should be a plain sentence that names no people.

    Args:
        caption: not empty.
        cultures: the dataset's own culture and the row's, if stated.

    Returns:
        (kind, sentence without its place) for each thing to look at.
    """
    warnings = []
    if fault := degeneracy(caption):
        warnings.append(("degenerate-caption", f"the generic caption {caption!r} {fault}"))
    if found := named_culture(caption, cultures):
        warnings.append(
            (
                "names-a-culture",
                f"the generic caption {caption!r} names a people or country "
                f"({found!r}). L_M and the negatives need one that does not: say what is seen.",
            )
        )
    return warnings


def degeneracy(caption: str) -> str | None:
    """Return None for a caption of plain words, else what it does wrong, with what to do."""
    words = caption.casefold().split()
    if _repeats(words):
        return "repeats itself. Write a plain one instead."
    if len(words) == 1 and not _WRITTEN_WITHOUT_SPACES.search(caption):
        return "is a single word. Write a plain sentence instead."
    return None


def named_culture(caption: str, cultures: Iterable[str]) -> str | None:
    """Return the first people or country that a caption names, as it is written there.

    Args:
        caption: the caption.
        cultures: names to look for besides the known peoples and countries.
    """
    found = _names(tuple(culture.casefold() for culture in cultures)).search(caption)
    return found[0] if found else None


@functools.lru_cache(maxsize=64)
def _names(own: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(re.escape(name) for name in [*own, *_PEOPLES])
    return re.compile(rf"\b(?:{alternatives})s?\b", re.IGNORECASE)


def _repeats(words: list[str]) -> bool:
    """Tell whether a word or a pair of words stands three times or more in a row."""
    for length in (1, 2):
        for start in range(len(words) - 3 * length + 1):
            unit = words[start : start + length]
            if unit * 3 == words[start : start + 3 * length]:
                return True
    return False
