"""The keys of metrics.json in the runs that kmodels set out from, in their order."""

import json
from pathlib import Path

SEED = Path(__file__).parent.parent / "results" / "seed.json"

# As on one GPU; where none was measured its keys are absent.
SEED_KEYS = list(json.loads(SEED.read_text(encoding="utf-8"))["textcnn"])
SEED_KEYS_WITHOUT_GPU = [key for key in SEED_KEYS if "gpu" not in key]
