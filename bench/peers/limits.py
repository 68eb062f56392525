"""Peer of bench/limits: the same layers in PyTorch, the fastest run of each. Prints one line of JSON, GFLOP/s by key.

usage: limits.py THREADS RUNS KERNELS
"""
import json
import sys
import time

import torch

from peak import peak_mb


def rate(clock, runs, macs, kernel, channels, size, groups, depth, images, back):
    inputs = channels // groups * max(kernel, 1) ** 2
    shape = (channels, channels) if kernel == 0 else (channels, channels // groups, kernel, kernel)
    weights = [(torch.randn(shape) / inputs ** 0.5).requires_grad_(back) for _ in range(depth)]
    x = torch.randn((size, channels) if kernel == 0 else (images, channels, size, size))
    fastest = float("inf")
    for _ in range(runs + 3):
        start = clock()
        y = x
        for weight in weights:
            y = y @ weight if kernel == 0 else torch.nn.functional.conv2d(y, weight, padding=kernel // 2, groups=groups)
        if back:
            torch.autograd.grad(y, weights, y.detach())
        fastest = min(fastest, clock() - start)
    return 2e-9 * macs / fastest


def main(threads, runs, kernels):
    torch.set_num_threads(int(threads))
    clock = time.process_time if int(threads) == 1 else time.perf_counter
    rates = {k.pop("key"): rate(clock, int(runs), **k) for k in json.loads(kernels)}
    print(json.dumps({**rates, "peakMB": peak_mb()}))


main(*sys.argv[1:])
