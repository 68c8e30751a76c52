# Debian packages that a test needs; sourced by the scripts of long tests.
# shellcheck shell=bash

# need COMMAND PACKAGE [COMMAND PACKAGE ...]: install what is missing, as root on a Debian. Returns 1
# with one sentence on stdout if something is still missing then.
need() {
    local command packages=() commands=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || { commands+=("$1"); packages+=("$2"); }
        shift 2
    done
    [ ${#packages[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        printf 'installing %s\n' "${packages[*]}" >&2
        DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                "${packages[@]}" >/dev/null || true
    fi
    for command in "${commands[@]}"; do
        command -v "$command" >/dev/null || {
            printf '%s is missing (apt-get install %s)\n' "$command" "${packages[*]}"
            return 1
        }
    done
}
