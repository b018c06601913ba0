"""A paper about nothing, on the embedded digits, to try the machinery with."""

from vaebench.data.datasets import Data
from vaebench.evaluation.probes import Head, Logistic
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.paper import Paper, ReportedResult
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam

PROMISES = {
    "accuracy": ReportedResult("Table 1", "accuracy of a line | on means", 0.3),
    "cross-entropy": ReportedResult("Table 1", "cross-entropy of a head on sampled z, nats", 0.1, rule="at most"),
    "claim": ReportedResult("section 4", "the loss falls"),
}


def perform(experiment):
    data = experiment.data(Data(source="digits"))
    model = Model(latent=3, network=MLP(hidden=(16,)))
    training = Training(epochs=experiment.pick(2, 3, 4), batch=64, optimiser=Adam(rate=1e-2))
    trials = [experiment.vae(f"vae-{seed}", data, model, Elbo(), training, seed) for seed in experiment.seeds(cpu=2)]
    lines_ = [experiment.probe(f"line-{i}", Logistic(), trial.means, 10) for i, trial in enumerate(trials)]
    head = Head(name="small", network=MLP(hidden=(8,)), epochs=2)
    curves = experiment.curves("head", head, trials[0].sampled, 10)
    experiment.found("accuracy", [line["accuracy"] for line in lines_], why="seen")
    experiment.found("cross-entropy", curves["cross_entropy"], why="two epochs are too few")
    losses = [epoch["loss"] for epoch in trials[0].history]
    experiment.found(
        "claim", losses[-1], holds=losses[-1] < losses[0], why=f"from {losses[0]:.1f} to {losses[-1]:.1f} nats"
    )
    epochs = [record["epoch"] for record in curves["epochs"]]
    accuracies = {"test": Series(epochs, [record["test_accuracy"] for record in curves["epochs"]])}
    experiment.figure("curves", lambda: lines([Panel("head", accuracies, "epoch", "accuracy")]))


PAPER = Paper(
    short="Z",
    name="made-up",
    title="Nothing in particular",
    summary="It says nothing.",
    deviations=("All of it, <b>because</b>.",),
    minutes={"quick": 0.1, "cpu": 0.2, "full": 0.3},
    reported_results=PROMISES,
    captions={"curves": "The head's accuracy by epoch."},
    perform=perform,
)
