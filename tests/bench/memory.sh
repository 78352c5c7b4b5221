#!/bin/sh
# Peak memory of labelling and distilling from 1, 4 and 16 times the same amount of text, with tiny models
# and equally many steps, so that what grows is the text alone. Needs GNU time. Prints Markdown.
#
#     sh tests/bench/memory.sh target/debug/understudy
set -eu
program=$(realpath "$1")
tiny=$(realpath "$(dirname "$0")/../fixtures/tiny")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo "| text | sentences | bytes | peak memory |"
echo "| --- | --- | --- | --- |"
for times in 1 4 16; do
    # Every sentence has a number of its own: the teacher labels each anew.
    awk -v times=$((100 * times)) '{ lines[NR] = $0 }
        END { for (n = 0; n < times; n++) for (i = 1; i <= NR; i++) print lines[i], n }' \
        "$tiny/unlabelled.txt" > "$times.txt"
    /usr/bin/time -f %M -o memory "$program" distill --teacher "$tiny/teacher" --data "$tiny" \
        --text "$times.txt" --text-ratio 9 --epochs 1 --hidden-size 64 --num-hidden-layers 2 \
        --num-attention-heads 4 --intermediate-size 128 --out "$times" --quiet > /dev/null
    printf '| %s × | %s | %s | %s MB |\n' "$times" "$(wc -l < "$times.txt")" \
        "$(wc -c < "$times.txt")" "$(($(cat memory) / 1000))"
    rm -rf "$times" "$times.txt"
done
