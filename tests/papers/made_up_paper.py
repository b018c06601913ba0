"""A made-up paper on the embedded digits, to test how papers are run and reported."""

from vaebench.data.datasets import Data
from vaebench.evaluation.probes import Head, Logistic
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.paper import Paper, ReportedResult
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam

REPORTED = {
    "accuracy": ReportedResult("Table 1", "accuracy of a linear probe | on means", 0.3),
    "cross-entropy": ReportedResult("Table 1", "cross-entropy of a head on sampled z, nats", 0.1, rule="at most"),
    "claim": ReportedResult("section 4", "the loss falls"),
}


def run(experiment):
    data = experiment.data(Data(source="digits"))
    model = Model(latent=3, network=MLP(hidden=(16,)))
    training = Training(epochs=experiment.pick(2, 3, 4), batch=64, optimiser=Adam(rate=1e-2))
    vaes = [experiment.vae(f"vae-{seed}", data, model, Elbo(), training, seed) for seed in experiment.seeds(cpu=2)]
    probes = [experiment.probe(f"probe-{i}", Logistic(), vae.means, 10) for i, vae in enumerate(vaes)]
    head = Head(name="small", network=MLP(hidden=(8,)), epochs=2)
    curves = experiment.curves("head", head, vaes[0].sampled, 10)
    experiment.record("accuracy", [probe["accuracy"] for probe in probes], "one per seed")
    experiment.record("cross-entropy", curves["cross_entropy"], "two epochs are too few")
    losses = [epoch["loss"] for epoch in vaes[0].history]
    explanation = f"from {losses[0]:.1f} to {losses[-1]:.1f} nats"
    experiment.record("claim", losses[-1], explanation, agrees=losses[-1] < losses[0])
    epochs = [record["epoch"] for record in curves["epochs"]]
    accuracies = {"test": Series(epochs, [record["test_accuracy"] for record in curves["epochs"]])}
    experiment.figure("curves", lambda: lines([Panel("head", accuracies, "epoch", "accuracy")]))


PAPER = Paper(
    short="Z",
    name="made-up",
    title="Nothing in particular",
    summary="It has no content.",
    deviations=("Everything, <b>because</b> it is made up.",),
    minutes={"quick": 0.1, "cpu": 0.2, "full": 0.3},
    reported_results=REPORTED,
    captions={"curves": "The head's accuracy by epoch."},
    run=run,
)
