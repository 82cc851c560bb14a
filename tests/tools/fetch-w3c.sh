#!/bin/sh
# Brings the W3C SPARQL 1.0 and 1.1 test suites, with their licences, out of the source archive of rdflib on PyPI.
# Prints the folder that holds `dawg-data-r2` and `sparql11`. Does nothing when it is there.
set -eu
cache="${1:-$HOME/.cache/renku-graph/w3c}"
suites="rdflib-7.1.1/test/data/suites/w3c"
if [ ! -f "$cache/$suites/sparql11/manifest-all.ttl" ]; then
    mkdir -p "$cache"
    python3 -m pip download --quiet --no-deps --no-binary :all: rdflib==7.1.1 -d "$cache" >&2
    unpacked="$(mktemp -d "$cache/unpack.XXXXXX")"
    tar xzf "$cache/rdflib-7.1.1.tar.gz" -C "$unpacked" "$suites"
    rm -rf "$cache/rdflib-7.1.1"
    mv "$unpacked/rdflib-7.1.1" "$cache/rdflib-7.1.1"
    rmdir "$unpacked"
fi
echo "$cache/$suites"
