"""Makes test/golden/error-types.json with tidecv, the authors' own implementation of TIDE's error types.

Run where `pip install tidecv==1.0.1 pycocotools` was done:   python scripts/golden/make_error_types_golden.py
Everything is drawn from the seed below; the file records it and the versions. Tests only read the file.

{"about", "seed", "versions", "cases": [{"name", "images", "classes", "truth": [[image, class, x, y, w, h, crowd]],
"detections": [[image, class, x, y, w, h, score]], "expected": {"AP50", "dAP": {type}, "falsePositive", "falseNegative", "count": {type}}}]};
AP in 0..1. Scores differ from one another, as tidecv orders equal ones in two ways.
"""
import importlib.metadata
import json
import os
import platform
import random

import numpy
from tidecv import TIDE, Data

SEED = 20240608
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "golden", "error-types.json")
NAMES = {"Cls": "classification", "Loc": "localization", "Both": "both", "Dupe": "duplicate", "Bkg": "background", "Miss": "missed"}


def measure(images, classes, truth, detections):
    gt, found = Data("gt", max_dets=100), Data("found", max_dets=100)
    for k in range(classes):
        gt.add_class(k, str(k))
    for i in range(images):
        gt.add_image(i, str(i))
        found.add_image(i, str(i))
    for image, label, x, y, w, h, crowd in truth:
        (gt.add_ignore_region if crowd else gt.add_ground_truth)(image, label, [x, y, w, h])
    for image, label, x, y, w, h, score in detections:
        found.add_detection(image, label, score, [x, y, w, h])
    run = TIDE().evaluate(gt, found, mode=TIDE.BOX)
    special = {kind.short_name: value / 100 for kind, value in run.fix_special_errors().items()}
    return {
        "AP50": run.ap / 100,
        "dAP": {NAMES[kind.short_name]: value / 100 for kind, value in run.fix_main_errors().items()},
        "falsePositive": special["FalsePos"],
        "falseNegative": special["FalseNeg"],
        "count": {NAMES[kind.short_name]: value for kind, value in run.count_errors().items()},
    }


def case(rng, name, images, per_image, objects, classes, crowds):
    """Objects and detections about them: moved, resized, of another class, twice; and some anywhere."""
    box = lambda: [round(v, 1) for v in (rng.uniform(0, 300), rng.uniform(0, 300), rng.uniform(20, 120), rng.uniform(20, 120))]
    truth, detections = [], []
    for image in range(images):
        here = [[image, rng.randrange(classes), *box(), int(rng.random() < crowds)] for _ in range(rng.randrange(objects + 1))]
        truth += here
        for _ in range(rng.randrange(per_image + 1)):
            label, at = rng.randrange(classes), box()
            if here and rng.random() < 0.8:
                near = rng.choice(here)
                shift, scale = (12, 0.15) if rng.random() < 0.6 else (35, 0.4)
                at = [round(near[2] + rng.gauss(0, shift), 1), round(near[3] + rng.gauss(0, shift), 1), round(near[4] * rng.uniform(1 - scale, 1 + scale), 1), round(near[5] * rng.uniform(1 - scale, 1 + scale), 1)]
                label = near[1] if rng.random() < 0.75 else label
            detections.append([image, label, *at, 0])
    scores = rng.sample(range(1, 100_000), len(detections))
    for detection, score in zip(detections, scores):
        detection[6] = score / 100_000
    return {"name": name, "images": images, "classes": classes, "truth": truth, "detections": detections, "expected": measure(images, classes, truth, detections)}


def main():
    rng = random.Random(SEED)
    cases = [
        case(rng, "one class", 12, 8, 5, 1, 0),
        case(rng, "three classes", 20, 12, 6, 3, 0),
        case(rng, "crowds", 20, 12, 6, 3, 0.25),
        case(rng, "some classes without objects", 6, 10, 2, 6, 0),
        case(rng, "more than 100 detections an image", 3, 260, 8, 2, 0.1),
        case(rng, "few detections", 15, 1, 6, 4, 0),
    ]
    versions = {"tidecv": importlib.metadata.version("tidecv"), "pycocotools": importlib.metadata.version("pycocotools"), "numpy": numpy.__version__, "python": platform.python_version()}
    with open(OUT, "w") as f:
        f.write(json.dumps({"about": "error types by tidecv", "seed": SEED, "versions": versions, "cases": cases}, separators=(",", ":")) + "\n")
    print(OUT, os.path.getsize(OUT))


if __name__ == "__main__":
    main()
