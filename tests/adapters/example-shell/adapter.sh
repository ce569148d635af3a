#!/bin/sh
# SPDX-License-Identifier: MIT
# A complete small adapter in shell (spec/adapters.md): creates and extracts archives with a command-line program.
set -u

if [ -n "${PXAR:-}" ]; then
    pxar=$PXAR
elif command -v pxar >/dev/null; then
    pxar=pxar
elif [ -n "${PBSREF:-}" ]; then
    pxar="$PBSREF pxar"
else
    echo "no pxar program: set PXAR" >&2
    exit 1
fi

if [ "$1" = --version ]; then
    echo "example-shell with $pxar"
    exit 0
fi

verb=$1 case=$2 out=$3
has() { [ -e "$case/args/$1" ]; }

# 0 accepted, 1 rejected, everything else is a crash: also what the shell makes of a signal.
finish() {
    case $1 in
    0) exit 0 ;;
    1 | 3 | 5 | 255) exit 1 ;;
    *) exit 2 ;;
    esac
}

# Supported options only, so that what is not known becomes "unsupported" and not a wrong result.
only() {
    for file in "$case"/args/*; do
        [ -e "$file" ] || continue
        case " $* " in
        *" ${file##*/} "*) ;;
        *) exit 127 ;;
        esac
    done
}

case $verb in
pxar-create)
    only split exclude
    set --
    if has exclude; then
        while IFS= read -r pattern; do
            case $pattern in *\\x*) exit 127 ;; esac # bytes that a line of shell cannot hold
            set -- "$@" --exclude "$pattern"
        done <"$case/args/exclude"
    fi
    if has split; then
        $pxar create "$out/archive.mpxar" "$case/tree" --payload-output "$out/archive.ppxar" "$@"
    else
        $pxar create "$out/archive.pxar" "$case/tree" "$@"
    fi
    finish $?
    ;;
pxar-extract)
    only strict allow-existing-dirs overwrite
    set --
    for option in strict allow-existing-dirs overwrite; do
        has $option && set -- "$@" --$option
    done
    if [ -e "$case/archive.mpxar" ]; then
        $pxar extract "$case/archive.mpxar" "$out/target" --payload-input "$case/archive.ppxar" "$@"
    else
        $pxar extract "$case/archive.pxar" "$out/target" "$@"
    fi
    finish $?
    ;;
*) exit 127 ;;
esac
