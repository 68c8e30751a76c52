#!/usr/bin/env bash
# Start the daemon on a socket of its own and show its readings until Ctrl-C, or the end of a file.
# usage: scripts/run.sh BIN SOURCE COUNT [arguments of hrd run ...]
# What the daemon has to say comes before the readings or after them, never in between.
set -uo pipefail
bin=$1 source=$2 count=$3
shift 3

folder=$(mktemp -d "${TMPDIR:-/tmp}/hrd-XXXXXX")
socket=$folder/hrd.sock log=$folder/log
"$bin/hrd" run --log-level warning --source "$source" --socket "$socket" "$@" 2>"$log" &
daemon=$!
said=0
tell() {  # what the daemon has said since the last time
    tail -c "+$((said + 1))" "$log" >&2
    said=$(stat -c %s "$log")
}
finish() {
    kill -TERM "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    tell
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' TERM
trap : INT  # Ctrl-C ends the watcher, and then this script goes on to its end

watch=("$bin/hrd" watch --socket "$socket" --once)
or_else() {  # a daemon that has ended says itself why; else its client does
    local turn
    for ((turn = 0; turn < 30; turn++)); do  # its socket closes a moment before it ends
        kill -0 "$daemon" 2>/dev/null || { wait "$daemon"; exit $?; }
        sleep 0.1
    done
    cat "$folder/watch" >&2
    exit 1
}
# once there is something to see, the daemon has said which camera it is
"${watch[@]}" --json --count 1 --wait 600 --pid "$daemon" >/dev/null 2>"$folder/watch" || or_else
tell
if [ -n "$count" ]; then
    watch+=(--tracking --count "$count")
fi
"${watch[@]}" 2>"$folder/watch" || or_else
