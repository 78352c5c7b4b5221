"""What one corrected sentence teaches a student, and what it costs of what the student knew, by settings.

    cargo build -p tests --example lessons
    python tests/bench/lessons.py target/debug/examples/lessons models/student learning_rate=3e-4 scope=last:2,learning_rate=5e-5

Eight sentences that the student which ships gets wrong in part, each taught by itself, and two others with the
same names. Prints Markdown, a row for each list of settings; needs Python 3.9 alone.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# A sentence as it should be tagged, and two that are asked afterwards.
LESSONS = [
    ("Yesterday [Stripe ORG] hired two engineers from [Palantir ORG] .",
     "[Palantir ORG] sued [Stripe ORG] on Monday .", "[Stripe ORG] will move to [Dublin LOC] ."),
    ("[May PER] met [June PER] in the park .", "[June PER] and [May PER] were late .", "Then [May PER] called [June PER] ."),
    ("[Kubernetes MISC] was written at [Google ORG] .", "[Google ORG] gave [Kubernetes MISC] away .",
     "Many use [Kubernetes MISC] ."),
    ("[Washington PER] scored twice against [Jordan PER] .", "[Jordan PER] lost to [Washington PER] in two sets .",
     "[Washington PER] beat [Jordan PER] ."),
    ("[Grok Industries ORG] will build a lab in [Kalvenmoor LOC] .", "[Kalvenmoor LOC] welcomes [Grok Industries ORG] .",
     "The mayor of [Kalvenmoor LOC] spoke ."),
    ("[Mercury ORG] and [Queen ORG] toured [Brazil LOC] together .",
     "[Queen ORG] played before [Mercury ORG] in [Brazil LOC] .", "Tickets for [Queen ORG] are gone ."),
    ("[Paris PER] said she would stay in [London LOC] .", "Then [Paris PER] left [London LOC] .",
     "[Paris PER] smiled at her brother ."),
    ("[Dr. Oetker ORG] sells pizza in [Bielefeld LOC] .", "Shares of [Dr. Oetker ORG] fell .",
     "[Dr. Oetker ORG] hired a chemist ."),
]
MARK = re.compile(r"\[([^\]]+) ([A-Z]+)\]")


def plain(marked):
    """The text, and its entities as `(type, words, first byte, end byte)`."""
    text, spans, end = "", [], 0
    for mark in MARK.finditer(marked):
        text += marked[end : mark.start()]
        start = len(text.encode())
        text += mark[1]
        spans.append((mark[2], mark[1], start, len(text.encode())))
        end = mark.end()
    return text + marked[end:], spans


def main():
    program, student, *all_settings = sys.argv[1:]
    print("| settings | learned | others right | kept, mean | kept, lowest |\n| --- | --- | --- | --- | --- |")
    for settings in all_settings:
        learned, others, kept = 0, 0, []
        for marked, *asked in LESSONS:
            text, spans = plain(marked)
            spans = [{"entity_type": kind, "start_byte": start, "end_byte": end} for kind, _, start, end in spans]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "lesson.json")
                path.write_text(json.dumps({"lessons": [{"text": text, "spans": spans}], "text": []}))
                asked = [plain(sentence) for sentence in asked]
                tags = [f"tag={text}" for text, _ in asked]
                command = [program, student, str(path), *settings.split(","), *tags]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            learned += float(re.findall(r"new: Some\(([\d.]+)\)", output)[-1]) == 1
            kept.append(float(re.findall(r"kept: Some\(([\d.]+)\)", output)[-1]))
            answers = [line.split(" -> ")[1].split(", ") for line in output.splitlines() if " -> " in line][-2:]
            for answer, (_, spans) in zip(answers, asked):
                others += sorted(answer) == sorted(f"{kind} {words}" for kind, words, _, _ in spans)
        mean = sum(kept) / len(kept)
        print(f"| `{settings}` | {learned} of 8 | {others} of 16 | {mean:.3f} | {min(kept):.3f} |", flush=True)


if __name__ == "__main__":
    main()
