"""Speed of the engines: `python benchmarks/engines.py [--size WxH ...]`, the same as
`everframe bench`; both call `everframe.runtime.bench.measure`.
"""

import sys

from everframe.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
