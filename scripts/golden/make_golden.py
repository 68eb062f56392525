"""Makes test/golden/*.json with torch: the oracle for operators, losses, RoIAlign and one whole training step.

Run with Debian's python3-torch, python3-torchvision:   /usr/bin/python3 scripts/golden/make_golden.py
Everything is drawn from the seed below; the files record it and the versions. Tests only read the files.

Every file is {"about", "seed", "versions", "cases": [{"name", "attributes", "tensors"}]}; a tensor is
{"dtype", "dims", "data"} with data = base64 of the little-endian elements. Names of gradients are "d" + the name.

conv.json      x, w, b?, y, dy (cotangent), dx, dw, db?; attributes: strides, pads (begin and end), dilations, group.
batchnorm.json training step: x, scale, bias, mean, var (running, before), y, dy, dx, dscale, dbias, next_mean, next_var;
               attributes: epsilon, momentum (torch's: the weight of the batch).
maxpool.json   x, y, dy, dx; attributes: kernel_shape, strides, pads, dilations, ceil_mode. Two cases are full of ties.
losses.json    cross-entropy (logits [N,C], labels, loss summed, dlogits), smooth_l1 (beta 1: x, target, loss summed, dx),
               giou (boxes xyxy: x, y, loss = 1 - GIoU for each pair, dx and dy of their sum).
roi-align.json contextual RoIAlign, F_O = RoIAlign(F,B) + RoIAlign(F,E(A,B)), torchvision's roi_align with aligned=True, 7x7 bins,
               2x2 samples: feature [N,C,H,W], image [R] (index), anchors B and truths A [R,4] xyxy pixels, y [R,C,7,7], dy, dfeature;
               attributes: spatial_scale, and "plain": 1 where only RoIAlign(F,B) was taken.
train-step.json one step of a narrow SSD-ResNet with BN in training mode (momentum 0.1, eps 1e-5); see Net. Tensors: "image" [2,3,64,64],
               "labels" [2,D] (0 is background), "offsets" [2,D,4], "scores" [2,D,4], "boxes" [2,D,4], "classification", "localization"
               (the losses; the total is their sum), "weight/<name>", "gradient/<name>" for all weights, "next/<name>" for running statistics
               after the step ("weight/<name>" before).
"""
import base64
import json
import os
import platform

import numpy
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.ops import generalized_box_iou_loss, roi_align

SEED = 20240607
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "test", "golden")


def pack(t):
    if isinstance(t, (int, float)):
        t = torch.tensor(float(t))
    a = t.detach().contiguous().numpy()
    if a.dtype == numpy.int64:
        a = a.astype(numpy.int32)
    assert a.dtype in (numpy.float32, numpy.int32), a.dtype
    return {"dtype": str(a.dtype), "dims": list(a.shape), "data": base64.b64encode(a.astype(a.dtype.newbyteorder("<")).tobytes()).decode()}


def case(name, attributes, **tensors):
    return {"name": name, "attributes": attributes, "tensors": {k: pack(v) for k, v in tensors.items() if v is not None}}


def write(name, about, cases):
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "numpy": numpy.__version__, "python": platform.python_version()}
    path = os.path.join(OUT, name + ".json")
    with open(path, "w") as f:
        json.dump({"about": about, "seed": SEED, "versions": versions, "cases": cases}, f, indent=1)
        f.write("\n")
    print(path, os.path.getsize(path))


def gradients(y, dy, *inputs):
    return torch.autograd.grad(y, inputs, dy)


def conv():
    cases = []
    table = [  # name, input, kernel, stride, padding, dilation, group, bias
        ("3x3", (2, 4, 9, 8), (5, 4, 3, 3), 1, 1, 1, 1, True),
        ("3x3 many channels, small map", (2, 24, 5, 5), (20, 24, 3, 3), 1, 1, 1, 1, False),
        ("3x3 stride 2", (2, 10, 9, 10), (6, 10, 3, 3), 2, 1, 1, 1, True),
        ("7x7 stride 2 stem", (1, 3, 21, 22), (6, 3, 7, 7), 2, 3, 1, 1, False),
        ("1x1", (2, 9, 6, 7), (5, 9, 1, 1), 1, 0, 1, 1, True),
        ("1x1 stride 2", (2, 9, 7, 8), (5, 9, 1, 1), 2, 0, 1, 1, False),
        ("dilation 3", (1, 9, 11, 10), (4, 9, 3, 3), 1, 3, 3, 1, True),
        ("groups", (2, 6, 7, 7), (9, 2, 3, 3), 2, 1, 1, 3, True),
        ("depthwise", (2, 5, 8, 7), (5, 1, 3, 3), 1, 1, 1, 5, True),
        ("depthwise stride 2", (2, 5, 8, 7), (5, 1, 5, 5), 2, 2, 1, 5, False),
        ("kernel 3x1, no padding", (2, 9, 6, 5), (4, 9, 3, 1), 1, 0, 1, 1, False),
    ]
    for name, xs, ws, stride, padding, dilation, group, biased in table:
        x = torch.randn(xs, requires_grad=True)
        w = (torch.randn(ws) * 0.3).requires_grad_()
        b = torch.randn(ws[0], requires_grad=True) if biased else None
        y = F.conv2d(x, w, b, stride, padding, dilation, group)
        dy = torch.randn_like(y)
        wanted = [x, w] + ([b] if biased else [])
        g = gradients(y, dy, *wanted)
        cases.append(case(name, {"strides": [stride] * 2, "pads": [padding] * 4, "dilations": [dilation] * 2, "group": group},
                          x=x, w=w, b=b, y=y, dy=dy, dx=g[0], dw=g[1], db=g[2] if biased else None))
    write("conv", "torch.nn.functional.conv2d and its gradients", cases)


def batchnorm():
    cases = []
    for name, dims, momentum, epsilon, offset in [("4-d", (3, 5, 6, 4), 0.1, 1e-5, 0), ("mean far from zero", (2, 3, 5, 5), 0.03, 1e-3, 5), ("2-d", (9, 4), 0.1, 1e-5, 0), ("one position", (8, 3, 1, 1), 0.1, 1e-5, 0)]:
        c = dims[1]
        x = (torch.randn(dims) * 1.5 + offset).requires_grad_()
        scale = (torch.rand(c) + 0.5).requires_grad_()
        bias = torch.randn(c, requires_grad=True)
        mean, var = torch.randn(c), torch.rand(c) + 0.5
        next_mean, next_var = mean.clone(), var.clone()
        y = F.batch_norm(x, next_mean, next_var, scale, bias, True, momentum, epsilon)
        dy = torch.randn_like(y)
        g = gradients(y, dy, x, scale, bias)
        cases.append(case(name, {"epsilon": epsilon, "momentum": momentum}, x=x, scale=scale, bias=bias, mean=mean, var=var, y=y, dy=dy,
                          dx=g[0], dscale=g[1], dbias=g[2], next_mean=next_mean, next_var=next_var))
    write("batchnorm", "torch.nn.functional.batch_norm in training", cases)


def maxpool():
    cases = []
    for name, dims, k, s, p, d, ceil, ties in [
        ("3x3 stride 2, padded", (2, 3, 9, 10), 3, 2, 1, 1, 0, False),
        ("2x2 stride 2, ceil", (1, 2, 7, 5), 2, 2, 0, 1, 1, False),
        ("3x3 stride 2, padded, ceil", (1, 2, 8, 8), 3, 2, 1, 1, 1, False),
        ("3x3 stride 1 dilation 2", (1, 2, 7, 7), 3, 1, 1, 2, 0, False),
        ("ties, 3x3 stride 2 after ReLU", (2, 3, 9, 9), 3, 2, 1, 1, 0, True),
        ("ties, 3x3 stride 1, ceil", (1, 2, 6, 7), 3, 1, 1, 1, 1, True),
    ]:
        x = torch.randn(dims)
        if ties:
            x = torch.relu(torch.round(x))
        x.requires_grad_()
        y = F.max_pool2d(x, k, s, p, d, bool(ceil))
        dy = torch.randn_like(y)
        cases.append(case(name, {"kernel_shape": [k] * 2, "strides": [s] * 2, "pads": [p] * 4, "dilations": [d] * 2, "ceil_mode": ceil},
                          x=x, y=y, dy=dy, dx=gradients(y, dy, x)[0]))
    write("maxpool", "torch.nn.functional.max_pool2d and its gradient", cases)


def draw_boxes(n, low, high, smallest):
    """xyxy boxes within [low, high], sides of at least `smallest`."""
    a = torch.rand(n, 2) * (high - low - smallest) + low
    size = smallest + torch.rand(n, 2) * (high - a - smallest)
    return torch.cat([a, a + size], 1)


def losses():
    logits = (torch.randn(12, 7) * 3).requires_grad_()
    labels = torch.randint(0, 7, (12,))
    ce = F.cross_entropy(logits, labels, reduction="sum")
    x = (torch.randn(40, 4) * 1.5).requires_grad_()
    target = torch.randn(40, 4)
    sl1 = F.smooth_l1_loss(x, target, reduction="sum", beta=1.0)
    a = draw_boxes(24, 0, 100, 5).requires_grad_()
    near = (a.detach()[:12] + torch.randn(12, 4) * 4)
    near = torch.cat([torch.minimum(near[:, :2], near[:, 2:] - 1), near[:, 2:]], 1)
    b = torch.cat([near, draw_boxes(12, 0, 100, 5)]).requires_grad_()
    giou = generalized_box_iou_loss(a, b, reduction="none")
    g = gradients(giou.sum(), None, a, b)
    write("losses", "cross-entropy, smooth L1, GIoU loss", [
        case("cross-entropy", {}, logits=logits, labels=labels, loss=ce, dlogits=gradients(ce, None, logits)[0]),
        case("smooth L1", {"beta": 1.0}, x=x, target=target, loss=sl1, dx=gradients(sl1, None, x)[0]),
        case("giou", {}, x=a, y=b, loss=giou, dx=g[0], dy=g[1]),
    ])


def contextual_roi_align():
    cases = []
    for name, dims, size, boxes, beyond, plain in [("two images", (2, 4, 10, 12), 80, 5, False, 0), ("boxes beyond the image", (1, 3, 8, 8), 64, 6, True, 0), ("plain", (1, 3, 9, 9), 72, 4, False, 1)]:
        n, _, h, w = dims
        scale = h / size
        feature = torch.randn(dims, requires_grad=True)
        image = torch.arange(n).repeat_interleave(boxes)
        total = n * boxes
        low, high = (-20, size + 30) if beyond else (0, size)
        anchors = draw_boxes(total, low, high, 6)
        truths = draw_boxes(total, 0, size, 6)
        enclosing = torch.cat([torch.minimum(anchors[:, :2], truths[:, :2]), torch.maximum(anchors[:, 2:], truths[:, 2:])], 1)
        pool = lambda b: roi_align(feature, torch.cat([image[:, None].float(), b], 1), (7, 7), scale, 2, True)
        y = pool(anchors) if plain else pool(anchors) + pool(enclosing)
        dy = torch.randn_like(y)
        cases.append(case(name, {"spatial_scale": scale, "plain": plain}, feature=feature, image=image, anchors=anchors, truths=truths,
                          y=y, dy=dy, dfeature=gradients(y, dy, feature)[0]))
    write("roi-align", "contextual RoIAlign by torchvision.ops.roi_align", cases)


class Block(nn.Module):
    """ResNet's basic block: conv1 3x3 (stride), bn1, relu, conv2 3x3, bn2, + (x or downsample(x)), relu. No conv has a bias."""

    def __init__(self, c, o, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.downsample = None if stride == 1 and c == o else nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Net(nn.Module):
    """Stem conv1 7x7 stride 2 pad 3 (3 to 8, no bias), bn1, relu, max-pool 3x3 stride 2 pad 1: 16x16; layer1 Block(8,8,1): 16x16;
    layer2 Block(8,12,2): 8x8; layer3 Block(12,16,2): 4x4. Heads on layer2 and layer3: cls.<i> 3x3 pad 1 with bias to A*4 channels (A = 4
    anchors, 4 classes with the background), loc.<i> 3x3 pad 1 with bias to A*4. Both maps are permuted to [N,H,W,A*4] and reshaped to
    [N,H*W*A,4]; those of layer2 come first: D = 8*8*4 + 4*4*4 = 320."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1, self.layer2, self.layer3 = Block(8, 8, 1), Block(8, 12, 2), Block(12, 16, 2)
        self.cls = nn.ModuleList([nn.Conv2d(12, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1)])
        self.loc = nn.ModuleList([nn.Conv2d(12, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1)])

    def forward(self, x):
        x = self.layer1(F.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1))
        a = self.layer2(x)
        b = self.layer3(a)
        flat = lambda heads: torch.cat([h(f).permute(0, 2, 3, 1).reshape(f.shape[0], -1, 4) for h, f in zip(heads, (a, b))], 1)
        return flat(self.cls), flat(self.loc)


def multibox(scores, boxes, labels, offsets):
    """SSD's loss, 3:1 hard negatives an image, both parts summed and divided by the positives in the batch. Returns (classification, localization)."""
    positive = labels > 0
    count = positive.sum()
    entropy = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    total = entropy[positive].sum()
    for i in range(labels.shape[0]):
        k = min(3 * int(positive[i].sum()), int((~positive[i]).sum()))
        ranked = entropy[i][~positive[i]].sort(descending=True).values
        gaps = (ranked[k - 1] - ranked[k]).item() if 0 < k < len(ranked) else 1.0
        assert gaps > 1e-5, "the cut between hard and easy negatives must not hang on rounding"
        total = total + ranked[:k].sum()
    localization = F.smooth_l1_loss(boxes[positive], offsets[positive], reduction="sum", beta=1.0)
    return total / count, localization / count


def train_step():
    net = Net().train()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "bn" in name or "downsample.1" in name:
                p.copy_(torch.rand_like(p) + 0.5 if name.endswith("weight") else torch.randn_like(p) * 0.2)
        for name, s in net.named_buffers():
            if name.endswith("running_mean"):
                s.copy_(torch.randn_like(s) * 0.2)
            if name.endswith("running_var"):
                s.copy_(torch.rand_like(s) + 0.5)
    image = torch.randn(2, 3, 64, 64)
    labels = torch.zeros(2, 320, dtype=torch.int64)
    for i, count in enumerate((9, 4)):
        labels[i, torch.randperm(320)[:count]] = torch.randint(1, 4, (count,))
    offsets = torch.randn(2, 320, 4) * 1.5
    tensors = {"image": image, "labels": labels, "offsets": offsets}
    kept = lambda: {k: v.detach().clone() for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    tensors.update({"weight/" + k: v for k, v in kept().items()})
    scores, boxes = net(image)
    classification, localization = multibox(scores, boxes, labels, offsets)
    (classification + localization).backward()
    tensors.update(scores=scores, boxes=boxes, classification=classification, localization=localization)
    tensors.update({"gradient/" + k: p.grad for k, p in net.named_parameters()})
    tensors.update({"next/" + k: v for k, v in kept().items() if "running" in k})
    write("train-step", Net.__doc__, [case("step", {"negatives": 3, "momentum": 0.1, "epsilon": 1e-5}, **tensors)])


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    torch.set_num_threads(1)
    for make in (conv, batchnorm, maxpool, losses, contextual_roi_align, train_step):
        torch.manual_seed(SEED)
        make()
