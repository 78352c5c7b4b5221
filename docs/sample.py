"""A small data set with labels of its own, to try GUIDE.md with: 600 English sentences about invented people,
companies, clubs, events and works, and 2,000 more without labels.

    python docs/sample.py my-data

Writes train.jsonl, valid.jsonl, test.jsonl and text.txt. Needs Python 3.9 alone; the seed fixes every line.
"""

import json
import random
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/fixtures"))
import rehearsal

SEED = 7
TYPES = {"person": "PERSON", "last": "PERSON", "company": "COMPANY", "club": "CLUB", "event": "EVENT", "work": "WORK",
         "city": "PLACE", "country": "PLACE", "body": "AGENCY", "nationality": None}


def sentence(rng):
    """Words and tags; a pattern's `{name}` is what `rehearsal.filled` puts there."""
    pattern = rng.choice(rehearsal.PATTERNS)
    tokens, tags = [], []
    for part in pattern.split():
        name = re.fullmatch(r"\{([a-z]+?)2?\}", part)
        words = rehearsal.filled(part, rng).split() if name else [part]
        kind = TYPES[name[1]] if name else None
        tokens += words
        tags += [f"{'I' if index else 'B'}-{kind}" if kind else "O" for index in range(len(words))]
    return tokens, tags


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    for name, count in [("train", 400), ("valid", 100), ("test", 100)]:
        with open(out / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for _ in range(count):
                tokens, tags = sentence(rng)
                file.write(json.dumps({"tokens": tokens, "tags": tags}, ensure_ascii=False) + "\n")
    lines = [rehearsal.spelled(" ".join(sentence(rng)[0])) for _ in range(2000)]
    (out / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
