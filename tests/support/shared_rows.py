"""Rows with a question and an answer: the published files where they are at hand, else our own."""

import json
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "data" / "math"

GSM8K_ROWS = [
    {
        "question": "A crate holds 12 jars and a shelf 9 crates. How many jars fit on 7 shelves?",
        "answer": "12 * 9 = <<12*9=108>>108 jars.\n108 * 7 = <<108*7=756>>756\n#### 756",
    },
    {
        "question": "A farm sells 1,350 eggs a week at $2 a dozen less 10%. What does it earn?",
        "answer": "1350 / 12 = <<1350/12=112.5>>112.5\n#### 202.50",
    },
]
AIME_ROWS = [
    {
        "input": "Find the sum of all \\(n<100\\) with \\(n^2\\equiv 1 \\pmod{24}\\).",
        "output": "1633",
    },
    {"input": "Find \\(\\frac{m}{n}\\) in lowest terms.", "output": "\\frac{17}{4}"},
]


def row_files(folder: Path) -> dict[str, Path]:
    """Return files in the shape of GSM8K and of AIME: the published ones, or ours in `folder`."""
    ours = {"gsm8k_test": GSM8K_ROWS, "aime24": AIME_ROWS, "aime25": AIME_ROWS}
    files: dict[str, Path] = {}
    for name, rows in ours.items():
        files[name] = SHARED / f"{name}.jsonl"
        if not files[name].exists():
            files[name] = folder / f"{name}.jsonl"
            files[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files
