"""vaebench inspect, classify, predict and encode: a user's own images."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaebench.cli.parser import Parser, add_command, add_workers, count, executor_of, one_of
from vaebench.cli.terminal import progress

SIZES = range(8, 513)
"""Side lengths in pixels that ``--size`` accepts."""
PROJECTIONS = ("max", "mean", "first")
AUGMENTATIONS = ("gentle", "strokes", "objects", "photographs", "microscopy")
INSPECT = """\
Reads every image once, in seconds and before any training, and lists what was found: parts, classes, sizes, channels,
values, duplicates, unreadable files, and how the images would be read. Warnings come first, each with what to do. The
exit status is 0 whatever they are. The page also shows images of every class.

Examples:
  vaebench inspect photos
  vaebench inspect photos.zip --labels labels.csv --size 64
  vaebench inspect photos --json > photos.json"""
CLASSIFY = """\
Learns from all images, chooses a method by cross-validation on the labelled ones, classifies the rest, and estimates
how many predictions are right. Writes predictions.csv, report.html and model/ after the fast methods, and again where a
method that trains a network is better, and the images to label next: to-label-next.csv, a contact sheet, and
label.html, on which they are labelled by keys. Without labels of two classes it writes the images to label first alone.
The same command continues where it was stopped; with more labels it keeps what was learned without labels.

With --encoder, methods on the features of a pretrained encoder compete with the others. Its file says the size of its
images; mean and deviation come from its metadata (keys mean and std, for pixels from 0 to 1) or from the options.

Examples:
  vaebench classify photos
  vaebench classify photos --labels labels.csv --labels labels-2.csv
  vaebench classify photos.zip --labels labels.csv --size 64
  vaebench classify images.npz --out runs/shells
  vaebench classify photos --labels labels.csv --encoder resnet18.onnx"""
PREDICT = """\
MODEL is the folder model/ that `vaebench classify` wrote.

Examples:
  vaebench predict runs/classify-photos/model new-photos
  vaebench predict runs/classify-photos/model new-photos.zip --out new.csv
  vaebench predict /shared/model /shared/photos --ray auto"""
ENCODE = """\
MODEL is the folder model/ that `vaebench classify` wrote, or the folder of a run. The file holds the arrays names (N),
mean (N, D) and log_variance (N, D) of N images and D latents.

Examples:
  vaebench encode runs/classify-photos/model new-photos
  vaebench encode runs/mnist digits.zip --out digits.npz"""
WORKERS = "this process; one a core where that would take over 10 seconds"


def add_parser(commands: Any) -> None:
    """Add inspect, classify, predict and encode."""
    _add_inspect(commands)
    parser = add_command(commands, classify, "classify", "classify your own images from the labels of a few", CLASSIFY)
    _add_reading(parser)
    _add_encoder(parser)
    parser.add_argument("--out", metavar="FOLDER", help="folder of the results (default: runs/classify-NAME)")
    about = f"changes that keep the class: {', '.join(AUGMENTATIONS)} (default: chosen by cross-validation)"
    parser.add_argument("--augment", type=one_of(*AUGMENTATIONS), metavar="NAME", help=about)
    add_workers(parser, "one a core where the fits of the cross-validation take over 15 seconds, else this process")

    parser = add_command(commands, predict, "predict", "classify new images with a model of vaebench classify", PREDICT)
    _add_files(parser, "predictions.csv", "table to write: file, label, probability, outlier, outlier_score")

    parser = add_command(commands, encode, "encode", "write the latents of images to an .npz", ENCODE)
    _add_files(parser, "latents.npz", "file to write")


def _add_reading(parser: Parser) -> None:
    """Add PATH and the options of how its images are read."""
    about = "a folder, an archive or a file of images in any format that is read"
    parser.add_argument("path", type=Path, metavar="PATH", help=about)
    about = (
        "table of file and label, FILE:COLUMN to name the column of labels; may be given several times (default: the "
        "folders in PATH are classes, images in unlabelled/ have no label; or labels in the file itself)"
    )
    parser.add_argument("--labels", action="append", type=Path, default=[], metavar="FILE", help=about)
    about = (
        "side in pixels to which images are resized (default: 32, or their own size where all are alike and at most 64)"
    )
    parser.add_argument("--size", type=_size, metavar="N", help=about)
    about = f"how planes of a stack become one image: {', '.join(PROJECTIONS)} (default: stacks are left out)"
    parser.add_argument("--projection", type=one_of(*PROJECTIONS), metavar="NAME", help=about)
    _add_masks(parser)


def _add_masks(parser: Parser) -> None:
    about = "masks with the names of the images, in a folder, archive or file; where one is 0, the pixel is not known"
    parser.add_argument("--masks", type=Path, metavar="PATH", help=about)


def _add_encoder(parser: Parser) -> None:
    """Add the options of a user's encoder."""
    about = "frozen encoder whose features compete with the other methods (needs pip install 'vaebench[onnx]')"
    parser.add_argument("--encoder", type=Path, metavar="FILE.onnx", help=about)
    about = "subtracted from pixels from 0 to 1, one number for each channel, for example 0.485,0.456,0.406"
    parser.add_argument("--encoder-mean", type=_numbers, metavar="NUMBERS", help=f"{about} (default: as the file says)")
    about = "divides them afterwards, for example 0.229,0.224,0.225 (default: as the file says)"
    parser.add_argument("--encoder-std", type=_numbers, metavar="NUMBERS", help=about)
    about = "side in pixels of its images, where its file allows any"
    parser.add_argument("--encoder-size", type=count, metavar="N", help=about)


def _add_files(parser: Parser, default: str, out: str) -> None:
    """Add MODEL, PATH, --out and the workers; ``default`` is the name of the written file, ``out`` describes it."""
    parser.add_argument("model", metavar="MODEL", help="folder of the model")
    parser.add_argument("path", metavar="PATH", help="images in any format that is read: a folder, an archive, a file")
    about = f"{out} (default: {default})"
    parser.add_argument("--out", type=lambda word: Path(word or default), default=default, metavar="FILE", help=about)
    _add_masks(parser)
    add_workers(parser, WORKERS, shared="MODEL and PATH are")


def _add_inspect(commands: Any) -> None:
    parser = add_command(commands, inspect, "inspect", "look at your own images before training", INSPECT)
    _add_reading(parser)
    about = "print one JSON object instead of text, and write no page unless --out is given"
    parser.add_argument("--json", action="store_true", help=about)
    about = "page to write (default: runs/inspect-NAME.html)"
    parser.add_argument("--out", type=Path, metavar="FILE.html", help=about)


def _size(word: str) -> int:
    side = count(word)
    if side not in SIZES:
        raise argparse.ArgumentTypeError(f"is {side}; expected {SIZES[0]} to {SIZES[-1]} pixels")
    return side


def _numbers(word: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, word.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"is {word!r}; expected numbers separated by commas")
    return numbers


def inspect(args: argparse.Namespace) -> int:
    """Run ``vaebench inspect``."""
    import json

    from vaebench.inspection.job import inspect
    from vaebench.inspection.text import lines

    default = None if args.json else Path("runs") / f"inspect-{args.path.expanduser().resolve().stem}.html"
    page = args.out or default
    with progress() as callback:
        inspection = inspect(
            args.path,
            args.labels,
            page,
            side=args.size,
            projection=args.projection,
            masks=args.masks,
            callback=callback,
        )
    if args.json:
        print(json.dumps(inspection.to_json(), indent=1))
        return 0
    print("\n".join(lines(inspection)))
    print(f"\nopen {page}")
    return 0


def classify(args: argparse.Namespace) -> int:
    """Run ``vaebench classify``."""
    further = args.encoder_mean, args.encoder_std, args.encoder_size
    if args.encoder is None and any(further):
        args.parser.error("--encoder-mean, --encoder-std and --encoder-size describe an encoder; give it by --encoder")

    from vaebench.classification.cold_start import LabelProposal
    from vaebench.classification.encoder import EncoderFile
    from vaebench.classification.job import classify
    from vaebench.classification.page import verdict, write_page

    with progress() as callback:
        result = classify(
            args.path,
            args.labels,
            args.out,
            side=args.size,
            projection=args.projection,
            masks=args.masks,
            augmentation=args.augment,
            encoder=None if args.encoder is None else EncoderFile(args.encoder, *further),
            callback=callback,
            message_callback=lambda line: print(line, flush=True),
            result_callback=write_page,
            executor=executor_of(args),
        )
    if isinstance(result, LabelProposal):
        print("\n".join(result.sentences()))
        if len(result.to_label_next):
            print(f"open {result.folder / 'label.html'}")
        return 0
    for line in verdict(result):
        print(line)
    if result.onnx is None:
        print(f"model.onnx was not written: {result.classifier.without_onnx}")
    if len(result.to_label_next):
        print(f"label more: open {result.folder / 'label.html'}")
    print(f"open {result.folder / 'report.html'}")
    return 0


def predict(args: argparse.Namespace) -> int:
    """Run ``vaebench predict``."""
    from vaebench.classification.prediction import predict
    from vaebench.classification.results import write_predictions
    from vaebench.data.reading import count_images

    with progress() as callback:
        result = predict(args.model, args.path, callback, executor_of(args, gpus=False), args.masks)
    write_predictions(args.out, result)
    print(f"{count_images(len(result.names))}, {int(result.outliers.sum()):,} outliers")
    for note in result.notes:
        print(note)
    _print_skipped(result.skipped)
    print(f"open {args.out}")
    return 0


def encode(args: argparse.Namespace) -> int:
    """Run ``vaebench encode``."""
    if args.out.suffix.lower() != ".npz":
        args.parser.error(f"--out is {str(args.out)!r}; expected a file that ends in .npz")

    from vaebench.classification.encoding import encode_files
    from vaebench.data.reading import count_images

    with progress() as callback:
        result = encode_files(args.model, args.path, callback, executor_of(args, gpus=False), args.masks)
    result.write(args.out)
    print(f"{count_images(len(result.names))}, {result.mean.shape[1]} latents")
    for note in result.notes:
        print(note)
    _print_skipped(result.skipped)
    print(f"open {args.out}")
    return 0


def _print_skipped(skipped: Mapping[str, str]) -> None:
    """Print the first skipped files, and how many there are."""
    from vaebench.data.printing import printable

    for name, reason in list(skipped.items())[:10]:
        print(f"skipped {printable(name)}: {reason}")
    if len(skipped) > 10:
        print(f"... {len(skipped):,} skipped in all")
