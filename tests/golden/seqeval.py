"""Golden entity scores for `tests/it/seqeval_golden.rs`, written to `seqeval.json` beside this file.

Library:   seqeval 1.2.2 (numpy 2.4.6, scikit-learn 1.9.1, Python 3.11.7)
Seed:      20030531
Run:       python -m pip install seqeval==1.2.2 && python tests/golden/seqeval.py
Tolerance: 1e-9; both sides divide small integers in float64 (error near 1e-16), and the file keeps
           12 decimals.

500 corpora of 1 to 11 sentences, each of 0 to 12 tags over 1 to 4 types, legal and illegal BIO mixed.
Sentences are parted by `|`, tags by spaces. A list of scores is [precision, recall, f1, support];
seqeval's macro average of no type at all is NaN, kept as null. Every fourth corpus also has its
predicted spans, `type:start:end` half-open, from seqeval's own span readers.
"""

import json
import math
import pathlib
import random
import sys
import warnings

# This file has the library's name: its folder must not come first on the path.
sys.path = [entry for entry in sys.path if entry != str(pathlib.Path(__file__).resolve().parent)]

from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Tokens

SEED = 20030531
CORPORA = 500
# Hyphens at the ends are there because strict mode drops them and default mode does not.
TYPES = ["PER", "ORG", "LOC", "MISC", "x-y", "A", "A-", "-", "_"]
AVERAGES = ("micro avg", "macro avg", "weighted avg")


def legal(rng, length, types):
    """A legal BIO sequence."""
    tags = []
    while len(tags) < length:
        if rng.random() < 0.45:
            tags.append("O")
        else:
            kind = rng.choice(types)
            tags += [f"B-{kind}"] + [f"I-{kind}"] * rng.choice([0, 0, 1, 1, 2, 4])
    return tags[:length]


def random_tags(rng, length, types):
    """Any mix of tags."""
    alphabet = ["O", "O"] + [f"{prefix}-{kind}" for kind in types for prefix in "BI"]
    return [rng.choice(alphabet) for _ in range(length)]


def noisy(rng, tags, types, rate):
    """`tags` with some of them replaced, and some B and I swapped, as a weak tagger does."""
    result = []
    for tag, other in zip(tags, random_tags(rng, len(tags), types)):
        draw = rng.random()
        if draw < rate / 2:
            tag = other
        elif draw < rate and tag != "O":
            tag = ("I" if tag[0] == "B" else "B") + tag[1:]
        result.append(tag)
    return result


def corpus(rng):
    """Gold and predicted tags of some sentences."""
    types = rng.sample(TYPES, rng.randint(1, 4))
    rate = rng.choice([0.0, 0.1, 0.2, 0.5, 1.0])
    legal_part = rng.choice([0.0, 0.8, 1.0])
    gold, predicted = [], []
    for _ in range(rng.randint(1, 11)):
        make = legal if rng.random() < legal_part else random_tags
        gold.append(make(rng, rng.randint(0, 12), types))
        predicted.append(noisy(rng, gold[-1], types, rate))
    return gold, predicted


def row(scores):
    """[precision, recall, f1, support] of one row of the report."""
    values = [float(scores[key]) for key in ("precision", "recall", "f1-score")]
    values = [None if math.isnan(value) else round(value, 12) for value in values]
    return values + [int(scores["support"])]


def report(gold, predicted, **mode):
    """Micro, macro and per-type scores."""
    full = classification_report(gold, predicted, output_dict=True, zero_division=0, **mode)
    return {
        "micro": row(full["micro avg"]),
        "macro": row(full["macro avg"]),
        "types": {kind: row(full[kind]) for kind in full if kind not in AVERAGES},
    }


def joined(sentences, parts):
    """One string: sentences parted by `|`, their parts by spaces."""
    return "|".join(" ".join(parts(sentence)) for sentence in sentences)


def default_spans(tags):
    """`get_entities`, its inclusive end made half-open."""
    return [f"{kind}:{start}:{last + 1}" for kind, start, last in get_entities(tags)]


def strict_spans(tags):
    """The spans of `seqeval.scheme.Entities`, half-open already."""
    return [f"{span.tag}:{span.start}:{span.end}" for span in Tokens(tags, IOB2).entities]


def main():
    """Draws the corpora and writes the file."""
    warnings.simplefilter("ignore")
    rng = random.Random(SEED)
    cases = []
    for index in range(CORPORA):
        gold, predicted = corpus(rng)
        case = {
            "gold": joined(gold, list),
            "predicted": joined(predicted, list),
            "default": report(gold, predicted),
            "strict": report(gold, predicted, mode="strict", scheme=IOB2),
        }
        if index % 4 == 0:
            case["default"]["spans"] = joined(predicted, default_spans)
            case["strict"]["spans"] = joined(predicted, strict_spans)
        cases.append(case)
    head = {"made_by": "tests/golden/seqeval.py", "library": "seqeval 1.2.2", "seed": SEED}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    text = json.dumps(head)[:-1] + ', "corpora": [\n' + lines + "\n]}\n"
    pathlib.Path(__file__).with_name("seqeval.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
