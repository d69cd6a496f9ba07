#!/usr/bin/env bash
# Ranks the amendments to the Constitution of the United States (public domain) for questions in everyday words.
set -eu
crossrank=${1:-crossrank}
documents=$(dirname "$0")/amendments.jsonl
for question in \
  "when did alcohol become illegal" \
  "how many times can someone be president" \
  "may soldiers live in my house"; do
  printf '\n  %s\n\n' "$question"
  "$crossrank" rank "$question" "$documents" --fields title,text --top-k 3 --table
done
printf '\nYour own: %s rank "your question" FILE   (.txt, .jsonl, .json, .csv, or - for standard input)\n' "$crossrank"
