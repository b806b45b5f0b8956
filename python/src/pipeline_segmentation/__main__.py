"""`python -m pipeline_segmentation` lists the shipped pipeline files; with a name it prints that file's path."""

import sys

from . import pipeline_file, pipeline_files


def main() -> int:
    if len(sys.argv) != 2:
        print("\n".join(pipeline_files()))
        return 0
    try:
        print(pipeline_file(sys.argv[1]))
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
