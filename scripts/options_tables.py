"""Print the README's tables of options, made from config.py and survey_config.py.

python scripts/options_tables.py            prints them
python scripts/options_tables.py --write    puts them into README.md
"""

import re
import sys
from pathlib import Path

from scoft_training.config import (
    CaptionConfig,
    DownloadConfig,
    GenerateConfig,
    GridConfig,
    MemoryConfig,
    NegativesConfig,
    ReportConfig,
    ScoreConfig,
    TrainConfig,
)
from scoft_training.flags import options_table
from scoft_training.survey_config import SurveyAnalysisConfig, SurveyConfig

README = Path(__file__).parent.parent / "README.md"
TABLES = {
    "train": TrainConfig,
    "memory": MemoryConfig,
    "negatives": NegativesConfig,
    "caption": CaptionConfig,
    "generate": GenerateConfig,
    "grid": GridConfig,
    "score": ScoreConfig,
    "survey make": SurveyConfig,
    "survey aggregate": SurveyAnalysisConfig,
    "download": DownloadConfig,
    "report": ReportConfig,
}


def with_tables(text: str) -> str:
    """Return a README with what stands between its option marks made anew."""
    for name, config_class in TABLES.items():
        begin, end = f"<!-- options: {name} -->", "<!-- end of options -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        table = f"{begin}\n{options_table(config_class)}\n{end}"
        text = pattern.sub(lambda _, table=table: table, text)
    return text


def main() -> None:
    """Print the tables, or write them."""
    if sys.argv[1:] == ["--write"]:
        README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for name, config_class in TABLES.items():
        print(f"### {name}\n\n{options_table(config_class)}\n")


if __name__ == "__main__":
    main()
