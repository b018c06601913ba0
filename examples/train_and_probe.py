"""Train a VAE on handwritten digits, then compare probes of its latents with probes of pixels and PCA.

    python examples/train_and_probe.py runs/example

The folder holds the report, the figures and every number.
"""

import sys

import vaebench as vb

folder = sys.argv[1] if len(sys.argv) > 1 else "runs/example-train-and-probe"
recipe = vb.RECIPES["digits"]
recipe = recipe.model_copy(
    update={
        "name": "example",
        "training": recipe.training.model_copy(update={"epochs": 10}),
        "evaluation": recipe.evaluation.model_copy(
            update={"labels_per_class": (1, 10), "draws": 3, "features": ("vae", "pixels", "pca"), "samples": None}
        ),
    }
)
run = vb.run(recipe, folder, resume=True)
print("representation  probe       labels a class  test accuracy")
for row in run.rows:
    if row["metric"] == "accuracy" and row["split"] == "test":
        print(f"{row['features']:<15} {row['probe']:<11} {row['labels_per_class']:>14}  {row['mean']:.3f}")
print("open", vb.write_report(run))
