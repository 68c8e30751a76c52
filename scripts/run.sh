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

# a daemon that could not start has already said why
while [ ! -S "$socket" ]; do
    kill -0 "$daemon" 2>/dev/null || { wait "$daemon"; exit $?; }
    sleep 0.1
done
watch=("$bin/hrd" watch --socket "$socket" --wait 60 --once)
if [ -n "$count" ]; then
    watch+=(--tracking --count "$count")
fi
# the camera is open, or it is not, before there is anything to see
tell
"${watch[@]}" || {
    code=$?
    # a daemon that has ended with an error says more than its client
    kill -0 "$daemon" 2>/dev/null || { wait "$daemon"; exit $?; }
    exit "$code"
}
