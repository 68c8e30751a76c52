#!/usr/bin/env bash
# Start the daemon on a socket of its own and show its readings until Ctrl-C.
# usage: scripts/run.sh BIN SOURCE COUNT [arguments of hrd run ...]
set -uo pipefail
bin=$1 source=$2 count=$3
shift 3

folder=$(mktemp -d "${TMPDIR:-/tmp}/hrd-XXXXXX")
socket=$folder/hrd.sock
"$bin/hrd" run --source "$source" --socket "$socket" "$@" &
daemon=$!
finish() {
    kill -TERM "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
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
watch=("$bin/hrd" watch --socket "$socket" --wait 60)
if [ -n "$count" ]; then
    watch+=(--tracking --count "$count")
fi
"${watch[@]}"
