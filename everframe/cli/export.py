"""`everframe export`: the three graphs of a model as ONNX files, for other runtimes."""

import argparse
from pathlib import Path

from everframe.arch.bundle import Bundle
from everframe.cli.verb import Subparsers
from everframe.core.errors import UserError
from everframe.runtime.onnx_models import export_onnx
from everframe.stream.resize import parse_size

EXAMPLES = """\
Writes prompt.onnx (text states -> prompt code), control.onnx (prompt code -> tables) and step.onnx
(one denoising step at a fixed frame size). docs/model.md names the inputs.

examples:
  everframe export pocket --size 256x256 -o onnx/
  everframe export runs/mine/bundle --size 512x288 -o onnx/
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="write a model as ONNX files",
        description="Write a model as ONNX files for a frame size.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="bundled name or bundle folder")
    parser.add_argument("--size", default="256x256", metavar="WxH", help="default: 256x256")
    parser.add_argument("-o", "--out", type=Path, default=Path("onnx"), help="folder (onnx/)")


def run(args: argparse.Namespace) -> int:
    """Export.

    Raises:
        UserError: unknown model, impossible size, or a folder that cannot be written.
    """
    bundle = Bundle.from_pretrained(args.model)
    size = parse_size(args.size)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot write to {args.out}: {error.strerror}; choose another -o"
        raise UserError(message) from None
    for path in export_onnx(bundle, args.out, height=size.height, width=size.width):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    return 0
