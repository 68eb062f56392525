"""Peer of bench/evaluation: pycocotools or faster-coco-eval on the same two files. Prints one line of JSON.

usage: coco_eval.py pycocotools|faster_coco_eval TRUTH RESULTS
"""
import contextlib
import io
import json
import sys
import time

from peak import peak_mb

KEYS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def main(engine, truth_path, results_path):
    if engine == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval as Evaluation
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as Evaluation
    start, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(truth_path)
        found = truth.loadRes(results_path)
        read_cpu = time.process_time()
        evaluation = Evaluation(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    end, end_cpu = time.perf_counter(), time.process_time()
    print(json.dumps({
        **{key: float(value) for key, value in zip(KEYS, evaluation.stats)},
        "seconds": end - start, "cpuSeconds": end_cpu - cpu, "evaluateCpuSeconds": end_cpu - read_cpu, "peakMB": peak_mb(),
    }))


main(*sys.argv[1:])
