"""Peer of bench/train-step.ts: the same SSD300 in PyTorch, one optimizer step timed again and again. Prints one line of JSON.

usage: train_step.py ARCH BATCH THREADS STEPS WARMUP CLASSES
"""
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from peak import peak_mb

FOUR, SIX = 4, 6


def conv_bn(cin, cout, kernel, stride=1, pad=None):
    pad = (kernel - 1) // 2 if pad is None else pad
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, pad, bias=False), nn.BatchNorm2d(cout))


class Residual(nn.Module):
    def __init__(self, branch, shortcut):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x):
        return F.relu(self.branch(x) + (x if self.shortcut is None else self.shortcut(x)), inplace=True)


def stage(cin, blocks, width, stride, bottleneck):
    out = 4 * width if bottleneck else width
    layers = []
    for i in range(blocks):
        s = stride if i == 0 else 1
        if bottleneck:
            branch = nn.Sequential(conv_bn(cin, width, 1), nn.ReLU(True), conv_bn(width, width, 3, s), nn.ReLU(True), conv_bn(width, out, 1))
        else:
            branch = nn.Sequential(conv_bn(cin, width, 3, s), nn.ReLU(True), conv_bn(width, width, 3))
        layers.append(Residual(branch, conv_bn(cin, out, 1, s) if s != 1 or cin != out else None))
        cin = out
    return nn.Sequential(*layers)


class Ssd(nn.Module):
    def __init__(self, arch, classes):
        super().__init__()
        deep = arch == 'ssd300-resnet50'
        stem = nn.Sequential(conv_bn(3, 64, 7, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, 1))
        if deep:
            trunk = [nn.Sequential(stem, stage(64, 3, 64, 1, True), stage(256, 4, 128, 2, True), stage(512, 6, 256, 1, True))]
            extras = [(1024, 256, 512, 2, 1), (512, 256, 512, 2, 1), (512, 128, 256, 2, 1), (256, 128, 256, 1, 0), (256, 128, 256, 1, 0)]
            widths, boxes = [1024, 512, 512, 256, 256, 256], [FOUR, SIX, SIX, SIX, FOUR, FOUR]
        else:
            trunk = [nn.Sequential(stem, stage(64, 2, 64, 1, False), stage(64, 2, 128, 2, False)), stage(128, 2, 256, 2, False), stage(256, 2, 512, 2, False)]
            extras = [(512, 128, 256, 2, 1), (256, 128, 256, 2, 1)]
            widths, boxes = [128, 256, 512, 256, 256], [FOUR, SIX, SIX, FOUR, FOUR]
        more = [nn.Sequential(conv_bn(i, m, 1), nn.ReLU(True), conv_bn(m, o, 3, s, p), nn.ReLU(True)) for i, m, o, s, p in extras]
        self.parts = nn.ModuleList(trunk + more)
        self.scores = nn.ModuleList(nn.Conv2d(w, k * (classes + 1), 3, padding=1) for w, k in zip(widths, boxes))
        self.boxes = nn.ModuleList(nn.Conv2d(w, k * 4, 3, padding=1) for w, k in zip(widths, boxes))
        self.width = classes + 1

    def forward(self, x):
        scores, boxes = [], []
        for part, s, b in zip(self.parts, self.scores, self.boxes):
            x = part(x)
            scores.append(s(x).permute(0, 2, 3, 1).reshape(len(x), -1, self.width))
            boxes.append(b(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
        return torch.cat(scores, 1), torch.cat(boxes, 1)


def multibox(scores, boxes, labels, offsets, negatives=3):
    positive = labels > 0
    count = positive.sum().clamp(min=1)
    entropy = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction='none').view(labels.shape)
    with torch.no_grad():
        ranked = entropy.masked_fill(positive, -1)
        rank = ranked.sort(1, descending=True)[1].argsort(1)
        mask = positive | (rank < torch.minimum(negatives * positive.sum(1, keepdim=True), (~positive).sum(1, keepdim=True)))
    location = F.smooth_l1_loss(boxes[positive], offsets[positive], reduction='sum')
    return entropy[mask].sum() / count + location / count


def main():
    arch, batch, threads, steps, warmup, classes = sys.argv[1], *map(int, sys.argv[2:7])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    model = Ssd(arch, classes).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(batch, 3, 300, 300)
    with torch.no_grad():
        count = model.eval()(images)[0].shape[1]
    model.train()
    labels = torch.zeros(batch, count, dtype=torch.long)
    for i in range(batch):
        labels[i, torch.randperm(count)[:40]] = torch.randint(1, classes + 1, (40,))
    offsets = torch.randn(batch, count, 4)
    times, processor = [], []
    for i in range(warmup + steps):
        start, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = multibox(*model(images), labels, offsets)
        loss.backward()
        optimizer.step()
        value = loss.item()
        if i >= warmup:
            times.append((time.perf_counter() - start) * 1000)
            processor.append((time.process_time() - used) * 1000)
    if value != value:
        raise SystemExit('the loss is not a number')
    weights = sum(p.numel() for p in model.parameters())
    print(json.dumps({'stepMs': statistics.median(times), 'cpuMs': statistics.median(processor), 'weights': weights, 'boxes': count, 'peakMB': peak_mb()}))


main()
