"""vaebench reproduce and vaebench few-labels: long studies that go on where they were stopped."""

from __future__ import annotations

from pathlib import Path

from vaebench.cli.options import number, option
from vaebench.cli.terminal import interrupted_after, progress
from vaebench.core.errors import VaebenchError
from vaebench.core.memory import keep_freed_memory


def reproduce(words: list[str]) -> int:
    """The command."""
    words, budget_name = option(words, "--budget")
    words, out_name = option(words, "--out")
    words, seeds = option(words, "--seeds")
    words, minutes = option(words, "--minutes")
    if len(words) != 1 or words[0].startswith("-"):
        given = " ".join(words) or "nothing"
        raise VaebenchError(f"vaebench reproduce takes one paper (A to E, or all) and its options, not {given!r}")

    from vaebench.experiments.info import check_budget
    from vaebench.papers.reproduce import find_papers, minutes_left
    from vaebench.papers.reproduce import reproduce as reproduced

    budget, papers = check_budget(budget_name or "cpu"), find_papers(words[0])
    out = Path(out_name) if out_name else Path("runs") / "papers"
    seeds_asked = None if seeds is None else int(number("--seeds", seeds, whole=True))
    seconds = None if minutes is None else 60 * number("--minutes", minutes)
    whole, done = minutes_left(papers, budget, out)
    where = "one GPU (reckoned, not measured)" if budget == "full" else "two cores"
    print(f"about {whole:.3g} minutes on {where}, of which {min(done, whole):.1f} are done", flush=True)

    keep_freed_memory()
    with interrupted_after(seconds), progress() as callback:
        experiments = reproduced(papers, budget, out, seeds=seeds_asked, callback=callback)
    for experiment in experiments:
        verdicts = [row["agrees"] for row in experiment.result_rows()]
        counts = (
            f"{verdicts.count(True)} hold, {verdicts.count(False)} do not, {verdicts.count(None)} without a verdict"
        )
        print(f"{experiment.paper.short} {experiment.paper.name}: {len(verdicts)} results, {counts}")
    print(f"open {out / 'papers.md'}")
    return 0


def few_labels(words: list[str]) -> int:
    """The command."""
    words, budget_name = option(words, "--budget")
    words, out_name = option(words, "--out")
    words, minutes = option(words, "--minutes")
    if words:
        raise VaebenchError(f"vaebench few-labels takes only its options, not {' '.join(words)!r}")

    from vaebench.experiments.info import check_budget
    from vaebench.few_label_benchmark.run import BenchmarkInfo, minutes_done, run_benchmark

    budget = check_budget(budget_name or "cpu")
    out = Path(out_name) if out_name else Path("runs") / "few-labels"
    seconds = None if minutes is None else 60 * number("--minutes", minutes)
    whole = BenchmarkInfo.minutes[budget]
    done = min(minutes_done(out, budget), whole)
    where = "one GPU (reckoned, not measured)" if budget == "full" else "two cores"
    print(f"about {whole:.3g} minutes on {where}, of which {done:.1f} are done", flush=True)

    keep_freed_memory()
    with interrupted_after(seconds), progress() as callback:
        run_benchmark(budget, out, callback)
    print(f"open {out / 'few-labels.md'}")
    return 0
