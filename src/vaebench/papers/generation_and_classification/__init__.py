"""Paper B: "VAE for Image Generation and Classification": Normal and continuous Bernoulli VAEs on Fashion-MNIST."""

from __future__ import annotations

from vaebench.data.datasets import Data
from vaebench.models.objectives import Elbo
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification.claims import elbos, fill_claims, floors, sharpness_claims
from vaebench.papers.generation_and_classification.figures import draw
from vaebench.papers.generation_and_classification.reported import VAES, WORDS, reported_results
from vaebench.papers.generation_and_classification.table import fill_table, own, progress_of, training_of, variants
from vaebench.papers.paper import Paper


def perform(experiment: PaperExperiment) -> None:
    """Both VAEs, their pictures, and every classifier on every input in both regimes."""
    data = experiment.data(Data(source="fashion-mnist"))
    trials = {
        name: [
            experiment.vae(f"{name}-{seed}", data, model, Elbo(), training_of(experiment, name), seed)
            for seed in experiment.seeds(3)
        ]
        for name, model in VAES.items()
    }
    cells = fill_table(experiment, data, trials)
    own(experiment, data)
    variants(experiment, trials)
    floors(experiment, data)
    elbos(experiment, trials)
    fill_claims(
        experiment, cells, ", ".join(f"{WORDS[name]}: {progress_of(several[0])}" for name, several in trials.items())
    )
    sharpness_claims(experiment, trials)
    draw(experiment, data, trials, cells)


PAPER = Paper(
    short="B",
    name="generation-and-classification",
    title="VAE for Image Generation and Classification",
    summary=(
        "Two VAEs of 20 latents on Fashion-MNIST: one with a Gaussian likelihood (*Normal*), one with the continuous Bernoulli (*CB*). "
        "The paper compares their samples and reconstructions, then trains logistic regression and two small CNNs on the original images "
        "and on both latents, once on the 60,000 images (*large*) and once on the 10,000 (*small*, tested on the 60,000)."
    ),
    deviations=(
        "A CNN reads the 20 numbers of a code as an image of 4x5; as a row of 1x20 in rows of ours. Codes are standardised by their training part.",
        "Classifiers read the posterior means; sampled z in rows of ours. One VAE, trained on the 60,000, serves both regimes; *small* validates inside its 10,000.",
        "Half of Fashion-MNIST's pixels are exactly 0, so a learned scale makes the Gaussian density unbounded: it is floored at 0.01, and other floors and a unit scale are shown.",
        "1/12 of each training set is a validation part, which chooses every epoch.",
        "In the cpu budget the Normal VAE trains 40 epochs and the CB VAE 15 under a one-cycle rate at batch 512 and 256, instead of 200 at a constant 1e-3.",
        "Logistic regression is a linear layer trained by Adam on its cross-entropy, as its printed curves by epoch suggest.",
        "Samples over training come from three trainings of 1, 3 and all epochs.",
    ),
    minutes={"quick": 0.8, "cpu": 28, "full": 70},
    reported_results=reported_results(),
    captions={
        "elbos": "Validation ELBO by epoch. The two scales are two densities: only the shapes compare.",
        "samples-normal": "Normal VAE: samples from the prior (decoder means) after 1, 3 and all epochs. The longer it trains, the more they scatter: its codes do not follow the prior.",
        "samples-cb": "CB VAE: samples from the prior after 1, 3 and all epochs.",
        "real-beside-generated": "Test images; samples (decoder means) of both VAEs from the prior, and from a Gaussian fitted to the codes of the training images.",
        "reconstructions-normal": "Normal VAE: test images above, reconstructions below.",
        "reconstructions-cb": "CB VAE: the same.",
        "floors": "The Normal VAE's ELBO is set by the floor of its scale: a bound on the density, not a merit.",
        "curves-large": "Classifiers on the large training set: accuracy above, loss below, first seed.",
        "curves-small": "The same on the small training set.",
    },
    perform=perform,
)
