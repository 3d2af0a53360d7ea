"""Trains one of the sentence classifiers: python train.py --help"""

import sys

from kmodels import commandline

if __name__ == "__main__":
    sys.exit(commandline.run(commandline.train, sys.argv))
