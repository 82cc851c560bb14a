#!/usr/bin/env python3
"""Compare many pairs of RDF files in one process.

    compare-all.py [options of compare-rdf.py] < pairs

Each line of standard input is EXPECTED<tab>ACTUAL. Prints one line a pair that differs; exits 0 when all are the same
graph, 1 when some differ, 2 when some could not be read. See compare-rdf.py for what counts as the same.
"""

import contextlib
import importlib.util
import io
import sys
from pathlib import Path


def main():
    spec = importlib.util.spec_from_file_location("compare_rdf", Path(__file__).with_name("compare-rdf.py"))
    compare_rdf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compare_rdf)

    options = sys.argv[1:]
    worst = 0
    count = 0
    for line in sys.stdin:
        pair = line.rstrip("\n").split("\t")
        sys.argv = ["compare-rdf.py", *options, *pair]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = compare_rdf.main()
        count += 1
        if status:
            print(f"{pair[1]}: {said.getvalue()}")
        worst = max(worst, status)
    print(f"{count} pairs compared")
    return worst


if __name__ == "__main__":
    sys.exit(main())
