"""Trains one of the sentence classifiers: python train.py --help"""

import sys

from kmodels import commandline


def main(config):
    """Trains as config says, and shows the record."""
    from kmodels.training import train

    print(train(config))


if __name__ == "__main__":
    sys.exit(commandline.run(main, sys.argv))
