"""The rows and the page of peers.py: one question a table, one library a line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmark_script import Report, provenance

Answers = dict[str, Any]
Cells = tuple[str, str]
"""Answer, and the numbers that it was read from."""

QUESTIONS = {
    "import": "Does it import with torch 2.13, and does its VAE train on digits?",
    "loss": "What does its default loss average and sum on 28 x 28 pixels?",
    "collapse": "Does its posterior collapse on digits under that loss?",
    "densities": "Is exp(-reconstruction loss) a density of a pixel?",
    "evidence": "What does it report as log-likelihood where log p(x) is known?",
    "resumed": "Does a resumed training end with the same bits?",
    "save": "Can a saved model be read without pickle?",
    "objective": "What does the same network reach on the same images?",
    "speed": "How many images per second does it train on?",
}
NOTES = {
    "loss": "The loss is called on a known input and compared with closed forms in float64. The effective beta is the "
    "increase of the loss per nat of KL, divided by its increase per nat of -log N(x; output, 1).",
    "collapse": "A latent counts as used if its mean KL on validation images is above 0.01 nats.",
    "densities": "The integral over the values of one pixel, which is 1 for a density: over the real line; for losses "
    "of pixels in [0, 1] the sum over 0 and 1, or the integral over grey values.",
    "evidence": "Four pixels, x = W z + noise with unit variance, and an encoder that gives the exact posterior.",
    "resumed": "Four epochs on 500 digits, against two epochs and a resume, with the largest difference of a weight. "
    "The checkpoint of disent holds the model as a Python object; lightning reads it with `weights_only=False` only.",
    "objective": "The mean over validation images of half the squared error and of the KL, for one sample of z, "
    "computed in float64 by one function for all. A loss with another effective beta minimises another sum.",
}
SETTINGS = (
    "Settings are the defaults, with these exceptions: multivae is asked with its `MVAE` of one modality, without "
    "subsets of modalities and without its warm-up of beta; vaebench has a Gaussian likelihood of standard deviation "
    "1, as the default losses of the others are squared errors. pyautoencoder has no trainer; "
    "it is trained by the loop of its README."
)


def imported(answers: Answers) -> Cells:
    """Whether the library imports and trains."""
    trained = answers["trains"]
    return (
        "fails to train" if "error" in trained else "imports and trains",
        trained.get("error") or ("" if answers["imported"] == "yes" else answers["imported"]),
    )


def loss(answers: Answers) -> Cells:
    """Reductions of the loss, and the effective beta."""
    found = answers["loss"]
    words = {0.5: "half the squared error", 1.0: "squared error"}[found["factor"]]
    reductions = f"{words}, {found['pixels']} over pixels; KL, {found['latents']} over latents"
    constant = f" {found['constant']}" if found["constant"] else ""
    if not math.isclose(found["value"], found["closed_form"], rel_tol=1e-5):
        reductions, constant = "none of the closed forms", ""
    measured = f"loss {found['value']:.5f}, closed form{constant} {found['closed_form']:.5f}"
    return f"{reductions}: effective beta {found['beta']:.4g}", measured


def collapse(answers: Answers) -> Cells:
    """Latents in use after training."""
    kl = answers["trains"]["kl"]
    used = sum(one > 0.01 for one in kl)
    return f"{used} of {len(kl)} latents used", f"KL {sum(kl):.2g} nats per image, largest of a latent {max(kl):.2g}"


def densities(answers: Answers) -> Cells:
    """Names whose integral is 1, and all integrals."""
    found = answers["densities"]
    integrals = [f"{name}: {'refused' if one is None else f'{one:.3f}'}" for name, one in found.items()]
    normalised = [name for name, one in found.items() if one is not None and abs(one - 1) < 1e-3]
    return "; ".join(normalised) or "none", "; ".join(integrals)


def evidence(answers: Answers) -> Cells:
    """Sign and constants of the reported log-likelihood."""
    found = answers["evidence"]
    if found is None:
        return "reports none", ""
    value, exact, constant = found["value"], found["exact"], 2 * math.log(2 * math.pi)
    meanings = {"log p(x)": exact, "-log p(x)": -exact, "log p(x) without its constant": exact + constant}
    meanings["-log p(x) without its constant"] = -exact - constant
    meaning = next((name for name, one in meanings.items() if abs(one - value) < 0.01), "another value")
    return f"`{found['name']}`: {meaning}", f"{value:.3f}, exact log p(x) {exact:.3f}"


def resumed(answers: Answers) -> Cells:
    """Whether a resume gives the bits of a training without interruption."""
    found = answers["resumed"]
    if found is None:
        return "has no resume", ""
    if found["repeated"]:
        return "two trainings differ without a resume", f"{found['repeated']:.2g}"
    return "yes" if found["resumed"] == 0 else "no", f"{found['resumed']:.2g}; repeated without interruption 0"


def save(answers: Answers) -> Cells:
    """Files of a saved model."""
    found = answers["save"]
    if found is None:
        return "has no function that saves", ""
    pickles = ", ".join(f"`{name}`" for name in found["pickles"])
    return ("no" if pickles else "yes"), (f"pickle in {pickles}" if pickles else ", ".join(found["files"]))


def objective(answers: Answers) -> Cells:
    """Reconstruction and KL of the trained VAE."""
    trained = answers["trains"]
    kl = sum(trained["kl"])
    total = trained["reconstruction"] + kl
    return f"{total:.2f} nats per image", f"reconstruction {trained['reconstruction']:.2f}, KL {kl:.2f}"


def speed(answers: Answers) -> Cells:
    """Images per second, where measured."""
    rate = answers["trains"].get("rate")
    return ("not measured" if rate is None else f"{rate:,.0f} images/s"), ""


CELLS: dict[str, Callable[[Answers], Cells]] = {
    "import": imported,
    "loss": loss,
    "collapse": collapse,
    "densities": densities,
    "evidence": evidence,
    "resumed": resumed,
    "save": save,
    "objective": objective,
    "speed": speed,
}
KEYS = {"collapse": "trains", "objective": "trains", "speed": "trains"}
"""Key of a question's answer, where it is another."""


def cells(question: str, answers: Answers) -> Cells:
    """Answer and numbers; failures are answers too."""
    if "failed" in answers:
        return "does not run", answers["failed"]
    found = answers.get(KEYS.get(question, question))
    if found and "error" in found:
        return "error", found["error"]
    return CELLS[question](answers)


def rows(answers: dict[str, Answers]) -> list[dict[str, str]]:
    """One row per question and library."""
    result = []
    for question in QUESTIONS:
        for peer, one in answers.items():
            answer, measured = cells(question, one)
            version = one.get("versions", {}).get(peer) or one["version"]
            row = {"peer": peer, "version": version, "question": question, "answer": answer, "evidence": measured}
            result.append(row)
    return result


def render(report: Report) -> str:
    """The page peers.md."""
    settings, found = report["settings"], report["rows"]
    out = [
        "# What other VAE libraries compute",
        "",
        f"{provenance(report, 'peers')} Each library runs in an environment of its own with torch 2.13.0, on one "
        f"thread, through its public functions. Trained models have one hidden layer of 256 units and 10 latents, and "
        f"see {settings['images']:,} MNIST digits for {settings['epochs']} epochs in batches of 100, by Adam with a "
        f"learning rate of 1e-3; they are evaluated on {settings['validation']:,} others. {SETTINGS}",
    ]
    for question, title in QUESTIONS.items():
        out += ["", f"## {title}", *(["", NOTES[question]] if question in NOTES else [])]
        out += ["", "| library | answer | measured |", "|---|---|---|"]
        for row in found:
            if row["question"] == question:
                out.append(f"| {row['peer']} {row['version']} | {row['answer']} | {row['evidence']} |")
    return "\n".join(out) + "\n"
