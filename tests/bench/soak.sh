#!/bin/sh
# A thousand texts through `tag`, and the same thousand ten times: the peak of memory must not grow with them.
# Needs GNU time. Prints Markdown.
#
#     sh tests/bench/soak.sh target/debug/understudy
set -eu
program=$(realpath "$1")
text=$(realpath "$(dirname "$0")/../../native/text/wiki_vital.txt")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "| texts | seconds | peak memory |"
echo "| --- | --- | --- |"
for times in 1 10; do
    for _ in $(seq $times); do head -1000 "$text"; done > "$folder/texts"
    /usr/bin/time -f '%e %M' -o "$folder/cost" "$program" tag --json --quiet < "$folder/texts" > "$folder/tagged"
    test "$(wc -l < "$folder/tagged")" = "$((1000 * times))"
    read -r seconds kilobytes < "$folder/cost"
    echo "| $((1000 * times)) | $seconds | $((kilobytes / 1000)) MB |"
    first=${first:-$kilobytes}
done
# A tenth is left to the allocator.
test "$kilobytes" -le "$((first * 11 / 10))" || { echo "memory grew" >&2; exit 1; }
