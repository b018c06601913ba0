"""What --help says."""

USAGE = """\
vaebench: the workbench for variational autoencoders on images

  vaebench run RECIPE [options]   train a VAE, measure what its latents are worth, write a report
  vaebench explore RUN            move in a run's latent space: one page that opens in a browser
  vaebench compare RUN RUN ...    runs side by side: scores, differences, curves, recipes
  vaebench sweep RECIPE [options] a recipe over a grid of its fields and over seeds
  vaebench reproduce PAPER        run a paper's whole protocol: promised beside found
  vaebench classify PATH          your own images: label a few, get the rest, know how far to trust it
  vaebench predict MODEL PATH     apply what classify made to new images
  vaebench few-labels             how far a VAE goes with 1 to 100 labels a class, rung by rung
  vaebench list [--json]          recipes, data sets and parts by name
  vaebench --version              the version
  vaebench COMMAND --help         more on one command

Data sets are looked for in $VAEBENCH_DATA, then in your cache, then downloaded.
"""
RUN_USAGE = """\
usage: vaebench run RECIPE [--few-labels] [--data NAME|PATH] [--out DIR] [--resume] [--FIELD VALUE ...]

Train a VAE on images, probe its latents with few labels beside honest baselines, and write a report.

  RECIPE        a built-in recipe (see `vaebench list`), or the path of a .toml file
  --data X      a data set by name, or a folder, .zip or .npz of your own images
  --few-labels  train for few labels: pairs of augmented images, then a classifier of the VAE by self-training
                from 1, 10 and 100 labels a class, beside frozen latents, raw pixels and a supervised network
  --out DIR     where the run is kept (default: runs/NAME)
  --resume      go on where the run in that folder stopped
  --FIELD V     override any field of the recipe, such as --objective.beta 4 --model.latent 10
                --training.epochs 20 --seed 1; a part of another kind by --objective.kind free-bits

`vaebench run RECIPE --help` lists every field with its meaning and its value in that recipe.
"""
EXPLORE_USAGE = """\
usage: vaebench explore RUN [--out FILE.html]

Write the latent explorer of a run: one HTML file that opens from the disk, asks nothing of the network, and runs the
decoder in the browser. `vaebench run` has written it beside the report already.

  RUN           the folder of a run that `vaebench run` made
  --out FILE    the page to write (default: RUN/explorer.html)
"""
COMPARE_USAGE = """\
usage: vaebench compare RUN RUN [RUN ...] [--out FILE.html]

Set finished runs side by side: all scores, differences from the first with their intervals, learning curves and losses
overlaid, and every field in which the recipes differ. Runs that differ in their seed alone stand together, with their
spread.

  RUN           the folder of a run that `vaebench run` made
  --out FILE    the page to write (default: compare.html beside the first run's folder)
"""
SWEEP_USAGE = """\
usage: vaebench sweep RECIPE [--grid FIELD=V1,V2,...] ... [--seeds N] [--workers N | --ray ADDRESS]
                             [--out DIR] [--FIELD VALUE ...]

Train a recipe with every combination of values, from several seeds each, and set them beside one another: a table, each
field against each score with intervals, the best by its validation ELBO.

  --grid F=V    a field and its values, model.latent=2,3,5 or as JSON: model.network.filters=[[32,64],[64,64]];
                may be given several times
  --seeds N     seeds of each combination, counted from the recipe's own (default: 1)
  --workers N   processes that work at a time (default: one for every two cores)
  --ray ADDRESS the machines of a Ray cluster do the work: HOST:PORT, or auto on one of them; --out must lie on a disk
                that they share
  --out DIR     where sweep.json, sweep.csv, report.html and a folder a trial are kept (default: runs/sweep-RECIPE)
  --FIELD V     override any field of the recipe for all trials, as `vaebench run` does

The same command goes on where it was stopped, also with another number of workers or on a cluster;
nothing that is done is done again.
"""
REPRODUCE_USAGE = """\
usage: vaebench reproduce A|B|C|D|E|all [--budget quick|cpu|full] [--seeds N] [--minutes N] [--out DIR]

Run the whole protocol of a paper, write its tables and figures, the printed number beside the found one.

  A|B|C|D|E     the paper by its short name (or its long one, see `vaebench list`), or all of them
  --budget X    quick: a miniature of every experiment, minutes for all; its numbers mean nothing
                cpu (default): at most 30 minutes a paper on two cores, by better schedules and fewer epochs
                full: the printed epochs and sizes, for a GPU
  --seeds N     train every VAE and classifier from N seeds instead of the budget's own number
  --minutes N   stop after N minutes in a state that the same command goes on from
  --out DIR     where papers.md, papers.json, figures and all steps are kept (default: runs/papers)

The same command goes on where it was stopped; nothing that is done is done again.
"""
FEW_LABELS_USAGE = """\
usage: vaebench few-labels [--budget quick|cpu|full] [--minutes N] [--out DIR]

Climb the ladder of few labels on MNIST, Fashion-MNIST, Quick Draw and CIFAR-10: readers of frozen latents,
semi-supervised VAEs, better representations, the whole method, its supervised rival. Settings for each data set are
chosen on others.

  --budget X    quick: a miniature that shows that everything runs; its numbers mean nothing
                cpu (default): about five hours on two cores; full: longer trainings, for a GPU
  --minutes N   stop after N minutes in a state that the same command goes on from
  --out DIR     where few-labels.md, few-labels.json, figures and all steps are kept (default: runs/few-labels)

The same command goes on where it was stopped; nothing that is done is done again.
"""
LIST_USAGE = """\
usage: vaebench list [--json]

Names of the built-in recipes, data sets, networks, likelihoods, objectives, probes and schedules.
"""


CLASSIFY_USAGE = """\
usage: vaebench classify PATH [--labels FILE.csv ...] [--size N] [--out DIR]

Learn from all images of a folder, choose a method by cross-validation on the labels of a few, classify the rest, and
say how many answers to expect to be right. Writes predictions.csv, to-label-next.csv with a contact sheet, report.html
and model/.

  PATH          a folder or .zip of images of any size, or an .npz of x_train and y_train with -1 for no label
  --labels X    a CSV file of two columns, file and label; may be given several times. Without it, the folders in PATH
                are classes, and images in the folder unlabelled/ have none
  --size N      pixels of the squares that images are brought to (default: 32, or their own size where all are alike
                and smaller)
  --out DIR     where everything is written (default: runs/classify-NAME)

The same command goes on where it was stopped. With more labels it keeps what it learned without labels.
"""
PREDICT_USAGE = """\
usage: vaebench predict MODEL PATH [--out FILE.csv]

Apply the model/ folder that vaebench classify wrote to new images.

  MODEL         the model/ folder
  PATH          a folder or .zip of images of any size
  --out FILE    the table to write: file, label, probability, outlier, outlier_score (default: predictions.csv)
"""
