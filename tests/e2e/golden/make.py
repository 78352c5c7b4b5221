"""Makes tags.jsonl: what the native `understudy tag` makes of 200 texts, with the models of tests/fixtures/models/tiny-*.

    python tests/e2e/golden/make.py path/to/understudy

Half of the texts are sentences of the invented corpus in tests/fixtures/tiny, half are those put among
characters that count differently in bytes, characters and UTF-16 units. Options go round all five
aggregations, both decodings and three thresholds. The browser must give the same entities at the same
places; scores may differ by 0.002, for they are rounded to four digits here and matrix products add in
another order there. Python's standard library only; no randomness but a fixed stride.
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
AGGREGATIONS = ["none", "simple", "first", "average", "max"]
THRESHOLDS = [0.0, 0.0, 0.6]

# Before, between words, and after a sentence.
ODD = [
    ("\U0001f600 ", " ", ""),
    ("", " ", " \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"),
    ("", "\u00a0", ""),
    ("\t", "\t", "\n"),
    ("\n\n", "\n", "\n\n"),
    ("e\u0301", " ", "\u0301"),
    ("東京株式会社 ", " ", "。\U00020bb7野家"),
    ("السيد محمد في القاهرة ", " ", "\u202e"),
    ("\u202b", " \u200f", "\u202c"),
    ("", "  ", "   "),
    ("“", " — ", "”"),
    ("\u200b", " \u00ad", "\ufeff"),
    ("\U0001d504\U0001f1f3\U0001f1f4", " \U0001f44d\U0001f3fd ", "\u2764\ufe0f"),
    ("İstanbul ß ﬁ ", " ", " ǅ"),
    ("<b>&amp;", " ", "</b>\"'"),
    ("\u0001", "\u0007 ", "\u001f"),
]


def sentences():
    words, found = [], []
    for line in (ROOT / "tests/fixtures/tiny/test.txt").read_text("utf-8").splitlines() + [""]:
        if line.strip() and not line.startswith("-DOCSTART-"):
            words.append(line.split()[0])
        elif words:
            found.append(words)
            words = []
    return found


def texts():
    corpus = sentences()
    plain = [" ".join(words) for words in corpus]
    for text in plain[:96]:
        yield text
    for index in range(96):
        before, between, after = ODD[index % len(ODD)]
        yield before + between.join(corpus[(index * 7) % len(corpus)]) + after
    yield ""
    yield "   \n\t "
    yield "\U0001f600"
    yield "a" * 400
    yield " ".join(plain[:60])
    yield "\n".join(plain[20:95])
    yield "\u00a0".join(" ".join(plain[5:40]).split(" "))
    yield "\U0001f469\u200d\U0001f680 " + " \U0001f600".join(plain[:50])


def tag(binary, model, text, options):
    command = [binary, "tag", "--json", "--quiet", "--model", str(ROOT / "tests/fixtures/models" / model)]
    command += ["--aggregation", options["aggregation"], "--threshold", str(options["threshold"])]
    if options["constrained"]:
        command.append("--constrained")
    answer = subprocess.run([*command, "--", text], check=True, capture_output=True)
    return json.loads(answer.stdout)["entities"]


def main():
    lines = []
    for index, text in enumerate(texts()):
        model = ["tiny-student", "tiny-teacher"][index % 2]
        options = {
            "aggregation": AGGREGATIONS[index % 5],
            "constrained": index % 3 == 1,
            "threshold": THRESHOLDS[index % len(THRESHOLDS)],
        }
        # The command line takes no empty argument for a text.
        entities = tag(sys.argv[1], model, text, options) if text else []
        keep = ["entity_type", "text", "start_byte", "end_byte", "score"]
        entities = [{name: entity[name] for name in keep} for entity in entities]
        lines.append({"role": model[5:], "options": options, "text": text, "entities": entities})
    with open(HERE / "tags.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)
    print(len(lines), "texts,", sum(len(line["entities"]) for line in lines), "entities")


main()
