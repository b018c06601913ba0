"""Formulas broken on purpose: each breakage must be caught by the tests named beside it. Part of `make soak`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODELS, TRAINING, EVALUATION, DATA = "tests/models", "tests/training", "tests/evaluation", "tests/data"
# (file, what stands there, what it is broken into, tests that must fail)
BREAKAGES = [
    ("models/likelihoods.py", "raw.new_tensor(self.scale)", "raw.new_tensor(self.scale**2)", MODELS),
    ("models/likelihoods.py", "_gaussian(mean, self.floor + F.softplus(raw_scale))", "_gaussian(mean, F.softplus(raw_scale))", MODELS),
    ("models/likelihoods.py", "low < 0 or high > 1", "low < -1 or high > 3", MODELS),
    ("models/distributions.py", "self.logits * (value - 0.5)", "self.logits * value", MODELS),
    ("models/distributions.py", "a * (-1 / 180 +", "a * (1 / 180 +", MODELS),
    ("models/distributions.py", "s * (2 / 945 +", "s * (1 / 945 +", MODELS),
    ("models/distributions.py", "u + t * u * (1 - u) / 2", "u - t * u * (1 - u) / 2", MODELS),
    ("models/distributions.py", "torch.where(t > 0, 1 - y, y)", "y", MODELS),
    ("models/distributions.py", "0.5 + 0.5 * langevin(self.logits / 2)", "torch.sigmoid(self.logits)", MODELS),
    ("models/latents.py", ".mul(0.5).exp()", ".exp()", MODELS),
    ("models/latents.py", "return kl_divergence(q.base_dist, p.base_dist)", "return kl_divergence(p.base_dist, q.base_dist).expand_as(q.mean)", MODELS),
    ("models/latents.py", "F.softplus(raw_scale) + 1e-6", "F.softplus(raw_scale)", MODELS),
    ("models/semi_supervised.py", "(joint - log_q)", "joint", MODELS),
    ("models/semi_supervised.py", " - math.log(len(model.one_hot))", "", MODELS),
    ("models/semi_supervised.py", "known.sum().clamp(min=1)", "len(known)", MODELS),
    ("models/semi_supervised.py", "torch.where(known > 0, seen, unseen)", "unseen", MODELS),
    ("models/semi_supervised.py", "- self.beta * information", "- information", MODELS),
    ("models/objectives.py", "_terms(log_px, kl_q, (self.beta * kl_q - log_px).mean())", "_terms(log_px, kl_q, (kl_q - log_px).mean())", MODELS),
    ("models/objectives.py", "(self.beta * kl_q - log_px).mean()", "(self.beta * kl_q - log_px).sum()", MODELS),
    ("models/objectives.py", "(self.beta * kl_q - log_px).mean()", "(self.beta * kl_q / len(kl_q) - log_px).mean()", MODELS),
    ("models/objectives.py", ".logsumexp(0) - math.log(self.samples)", ".logsumexp(0)", MODELS),
    ("models/objectives.py", "p.log_prob(z) - q.log_prob(z)", "p.log_prob(z)", MODELS),
    ("models/objectives.py", "q.rsample((self.samples,))", "q.rsample((1,))", MODELS),
    ("models/objectives.py", "per_latent.mean(0).clamp(min=self.floor).sum()", "per_latent.clamp(min=self.floor).mean(0).sum()", MODELS),
    ("models/objectives.py", "self.beta * min(1.0, progress / self.share)", "self.beta * progress / self.share", MODELS),
    ("models/objectives.py", "(kl_q.mean() - capacity).abs()", "(kl_q.mean() - capacity)", MODELS),
    ("models/objectives.py", "log_px = model.decode(q.mean).log_prob(batch.x)", "log_px = model.decode(q.rsample()).log_prob(batch.x)", MODELS),
    ("models/networks.py", "kernel, stride, padding, (missing[0], missing[1])", "kernel, stride, padding, 0", MODELS),
    ("models/networks.py", '[norm, activation] if network.batch_norm == "before"', '[norm, activation] if network.batch_norm == "after"', MODELS),
    ("training/loop.py", 'restore_generators(under("generator", tensors))', "pass", TRAINING),
    ("training/loop.py", 'restore_optimiser(self.optimiser, under("optimiser", tensors))', "pass", TRAINING),
    ("training/loop.py", 'self.averaged.load_state_dict(under("averaged", tensors))', "pass", TRAINING),
    ("training/loop.py", "torch.manual_seed(self.seed * 1_000_003 + self.epoch)", "torch.seed()", TRAINING),
    ("training/loop.py", 'record["validation_loss"] < min(earlier, default=math.inf)', "True", TRAINING),
    ("training/loop.py", "terms.loss.detach() * images", "terms.loss.detach()", TRAINING),
    ("training/checkpoint.py", "if changed := differences(", "if changed := False and differences(", TRAINING),
    ("training/schedules.py", "progress / self.warm_up", "1.0", TRAINING),
    ("evaluation/features.py", "(train.mean - centre).square().mean().sqrt()", "(train.mean - centre).square().mean(0).sqrt()", EVALUATION),
    ("evaluation/features.py", "self.log_variance[rows].mul(0.5).exp()", "self.log_variance[rows].exp()", EVALUATION),
    ("evaluation/features.py", "PCA(most, random_state=seed).fit(pixels.train", "PCA(most, random_state=seed).fit(pixels.test", EVALUATION),
    ("evaluation/bounds.py", "return -float(self.reconstruction.mean()) - self.kl", "return -float(self.reconstruction.mean()) + self.kl", EVALUATION),
    ("evaluation/bounds.py", "self.kl_per_latent < DEAD_BELOW", "self.kl_per_latent > DEAD_BELOW", EVALUATION),
    ("evaluation/few_labels.py", "balanced_draw(labels, count, (seed, draw))", "balanced_draw(labels, count, (seed, 0))", EVALUATION),
    ("evaluation/few_labels.py", "part.train.take(rows)", "part.train", EVALUATION),
    ("evaluation/few_labels.py", "np.std(values, ddof=1)", "np.std(values)", EVALUATION),
    ("evaluation/panels.py", "labels * classes + probabilities.argmax(-1)", "labels + classes * probabilities.argmax(-1)", EVALUATION),
    ("evaluation/panels.py", "torch.linspace(-3, 3, STEPS)", "torch.linspace(-2, 2, STEPS)", EVALUATION),
    ("models/bottleneck.py", "nats + self.beta * information", "nats + information", MODELS),
    ("models/bottleneck.py", "for _ in range(samples)", "for _ in range(1)", MODELS),
    ("models/likelihoods.py", "_gaussian(raw.sigmoid(), raw", "_gaussian(raw, raw", MODELS),
    ("evaluation/samples.py", "xlogy(part, part) - torch.special.xlogy(part, marginal)", "xlogy(part, part)", EVALUATION),
    ("evaluation/samples.py", ">= confidence", "> confidence", EVALUATION),
    ("evaluation/samples.py", "log_variance.double().exp().mean(0)", "log_variance.double().mul(0.5).exp().mean(0)", EVALUATION),
    ("evaluation/samples.py", "clamp(min=0).sqrt() @", "clamp(min=0) @", EVALUATION),
    ("evaluation/shapes.py", "return -shear.atan()", "return shear.atan()", EVALUATION),
    ("evaluation/shapes.py", "return 2 * x.sum", "return x.sum", EVALUATION),
    ("evaluation/errors.py", "missed & (count == 1)", "missed", EVALUATION),
    ("evaluation/errors.py", "np.abs(a - b).sum() / 2", "np.abs(a - b).sum()", EVALUATION),
    ("evaluation/errors.py", "a + b - a * b", "a + b", EVALUATION),
    ("evaluation/separation.py", "0 if name in first else 1", "1 if name in first else 0", EVALUATION),
    ("evaluation/scores.py", "-own.log().mean()", "own.log().mean()", EVALUATION),
    ("training/loop.py", "(mark[name] - before[name]) / images", "mark[name] / images", TRAINING),
    ("papers/paper.py", "np.std(numbers, ddof=1)", "np.std(numbers)", "tests/papers/test_study.py"),
    ("studies/study.py", 'return kept if kept["identity"] == _plain(identity) else None', "return kept", "tests/papers/test_study.py"),
    ("data/images.py", "first = [group[len(part) :]", "first = [group[0:]", DATA),
    ("data/images.py", "replace=False)", "replace=True)", EVALUATION),
    ("data/images.py", "torch.full_like(found.labels, HIDDEN)", "found.labels", DATA),
    ("data/images.py", "self.unlabelled.batch(rows[few:])", "self.unlabelled.batch(rows[:-few])", DATA),
    ("data/augment.py", "(torch.rand(len(x), device=x.device, dtype=x.dtype) * 2 - 1) * amount", "torch.rand(len(x), device=x.device, dtype=x.dtype) * amount", "tests/data/test_augment.py"),
    ("data/augment.py", "x.clamp(min=0) ** power", "x.clamp(min=0) * power", "tests/data/test_augment.py"),
    ("data/augment.py", "(rows < self.cutout)", "(rows <= self.cutout)", "tests/data/test_augment.py"),
    ("models/objectives.py", "self.weight * apart.mean()", "2 * self.weight * apart.mean()", "tests/models/test_objectives.py"),
    ("models/objectives.py", "apart = kl(warped, plain)", "apart = kl(plain, warped)", "tests/models/test_objectives.py"),
    ("models/objectives.py", ".roll(size)", ".roll(1)", "tests/models/test_objectives.py"),
    ("models/objectives.py", "F.normalize(q.base_dist.loc, dim=-1)", "q.base_dist.loc", "tests/models/test_objectives.py"),
    ("models/auxiliary.py", "+ hint.log_prob(a)[:, None]", "", "tests/models/test_auxiliary.py"),
    ("models/auxiliary.py", "joint - log_q)", "joint)", "tests/models/test_auxiliary.py"),
    ("models/mixture.py", "self.share = nn.Parameter(shares.log())", "self.share = nn.Parameter(shares)", "tests/models/test_mixture.py"),
    ("models/mixture.py", "scales.log()", "scales", "tests/models/test_mixture.py"),
    ("models/local.py", "seen[-1, horizon:] = 0.0", "seen[-1, horizon + 1 :] = 0.0", "tests/models/test_local.py"),
    ("models/local.py", "(h, h, h, 0)", "(h, h, 0, h)", "tests/models/test_local.py"),
    ("models/self_training.py", "sure > self.threshold", "sure > 1 - self.threshold", "tests/models/test_self_training.py"),
    ("evaluation/graphs.py", "sources - sources.mean(0)", "sources", "tests/evaluation/test_graphs.py"),
    ("evaluation/graphs.py", "sparse.csr_array((weights + weights.T) / 2)", "weights", "tests/evaluation/test_graphs.py"),
    ("evaluation/graphs.py", "direction = steep + _ratio(size, before) * direction", "direction = steep", "tests/evaluation/test_graphs.py"),
    ("evaluation/mixtures.py", "np.maximum(np.bincount(labels, minlength=classes), 1)", "1", "tests/evaluation/test_mixtures.py"),
    ("evaluation/semi_supervised.py", "-lead[members]", "lead[members]", "tests/evaluation/test_semi_supervised_method.py"),
    ("evaluation/semi_supervised.py", "copy.deepcopy(vae)", "vae", "tests/evaluation/test_semi_supervised_method.py"),
    ("evaluation/semi_supervised.py", "hidden = images.without_labels()", "hidden = images", "tests/evaluation/test_semi_supervised_method.py"),
    ("ladder/arena.py", "return self.data.train.without_labels()", "return self.data.train", "tests/ladder/test_ladder.py"),
    ("ladder/methods.py", "return Codes(few.mean, given.labels, few.log_variance, few.sampled)", "return few", "tests/ladder/test_ladder.py"),
    ("ladder/methods.py", "torch.full_like(features.train.labels, -1)", "features.train.labels", "tests/ladder/test_ladder.py"),
    ("ladder/choice.py", "for other in ON[name]]", "for other in arenas]", "tests/ladder/test_ladder.py"),
    ("evaluation/calibration.py", "gap.abs().sum()", "gap.sum()", "tests/evaluation/test_calibration.py"),
    ("evaluation/semi_supervised.py", "Mixed(Mixed(few, known, min(self.given, len(few))), hidden", "Mixed(known, hidden", "tests/evaluation/test_semi_supervised_method.py"),
    ("evaluation/semi_supervised.py", "model.temperature.fill_(self.temperature)", "pass", "tests/evaluation/test_semi_supervised_method.py"),
    ("models/self_training.py", "self.logits(self.features(x)) / self.temperature", "self.logits(self.features(x)) * self.temperature", "tests/evaluation/test_semi_supervised_method.py"),
    ("models/self_training.py", "unseen.sum() / hidden.sum().clamp(min=1)", "unseen.mean() * 0.9", "tests/models/test_self_training.py"),
    ("evaluation/graphs.py", ">= self.many * classes", "> self.many * classes", "tests/evaluation/test_graphs.py"),
    ("evaluation/few_labels.py", "torch.full_like(self.images.labels, HIDDEN)", "self.images.labels.clone()", "tests/test_few_labels_run.py"),
    ("evaluation/calibration.py", ".log() / temperature", ".log() * temperature", "tests/evaluation/test_calibration.py"),
    ("ladder/choice.py", "TEMPERATURES[int(losses.argmin())]", "TEMPERATURES[0]", "tests/ladder/test_ladder.py"),
    ("ladder/differences.py", "[a - b for a, b", "[b - a for a, b", "tests/ladder/test_differences.py"),
    ("ladder/differences.py", "self.interval[0] > 0 or self.interval[1] < 0", "self.interval[0] > 0", "tests/ladder/test_differences.py"),
    ("ladder/differences.py", 'row["split"] == "test" and', "", "tests/ladder/test_differences.py"),
    ("ladder/kept.py", "bounds(vae, test)", "bounds(vae, arena.data.validation)", "tests/ladder/test_ladder.py"),
    ("performance/perform.py", "self.draws[count][0]", "self.draws[count][-1]", "tests/test_few_labels_run.py"),
    ("performance/perform.py", "        self.check_labels()\n", "", "tests/test_few_labels_run.py"),
    ("reports/verdict.py", '"self-trained": "Self-trained VAEs", "vae": "Latents"', '"vae": "Latents", "self-trained": "Self-trained VAEs"', "tests/reports/test_verdict.py"),
    ("evaluation/calibration.py", "- truth).square().sum(1)", "- truth).abs().sum(1)", "tests/evaluation/test_calibration.py"),
    ("evaluation/calibration.py", "(centre + half) / shrunk", "centre + half", "tests/evaluation/test_calibration.py"),
    ("evaluation/calibration.py", "hits[left, hits[rows].mean(0).argmax()]", "hits[rows, hits[rows].mean(0).argmax()]", "tests/evaluation/test_calibration.py"),
    ("classification/choice.py", "best_temperature(self.answers[name][~own], self.labels[~own])", "best_temperature(self.answers[name][own], self.labels[own])", "tests/classification/test_choice.py"),
    ("classification/choice.py", "fit(bench, rows[~held], labels[~held], seed)", "fit(bench, rows, labels, seed)", "tests/classification/test_choice.py"),
    ("classification/choice.py", "1.96 * float(gap.std(ddof=1))", "float(gap.std(ddof=1))", "tests/classification/test_choice.py"),
    ("classification/ask.py", "np.argsort(-doubts[rows]", "np.argsort(doubts[rows]", "tests/classification/test_ask.py"),
    ("classification/ask.py", "    free[labelled] = False\n", "", "tests/classification/test_ask.py"),
    ("classification/ask.py", ".min() > near:", ".min() >= 0:", "tests/classification/test_ask.py"),
    ("classification/classifier.py", "self.network(x) / self.description.temperature", "self.network(x)", "tests/classification/test_classifier.py"),
    ("classification/methods.py", "line.bias - line.weight @ (components @ mean)", "line.bias", "tests/classification/test_methods.py"),
    ("evaluation/probes.py", "torch.cat([-found, found]) / 2, torch", "torch.cat([-found, found]), torch", "tests/explorer/test_explorer.py"),
    ("classification/rarity.py", "distances[:, 1:], distances[:, :-1]", "distances[:, :-1], distances[:, 1:]", "tests/classification/test_rarity.py"),
    ("data/photos.py", "_eight_bits(ImageOps.exif_transpose(image), self.white)", "_eight_bits(image, self.white)", "tests/data/test_photos.py"),
    ("data/photos.py", "max(highest.bit_length(), 9)", "16", "tests/data/test_photos.py"),
    ("data/label_files.py", "elif labels.setdefault(found, label) != label:", "elif labels.setdefault(found, label) is None:", "tests/data/test_label_files.py"),
    ("data/npz.py", "numbers = np.full(known.max() + 2, HIDDEN)", "numbers = np.zeros(known.max() + 2, int)", "tests/classification/test_job.py"),
    ("estimators/training.py", "127 < high <= 255", "high <= 255", "tests/estimators/test_estimators.py"),
    ("export.py", "values.astype(np.float16), half", "(1.01 * values).astype(np.float16), half", "tests/explorer/test_explorer.py"),
    ("explorer/networks.py", "q.loc, 2 * q.scale.log()", "q.loc, q.scale.log()", "tests/explorer/test_explorer.py"),
    ("explorer/points.py", "np.abs(values).max()) / 32767", "np.abs(values).max()) / 127", "tests/explorer/test_explorer.py"),
    ("explorer/explorer.py", r'''.replace("<", "\\u003c")''', "", "tests/explorer/test_explorer.py"),
    ("explorer/page/walk.js", "length * ((wa * value) / la + (wb * b[d]) / lb)", "wa * value + wb * b[d]", "tests/explorer/test_page.py"),
    ("explorer/page/walk.js", "value - B[d] + C[d]", "value + B[d] - C[d]", "tests/explorer/test_page.py"),
    ("explorer/page/map.js", "(value - about.pca.centre[d]) * axis[d]", "value * axis[d]", "tests/explorer/test_page.py"),
    ("explorer/page/pictures.js", "Math.round(0.299 * r + 0.587 * g + 0.114 * b) / 255", "r / 256", "tests/explorer/test_page.py"),
    ("evaluation/probes.py", "Line(weight, self.bias - weight @ centre)", "Line(weight, self.bias)", "tests/explorer/test_explorer.py"),
    ("evaluation/growth.py", "vae.train(training)", "pass", "tests/evaluation/test_growth.py"),
    ("evaluation/growth.py", "{**self._kept(), str(epoch): images}", "{str(epoch): images, **self._kept()}", "tests/evaluation/test_growth.py"),
    ("evaluation/few_labels.py", "float(np.var(values, ddof=1)) / len(values)", "float(np.var(values)) / len(values)", "tests/reports/test_compare.py"),
    ("reports/comparison.py", "all(group.draws == groups[0].draws for group in groups), by_seeds(groups)", "True, by_seeds(groups)", "tests/reports/test_compare.py"),
    ("reports/comparison.py", "all(len(group.runs) > 1 for group in groups)", "any(len(group.runs) > 1 for group in groups)", "tests/reports/test_compare.py"),
    ("files.py", "temporary.replace(path)", "path.write_bytes(temporary.read_bytes()[:100])", TRAINING),
]  # fmt: skip


def caught(folder, file, old, new, tests):
    """Whether the tests fail on sources in which ``old`` is broken into ``new``."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source)
    target = source / "vaebench" / file
    text = target.read_text()
    assert old in text, f"{file} no longer holds {old!r}"
    target.write_text(text.replace(old, new))
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", tests],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 1 and "FAILED tests" in done.stdout


@pytest.mark.soak
@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda b: f"{b[0]}: {b[2]}")
def test_the_breakage_is_caught(tmp_path, breakage):
    assert caught(tmp_path, *breakage)
