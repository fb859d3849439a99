"""``make fuzz``: a million inputs for everything that reads bytes from elsewhere (see ``fuzz_targets.py``).

    python tests/fuzz/fuzz_main.py                              1,000,000 inputs, a share for each target
    python tests/fuzz/fuzz_main.py --inputs 200000 --only values,frames
    python tests/fuzz/fuzz_main.py --engine plain --seed 7      without atheris
    python tests/fuzz/fuzz_main.py --only values FILE...        an input again

Where atheris is installed (Linux, x86-64; the extra ``dev`` has it there) libFuzzer steers by the code that is reached,
in a process for each target; elsewhere a plain mutator does what it can from the same corpus.  The memory of each input
is bounded.  What crashes is kept beside the corpus as ``crash-DIGEST``: the tests then read it for ever.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import math
import random
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

_HERE = Path(__file__).parent
_INPUTS = 1_000_000
# So long one input may take: 4 KiB are read in milliseconds, a life of the node in some hundred.
_SLOW_S = 20


def main() -> int:
    """Run the targets that are asked for; returns how many failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=_INPUTS)
    parser.add_argument("--only", help="targets, by commas")
    parser.add_argument("--engine", choices=("atheris", "plain"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    if options.child:
        return _fuzz_with_atheris(options.child, options.inputs, options.seed, options.files)
    from fuzz_engine import check, targets_of

    targets = targets_of(options.only)
    if options.files:
        for path in options.files:
            for target in targets.values():
                check(target, path.read_bytes())
        return 0
    engine = options.engine or ("atheris" if importlib.util.find_spec("atheris") else "plain")
    seed = random.randrange(1, 1 << 31) if options.seed is None else options.seed
    print(f"{engine}, seed {seed}", flush=True)
    total_share = sum(target.share for target in targets.values())
    run, failed, began = 0, [], time.monotonic()
    print(f"{'target':14}{'inputs':>10}{'inputs/s':>10}{'coverage':>10}{'features':>10}{'corpus':>8}", flush=True)
    for name, target in targets.items():
        inputs = math.ceil(options.inputs * target.share / total_share)
        start = time.monotonic()
        done, figures, problem = (_with_atheris if engine == "atheris" else _plainly)(name, inputs, seed)
        run += done
        took = time.monotonic() - start
        print(f"{name:14}{done:10,}{done / took:10,.0f}{''.join(f'{figure:>10}' for figure in figures)}", flush=True)
        if problem:
            failed.append(name)
            print(problem, flush=True)
    print(f"{run:,} inputs in {time.monotonic() - began:,.0f} s; failed: {', '.join(failed) or 'none'}", flush=True)
    if options.only is None:
        from fuzz_sizes import measure_shapes

        failed += measure_shapes(lambda line: print(line, flush=True))
        print(f"too slow or too large: {', '.join(set(failed) - targets.keys()) or 'none'}")
    return len(failed)


# --- without atheris ----------------------------------------------------------------------------------------------


def _plainly(name: str, inputs: int, seed: int) -> tuple[int, tuple[str, ...], str]:
    from fuzz_engine import Mutator, check_memory, seeds_of
    from fuzz_targets import TARGETS

    target, seeds = TARGETS[name], seeds_of(name)
    mutator = Mutator(seeds, random.Random(f"{name} {seed}"), target.bytes_max)
    problem, done = "", 0
    tracemalloc.start()
    try:
        for data in (*seeds, *(mutator.next() for _ in range(inputs))):
            done += 1
            try:
                check_memory(target, data)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                kept = _keep(name, data)
                problem = f"  {type(error).__name__}: {error}\n  kept as {kept}"
                break
    finally:
        tracemalloc.stop()
    return done, ("-", "-", str(len(seeds))), problem


def _keep(name: str, data: bytes) -> Path:
    path = _HERE / "corpus" / name / f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


# --- with atheris -------------------------------------------------------------------------------------------------

_STATS = re.compile(r"#(\d+)\s+(?:DONE|REDUCE|NEW|pulse|INITED|RELOAD)\s+cov: (\d+) ft: (\d+) corp: (\d+)")


def _with_atheris(name: str, inputs: int, seed: int) -> tuple[int, tuple[str, ...], str]:
    """Run libFuzzer in a process of its own: it does not return."""
    with tempfile.TemporaryDirectory() as found:
        command = [sys.executable, __file__, "--child", name, "--inputs", str(inputs), "--seed", str(seed), found]
        child = subprocess.run(command, capture_output=True, check=False)
        text = child.stderr.decode(errors="replace") + child.stdout.decode(errors="replace")
        stats = _STATS.findall(text)
        done, *figures = stats[-1] if stats else ("0", "?", "?", "?")
        problem = ""
        if child.returncode:
            kept = [_keep(name, path.read_bytes()) for path in Path(found).glob("bad-*")]
            problem = f"{text[-3000:]}\n  kept as {', '.join(map(str, kept))}"
        return int(done), tuple(figures), problem


def _fuzz_with_atheris(name: str, inputs: int, seed: int, files: list[Path]) -> int:
    import atheris

    with atheris.instrument_imports(include=["broker"]):
        from fuzz_engine import Mutator, check, check_memory, seeds_of
        from fuzz_targets import TARGETS

    target = TARGETS[name]
    seeds = seeds_of(name)
    for data in seeds:  # what is made once is there before memory is measured
        check(target, data)
    ours = Mutator(seeds, random.Random(seed), target.bytes_max)

    def mutate(data: bytes, bytes_max: int, number: int) -> bytes:
        """Every other input is of our own making: what msgspec and msgpack do in C, libFuzzer does not see."""
        return bytes(atheris.Mutate(data, bytes_max) if number & 1 else ours.next()[:bytes_max])

    (found,) = files
    arguments = [
        __file__,
        f"-runs={inputs}",
        f"-seed={seed or 1}",
        f"-max_len={target.bytes_max}",
        f"-timeout={_SLOW_S}",
        f"-artifact_prefix={found}/bad-",
        "-print_final_stats=0",
        str(found),
        str(_HERE / "corpus" / name),
    ]
    tracemalloc.start()
    atheris.Setup(arguments, lambda data: check_memory(target, data) and None, custom_mutator=mutate)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
