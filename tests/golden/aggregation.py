"""Golden of Hugging Face's five aggregation strategies, on the tiny teacher and unlabelled text.

Run      python tests/golden/aggregation.py        (torch 2.15.0, transformers 5.23.0; no seed needed)
Writes   tests/golden/aggregation.json: for each strategy and text, [label, start, end, score] with
         character offsets, as `pipeline("token-classification", aggregation_strategy=...)` gives them.

Tolerance of the test: offsets and labels equal, scores within 2e-4, since `understudy tag` prints four
decimals and both compute in f32.
"""

import json
from pathlib import Path

from transformers import AutoModelForTokenClassification, BertTokenizerFast, pipeline

HERE = Path(__file__).parent
TEACHER = HERE.parent / "fixtures" / "tiny" / "teacher"
TEXTS = (HERE.parent / "fixtures" / "tiny" / "unlabelled.txt").read_text().splitlines()[:40]

model = AutoModelForTokenClassification.from_pretrained(TEACHER)
tokenizer = BertTokenizerFast.from_pretrained(TEACHER, do_lower_case=False)
golden = {"texts": TEXTS, "strategies": {}}
for strategy in ["none", "simple", "first", "average", "max"]:
    tagger = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy)
    golden["strategies"][strategy] = [
        [
            [entity.get("entity_group", entity.get("entity")), entity["start"], entity["end"], float(entity["score"])]
            for entity in tagger(text)
        ]
        for text in TEXTS
    ]
(HERE / "aggregation.json").write_text(json.dumps(golden) + "\n")
print({name: sum(map(len, texts)) for name, texts in golden["strategies"].items()})
