"""Oxigraph's own store, through its Python package: loads data, answers the benchmark's queries.

  load STORE FILE                    bulk loads N-Quads, ends when it is on disk
  optimize STORE                     compacts it
  serve STORE QUERIES                reads commands, one a line: `time QUERY TIMES` or `answer QUERY`
  oracle STORE DATA QUERIES OUT PEER answers over RDF merges: the triples stand in one default graph
"""

import hashlib
import json
import shutil
import sys
import time

import pyoxigraph as ox


def queries(path):
    named = []
    for block in open(path, encoding="utf-8").read().split("## ")[1:]:
        name, text = block.split("\n", 1)
        named.append((name.strip(), text.strip()))
    return named


def run(store, text, union):
    results = store.query(text, use_default_graph_as_union=union)
    if isinstance(results, ox.QueryBoolean):
        return results.serialize(format=ox.QueryResultsFormat.JSON)
    if isinstance(results, ox.QueryTriples):
        return results.serialize(format=ox.RdfFormat.N_TRIPLES)
    return results.serialize(format=ox.QueryResultsFormat.TSV)


def answer(store, text, union):
    """Rows, and a digest where the rows are not a choice of the engine."""
    lines = run(store, text, union).decode().splitlines()
    if text.startswith("SELECT"):
        lines = lines[1:]
    if text.startswith("CONSTRUCT") or text.startswith("DESCRIBE"):
        lines = list(set(lines))
    chosen = "LIMIT" in text and "ORDER BY" not in text
    digest = None if chosen else hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return {"rows": len(lines), "digest": digest}


def serve(path, query_file):
    store = ox.Store.read_only(path)
    named = queries(query_file)
    for line in sys.stdin:
        words = line.split()
        text = named[int(words[1])][1]
        if words[0] == "answer":
            reply = answer(store, text, True)
        else:
            times = int(words[2])
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(times):
                run(store, text, True)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            reply = {"wall": wall / times, "cpu": cpu / times}
        print(json.dumps(reply), flush=True)


def oracle(path, data, query_file, out, peer):
    named = queries(query_file)
    answers = {}
    shutil.rmtree(path, ignore_errors=True)
    store = ox.Store(path)
    store.bulk_load(path=f"{data}/twenty.nq", format=ox.RdfFormat.N_QUADS)
    for visible in ["twenty", "half", "all"]:
        store.bulk_load(path=f"{data}/{visible}.nt", format=ox.RdfFormat.N_TRIPLES)
        answers[visible] = {}
        for name, text in named:
            if "GRAPH" not in text or visible == "twenty":
                answers[visible][name] = answer(store, text, False)
            elif visible == "all":
                # Quads are a set in its own store too, so named graphs can be asked there.
                answers[visible][name] = answer(ox.Store.read_only(peer), text, False)
    del store
    shutil.rmtree(path, ignore_errors=True)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(answers, file)


def main():
    what, *rest = sys.argv[1:]
    if what == "load":
        store = ox.Store(rest[0])
        store.bulk_load(path=rest[1], format=ox.RdfFormat.N_QUADS)
        store.flush()
    elif what == "optimize":
        store = ox.Store(rest[0])
        store.optimize()
        store.flush()
    elif what == "serve":
        serve(*rest)
    elif what == "oracle":
        oracle(*rest)
    else:
        sys.exit(__doc__)


main()
