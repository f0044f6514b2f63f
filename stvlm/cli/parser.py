"""The verbs of the command line and their options."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from stvlm import __version__
from stvlm.cli.outputs import harmless
from stvlm.runtime.assets import shipped

VERBS = {
    "validate": "name what is wrong with the data, where, and which fix is offered",
    "fit": "train a model and write it into a folder",
    "forecast": "forecast the coming steps and write them as a table",
    "explain": "write what a forecast drew on: modalities, image, prompt, sensors",
    "backtest": "score models beside the simple methods on past windows",
    "benchmark": "score models beside the simple methods on every network of a folder, and say how they stand over all",
    "pretrain": "train weights that networks share on a folder of networks and on made-up fields",
    "backbones": "list the backbones: which are here, how large they are, and how to get the others",
    "serve": "start the app in the browser (the same as: streamlit run app.py)",
}
MODELS_HELP = (
    "by default persistence,seasonal-naive,historical-average,ridge,zero-shot,anchor,stvlm; beside them anchor-lookback and, "
    "minutes more, boosting,dlinear,stid,graph-wavenet"
)
ABLATIONS_HELP = (
    "take things from the model, spoil or exchange them one at a time, train each variant anew, and say what it does to the "
    "error: all, or some of no-image, noise-image, shuffled-pixels, shuffled-sensors, no-prompt, constant-prompt, foreign-prompt, "
    "no-series, fusion-middle, fusion-last, tuning-frozen, tuning-norm, tuning-lora, tuning-adalora, tuning-adaptive, tuning-full, "
    "random-backbone, plain-transformer, no-backbone. Each finished training is kept beside OUT in a file that ends in "
    ".ablations.json, and the same command goes on from there"
)
STEPS_HELP = (
    "of each training of stvlm, of every variant and of the deep baselines, so that all do equal work; --max-minutes does not bound "
    "the variants, for on a busy machine equal time is not equal work"
)
PRESET_HELP = "usual files and terms of metr-la, pems-bay, pems03, pems04, pems07 or pems08; --adjacency takes their distances"
SHARED_HELP = (
    "weights that were learnt on many networks, as pretrain writes them; none: begin anew; by default those that ship, in few-shot"
)
VIEWS_HELP = "images, one for each name: some of field,frames,spread,relations,space-time,geography"


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, harmless(f"{self.prog}: {message}\n"))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the arguments; without `arguments`, those of this process. Ends the process where they are wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = Parser(prog="python -m stvlm", description="Forecast and explain what a sensor network measures.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"stvlm {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    made = {
        name: verbs.add_parser(name, help=text, description=text.capitalize() + ".", allow_abbrev=False)
        for name, text in VERBS.items()
    }
    for name in ("validate", "fit", "forecast", "explain", "backtest"):
        _add_data(made[name])
        if name != "validate":
            made[name].add_argument("--sample", metavar="NAME", help="a network that comes with the program, instead of files")
    made["validate"].add_argument("--json", type=Path, metavar="OUT", help="write the report as JSON")
    _add_fit(made["fit"])
    for name in ("forecast", "explain"):
        _add_window(made[name])
    made["forecast"].add_argument("--out", type=Path, required=True, metavar="FILE", help=".csv, .parquet or .geojson")
    made["explain"].add_argument("--out", type=Path, required=True, metavar="FILE.json")
    _add_backtest(made["backtest"])
    _add_benchmark(made["benchmark"])
    _add_pretrain(made["pretrain"])
    made["serve"].epilog = "Further options go to streamlit, such as --server.port 8600."
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:  # no result could hold it
            parser.error(f"an argument is not UTF-8: {argument}")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.verb != "serve":
        made[options.verb].error(f"unrecognized arguments: {' '.join(rest)}")
    if missing := _missing(options):
        made[options.verb].error(f"the following arguments are required: {', '.join(missing)}")
    options.streamlit = rest
    return options


def _missing(options: argparse.Namespace) -> list[str]:
    """Options that a verb needs: files unless there is a sample, a sensor table unless a preset may do without, terms unless named."""
    wanted: list[str] = []
    if options.verb not in ("serve", "backbones", "benchmark", "pretrain") and not getattr(options, "sample", None):
        wanted += ["series"] if options.preset else ["sensors", "series"]
    if options.verb == "backtest" and not (options.protocol or options.preset):
        wanted += ["lookback", "horizon", "split"]
    return [f"--{name}" for name in wanted if getattr(options, name) is None]


def _add_data(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--sensors", type=_given, metavar="FILE", help="sensor_id, lat, lon and further columns")
    group.add_argument("--series", type=_given, metavar="FILE", help="readings, wide or long")
    group.add_argument("--adjacency", type=_given, metavar="FILE", help="who is close to whom: a matrix, or from,to[,weight]")
    group.add_argument("--context", type=_given, metavar="FILE", help="timestamp and facts that are no reading: weather, holidays")
    group.add_argument(
        "--base-layer", type=_given, metavar="FILE", help="lines and areas below the network, .geojson: roads, districts"
    )
    group.add_argument(
        "--grid", type=_given, metavar="FILE", help="values below the network, ESRI ASCII .asc in degrees: elevation"
    )
    group.add_argument("--grid-unit", default="", metavar="UNIT", help="unit of the grid: m")
    group.add_argument("--known-ahead", type=_words, default=(), metavar="COL,…", help="context columns known before they happen")
    group.add_argument(
        "--fix", type=_words, default=(), metavar="NAME,…", help="fixes to apply, in this order; validate names them"
    )
    group.add_argument("--quantity", default="", help="what is measured: 'traffic speed'")
    group.add_argument("--unit", default="", help="its unit: km/h")
    group.add_argument("--timezone", default="", metavar="ZONE", help="the network's own clock: Europe/Berlin")
    group.add_argument("--seasons", type=_minutes, metavar="MINUTES,…", help="lengths of seasons; found in the data if not given")
    group.add_argument("--start", metavar="TIME", help="time of the first reading, for .npz")
    group.add_argument("--step-minutes", type=_positive_number, metavar="MINUTES", help="length of a step, for .npz")
    group.add_argument("--preset", metavar="NAME", help=PRESET_HELP)


def _add_fit(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the model")
    parser.add_argument("--lookback", type=_positive, metavar="L", help="past steps that the model sees")
    parser.add_argument("--horizon", type=_positive, metavar="H", help="steps that it forecasts")
    parser.add_argument("--split", type=_shares, metavar="A,B,C", help="shares of training, validation, test, in time order")
    parser.add_argument("--few-shot", metavar="P", help="learn from the last block only: 0.1, 5days or 5windows")
    parser.add_argument(
        "--backbone", metavar="NAME", help="tiny, smollm2, plain, a folder or a hub name; the verb backbones lists them"
    )
    parser.add_argument(
        "--others",
        metavar="BY",
        help="a sensor learns of the others by their series (usual) or by the image alone: linear in sensors",
    )
    parser.add_argument("--n-layers", type=_count, metavar="K", help="first decoder layers kept; 0: none, the series path alone")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the backbone's weights")
    parser.add_argument("--tuning", metavar="STRATEGY", help="auto, adaptive, frozen, norm, lora, adalora or full")
    parser.add_argument("--modalities", type=_words, metavar="NAME,…", help="some of vision,text,series")
    parser.add_argument("--views", type=_words, metavar="NAME,…", help=VIEWS_HELP)
    parser.add_argument("--shared", type=_folder_or_none, metavar="DIR", help=SHARED_HELP)
    parser.add_argument(
        "--context-steps", type=_count, metavar="K", help="steps of the longer past that may be used; 0: the lookback only"
    )
    parser.add_argument("--device", help="auto, cpu, cuda, mps")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--max-minutes", type=_positive_number, metavar="M", help="stop training after so long")
    parser.add_argument("--max-steps", type=_count, metavar="N", help="stop training after so many steps; 0: the anchor alone")


def _add_window(parser: Parser) -> None:
    parser.add_argument(
        "--model", type=_model, required=True, metavar="DIR", help="folder that fit wrote, name of a model that ships, or zero-shot"
    )
    parser.add_argument("--cutoff", metavar="TIME", help="first step that is forecast; by default the one after the last reading")
    parser.add_argument("--horizon", type=_positive, metavar="H", help="steps forecast; by default as many as the model can")
    parser.add_argument(
        "--lookback", type=_positive, metavar="L", help="past steps of a zero-shot forecast; a model folder has its own"
    )


def _add_backtest(parser: Parser) -> None:
    parser.add_argument("--lookback", type=_positive, metavar="L")
    parser.add_argument("--horizon", type=_positive, metavar="H")
    parser.add_argument("--split", type=_shares, metavar="A,B,C")
    parser.add_argument("--protocol", choices=("t-gcn",), help="terms of a comparison instead of these three, and its table")
    parser.add_argument(
        "--models",
        type=_words,
        metavar="NAME,…",
        help=MODELS_HELP,
    )
    parser.add_argument("--few-shot", metavar="P")
    parser.add_argument("--shared", type=_folder_or_none, metavar="DIR", help=SHARED_HELP + "; also those of zero-shot")
    parser.add_argument("--context-steps", type=_count, metavar="K")
    parser.add_argument("--views", type=_words, metavar="NAME,…", help=VIEWS_HELP)
    parser.add_argument("--seeds", type=_positive, default=1, metavar="N", help="how often to train, with other seeds")
    parser.add_argument("--max-minutes", type=_positive_number, metavar="M", help="for each training")
    parser.add_argument(
        "--hold-sensors", type=_share, metavar="P", help="this share of the sensors is never read, and they alone are scored"
    )
    parser.add_argument(
        "--drop-sensors",
        type=_share,
        metavar="P",
        help="this share of the sensors falls silent before the test part; all are scored",
    )
    parser.add_argument("--ablations", type=_words, metavar="NAME,…", help=ABLATIONS_HELP)
    parser.add_argument("--max-steps", type=_positive, metavar="N", help=STEPS_HELP)
    parser.add_argument("--backbone", metavar="NAME", help="of stvlm, as in fit")
    parser.add_argument("--device", help="auto, cpu, cuda, mps")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")


def _add_benchmark(parser: Parser) -> None:
    folder = "holds datasets.json (for each network lookback, horizon, split and more) and a folder for each with its files"
    out = "the result; what is finished there with the same settings and data is not done again"
    parser.add_argument("--data", type=_given, required=True, metavar="FOLDER", help=folder)
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help=out)
    parser.add_argument("--datasets", type=_words, default=(), metavar="NAME,…", help="some of them; by default all")
    parser.add_argument("--models", type=_words, metavar="NAME,…", help=MODELS_HELP)
    parser.add_argument("--few-shot", metavar="P", help="learn from the last block only: 0.1, 5days or 5windows")
    parser.add_argument("--shared", type=_folder_or_none, metavar="DIR", help="as in backtest")
    parser.add_argument("--seeds", type=_positive, default=1, metavar="N", help="how often to train, with other seeds")
    parser.add_argument("--max-minutes", type=_positive_number, metavar="M", help="for each training")
    budget = "for all trainings of one network together, shared evenly among models and seeds"
    parser.add_argument("--budget-minutes", type=_positive_number, metavar="M", help=budget)
    parser.add_argument("--max-steps", type=_positive, metavar="N", help="for each training")
    parser.add_argument(
        "--context-steps", type=_count, metavar="K", help="steps of the longer past that may be used; 0: the lookback only"
    )
    parser.add_argument("--backbone", metavar="NAME", help="of stvlm, as in fit")
    parser.add_argument("--views", type=_words, metavar="NAME,…", help=VIEWS_HELP)
    parser.add_argument("--device", help="auto, cpu, cuda, mps")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return value


def _folder_or_none(text: str) -> str:
    return "" if text == "none" else str(_model(text))


def _given(text: str) -> Path:
    """A file or folder that is read: one of the user's, or `sample_data/…`, which ships."""
    return shipped(Path(text))


def _model(text: str) -> Path:
    """A folder of weights: one of the user's, or one that ships, by its name or as `checkpoints/NAME`."""
    return shipped(Path(text), "checkpoints")


def _count(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number over 0, not {text}")
    return value


def _share(text: str) -> float:
    value = _positive_number(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must be a share between 0 and 1, such as 0.2, not {text}")
    return value


def _minutes(text: str) -> tuple[int, ...]:
    return tuple(_positive(word) for word in _words(text))


def _add_pretrain(parser: Parser) -> None:
    parser.add_argument(
        "--data", type=_given, action="append", required=True, metavar="DIR", help="with datasets.json; may be given again"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the weights")
    parser.add_argument("--leave-out", type=_words, default=(), metavar="NAME,…", help="networks that are not learnt from")
    parser.add_argument("--fields", type=_count, default=6, metavar="N", help="made-up networks of each kind")
    parser.add_argument("--steps", type=_positive, default=2000, metavar="N", help="of the training")
    parser.add_argument("--seed", type=int, default=0)


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(word) for word in _words(text))
    except ValueError:
        shares = ()
    if len(shares) != 3 or not min(shares) >= 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise argparse.ArgumentTypeError(f"must be three shares that sum to 1, such as 0.6,0.2,0.2, not {text}")
    return shares
