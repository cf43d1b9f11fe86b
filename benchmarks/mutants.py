"""Deliberate faults in the code, and which of them the tests notice
(``docs/explanation/mutation.md``).

    python benchmarks/mutants.py run                       # everything; hours, can be interrupted
    python benchmarks/mutants.py run rate losses           # parts of it
    python benchmarks/mutants.py run --sample 20 --minutes 60
    python benchmarks/mutants.py run --again               # the survivors, after tests were added
    python benchmarks/mutants.py report

cosmic-ray makes the mutants; each runs the tests of its part alone, in a copy of the working tree
below ``mutants/``. Each leaves a line in ``mutants/results.jsonl``, so that a run goes on where the
last one stopped; a file that has changed since starts anew.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import hashlib
import json
import os
import queue
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import parso
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

ROOT = Path(__file__).parents[1]
OUT = ROOT / "mutants"
RESULTS = OUT / "results.jsonl"

# Which tests notice faults of which files: arguments of pytest. Quick ones, of the part alone; the
# triples are tried with one encoder and quantizer.
PARTS = {
    "bitstream/targets.py": "tests/bitstream/test_targets.py",
    "model/codec.py": "tests/model tests/bitstream/test_coder.py"
    " -k 'not triple and not damaged and not truncated'",
    "priors": "tests/priors tests/model/test_codec.py tests/test_learning.py"
    " -k 'not (triple or overfits or quantizer) or gdn-mixed'",
    "quantizers": "tests/quantizers tests/model/test_codec.py tests/test_learning.py"
    " -k 'not (triple or overfits or quantizer_and_prior or rate) or hyperprior'",
    "rate": "tests/rate tests/model/test_codec.py tests/training/test_step.py -k 'not triple'",
    "losses": "tests/losses tests/training/test_step.py",
    "critics": "tests/critics",
    "training/judging.py": "tests/training/test_judging.py",
    "bitstream": "tests/bitstream -k 'not (triple or damaged or truncated) or gdn-mixed'",
    "post": "tests/post",
    "hybrid": "tests/hybrid",
    "training/base.py": "tests/training/test_step.py tests/training/test_precision.py"
    " tests/training/test_parts.py tests/training/test_run.py tests/training/test_resume.py"
    " tests/training/test_faults.py",
}
_MARKS = ("final", "abstractmethod", "runtime_checkable", "overload")  # for type checkers
_FAMILIES = ("ReplaceBinaryOperator", "ReplaceComparisonOperator", "ReplaceUnaryOperator")


class RemoveCall(Operator):
    """A statement that is nothing but a call becomes ``pass``; cosmic-ray removes no statements."""

    def mutation_positions(self, node: Any, **_: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "simple_stmt" and node.children[0].type in ("atom_expr", "power"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        statement = parso.parse("pass\n").children[0]
        statement.get_first_leaf().prefix = node.get_first_leaf().prefix
        return statement

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class Mutant(NamedTuple):
    """One fault: the ``occurrence``-th place in ``file`` that ``operator`` applies to."""

    part: str
    file: str  # relative to the repository
    operator: str
    occurrence: int
    line: int
    source: str  # hash of the file it is made from

    @property
    def key(self) -> str:
        return f"{self.file}:{self.operator}:{self.occurrence}:{self.source}"

    def code(self) -> str | None:
        """The mutated file; None where nothing comes of it."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        mutated: str | None = mutate_code(text, _operator(self.operator), self.occurrence)
        return None if mutated == text else mutated


def _operator(name: str) -> Any:
    return RemoveCall() if name == "RemoveCall" else plugins.get_operator(name)()


def _operators() -> list[str]:
    names = plugins.operator_names()
    return [*(n for n in names if not plugins.get_operator(n).arguments()), "RemoveCall"]


def mutants_of(part: str) -> list[Mutant]:
    """All faults of ``part`` worth trying, in an order that is random but always the same."""
    path = ROOT / "tngexp" / part
    files = [path] if path.suffix else sorted(path.glob("*.py"))
    found = [mutant for file in files for mutant in _mutants_of_file(part, file)]
    random.Random(0).shuffle(found)
    return found


def _mutants_of_file(part: str, path: Path) -> Iterator[Mutant]:
    text = path.read_text(encoding="utf-8")
    source = hashlib.sha256(text.encode()).hexdigest()[:8]
    nodes, lines, silent = list(ast_nodes(get_ast(text))), text.split("\n"), _silent(text)
    choices: dict[tuple[Any, str], list[Mutant]] = {}
    for name in _operators():
        operator = _operator(name)
        places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(places):
            decorator = lines[start[0] - 1].strip().removeprefix("@")
            if any(a <= start < b for a, b in silent) or decorator in _MARKS:
                continue
            # Of the dozen other operators that could stand in a place one is enough.
            family = next((f for f in _FAMILIES if f in name), name)
            mutant = Mutant(part, str(path.relative_to(ROOT)), name, occurrence, start[0], source)
            choices.setdefault((start, family), []).append(mutant)
    for (start, family), options in choices.items():
        yield random.Random(f"{start}{family}").choice(options)


def _silent(text: str) -> list[tuple[Any, Any]]:
    """Where nothing is executed: annotations and ``if TYPE_CHECKING``, as (start, end)."""
    spans = []
    for node in ast.walk(ast.parse(text)):
        quiet = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            quiet.append(node)
        for piece in quiet:
            if piece is not None:
                start = (piece.lineno, piece.col_offset)
                spans.append((start, (piece.end_lineno, piece.end_col_offset)))
    return spans


def read_results() -> dict[str, dict[str, Any]]:
    """The latest result of each mutant, by its key."""
    if not RESULTS.exists():
        return {}
    lines = map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())
    return {line["key"]: line for line in lines}


def copy_tree(number: int) -> Path:
    """A fresh copy of the working tree, without what git ignores, for one worker."""
    folder = OUT / f"tree-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


class Tester:
    """Runs the tests of a part in ``folder``, in forks of one process that holds the libraries.

    Of the 4 s that a noticed mutant takes in a process of its own 3 go to importing PyTorch and
    Lightning. ``tngexp`` itself is imported by each fork anew.
    """

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # two mutants of one second would look the same
            "OMP_NUM_THREADS": "1",
        }
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, __file__, "serve"], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0,
        )  # fmt: skip

    def __call__(self, part: str, limit: float) -> tuple[str, float]:
        """``"survived"``, ``"killed"`` or ``"timeout"``, and the seconds it took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        started = time.monotonic()
        self.process.stdin.write(json.dumps([shlex.split(PARTS[part]), limit]) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip(), time.monotonic() - started

    def end(self) -> None:
        """End the tests that are under way, and what they have started."""
        self.process.terminate()
        self.process.wait()


def serve() -> None:
    """Answer each line of arguments and seconds with what became of pytest under them."""
    import compressai.models
    import hydra
    import lightning
    import numba
    import pytest
    import torch

    libraries = [compressai.models, hydra, lightning, numba, torch]
    assert libraries
    assert not any(name.startswith("tngexp") for name in sys.modules)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for line in sys.stdin:
        arguments, limit = json.loads(line)
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with open(os.devnull, "r+") as null:
                for stream in (0, 1, 2):
                    os.dup2(null.fileno(), stream)
            options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header"]
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hydra is loaded
            os._exit(pytest.main([*options, *arguments]))
        print(_outcome(child, limit), flush=True)


def _outcome(child: int, limit: float) -> str:
    """Wait for ``child``, the leader of a group of processes, at most ``limit`` seconds."""
    end = time.monotonic() + limit
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return "survived" if status == 0 else "killed"
            time.sleep(0.02)
        return "timeout"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def baseline(run_tests: Tester, part: str) -> float:
    """Seconds that the tests of ``part`` take on the code as it is; twice, to fill caches."""
    outcome, _ = run_tests(part, 3600)
    if outcome == "survived":
        outcome, seconds = run_tests(part, 3600)
    if outcome != "survived":
        sys.exit(f"the tests of {part} fail on the code as it is: pytest {PARTS[part]}")
    return seconds


def work(run_tests: Tester, jobs: queue.Queue[tuple[Mutant, float]], end: float) -> None:
    """Try mutants until there are none left or the time is up."""
    while time.monotonic() < end and not _STOP.is_set():
        try:
            mutant, limit = jobs.get_nowait()
        except queue.Empty:
            return
        code = mutant.code()
        if code is None:
            continue
        original = (ROOT / mutant.file).read_text(encoding="utf-8")
        mutated = run_tests.folder / mutant.file
        mutated.write_text(code, encoding="utf-8")
        outcome, seconds = run_tests(mutant.part, limit)
        mutated.write_text(original, encoding="utf-8")
        if _STOP.is_set():
            return  # killed by us, not by its tests
        diff = difflib.unified_diff(original.split("\n"), code.split("\n"), lineterm="", n=1)
        line = {
            "key": mutant.key,
            **mutant._asdict(),
            "outcome": outcome,
            "seconds": round(seconds, 1),
            "diff": list(diff)[2:],
        }
        with _LOCK, RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            where = f"{mutant.file}:{mutant.line}"
            print(f"{outcome:8} {seconds:5.0f} s  {where} {mutant.operator}", flush=True)


_LOCK = threading.Lock()
_STOP = threading.Event()
_TESTERS: list[Tester] = []


def run(parts: list[str], sample: int | None, minutes: float, workers: int, again: bool) -> None:
    """Try the mutants of ``parts`` that have no result yet, or those that survived."""
    OUT.mkdir(exist_ok=True)
    done, end = read_results(), time.monotonic() + 60 * minutes
    _TESTERS.extend(Tester(copy_tree(number)) for number in range(workers))
    for part in parts:
        chosen = mutants_of(part)[:sample]
        if again:
            chosen = [m for m in chosen if done.get(m.key, {}).get("outcome") == "survived"]
        else:
            chosen = [m for m in chosen if m.key not in done]
        if not chosen or time.monotonic() > end:
            continue
        seconds = baseline(_TESTERS[0], part)
        print(f"{part}: {len(chosen)} mutants, {seconds:.0f} s where none is noticed", flush=True)
        jobs: queue.Queue[tuple[Mutant, float]] = queue.Queue()
        for mutant in chosen:
            jobs.put((mutant, 20 + 3 * workers * seconds))  # the workers slow each other down
        threads = [threading.Thread(target=work, args=(t, jobs, end)) for t in _TESTERS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def stop() -> None:
    """End what is under way; it has no result then, and is tried anew the next time."""
    _STOP.set()
    for tester in _TESTERS:
        tester.end()
    sys.exit("stopped; repeat the command to go on")


def report(parts: Iterable[str]) -> None:
    """Numbers of each part, then the faults that no test noticed."""
    results = read_results()
    survivors = []
    print("| part | mutants | tried | noticed | survived | seconds each |")
    print("|---|---|---|---|---|---|")
    for part in parts:
        mutants = mutants_of(part)
        tried = [results[m.key] for m in mutants if m.key in results]
        count = Counter(line["outcome"] for line in tried)
        noticed = count["killed"] + count["timeout"]
        mean = sum(line["seconds"] for line in tried) / max(len(tried), 1)
        print(
            f"| `{part}` | {len(mutants)} | {len(tried)} | {noticed} | {count['survived']} "
            f"| {mean:.0f} |"
        )
        survivors += [line for line in tried if line["outcome"] == "survived"]
    for line in sorted(survivors, key=lambda line: (line["file"], line["line"])):
        print(f"\n{line['file']}:{line['line']} {line['operator']}", *line["diff"], sep="\n    ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["run", "report", "serve"])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all unless given")
    parser.add_argument("--sample", type=int, help="mutants of each part, drawn at random")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start none after that")
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time")
    parser.add_argument("--again", action="store_true", help="try the survivors once more")
    options = parser.parse_args()
    if options.command == "serve":
        serve()  # for `run` alone
        return
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    parts = options.parts or list(PARTS)
    if options.command == "report":
        report(parts)
    else:
        try:
            run(parts, options.sample, options.minutes, options.workers, options.again)
        except KeyboardInterrupt:
            stop()


if __name__ == "__main__":
    main()
