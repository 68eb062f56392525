/** @file The detectors that can be made from nothing, by name. */
import type { Model, Value } from '../../ir/graph.ts'
import { UserError } from '../../tensor/error.ts'
import { conv, convBnRelu, type Maker, relu } from './layers.ts'
import { basicStage, bottleneckStage, resnetStem } from './resnet.ts'
import { buildSsd, type DetectorOptions, type SsdArchitecture, type SsdTrunk } from './ssd.ts'
import { l2Normalize, vgg16 } from './vgg.ts'

/** Aspect ratios for 4 and for 6 boxes a cell. */
const four = [2]
const six = [2, 3]

interface Extra {
  readonly mid: number
  readonly out: number
  readonly stride: number
  readonly pad: number
}

/** SSD's extra layers: {1x1 mid, 3x3 out} each; returns the map after each. `bn`: BN between Conv and ReLU, else biases. */
function extraLayers(m: Maker, x: Value, layers: readonly Extra[], bn: boolean): Value[] {
  let y = x
  return layers.map(({ mid, out, stride, pad }, i) => {
    const prefix = `extra.${i}`
    const step = (v: Value, k: number, options: Parameters<typeof conv>[3]): Value =>
      bn ? convBnRelu(m, v, prefix, k, options) : relu(m, conv(m, v, `${prefix}.conv${k}`, { ...options, bias: true }), `${prefix}.relu${k}`)
    y = step(step(y, 1, { kernel: 1, out: mid }), 2, { kernel: 3, out, stride, pad })
    return y
  })
}

/** ResNet-50 up to layer3, whose stride is 1; five extra layers: 38, 19, 10, 5, 3, 1 at an input of 300. */
function resnet50Trunk(m: Maker, image: Value): SsdTrunk {
  const layer1 = bottleneckStage(m, resnetStem(m, image), 'layer1', 3, 64, 1)
  const layer2 = bottleneckStage(m, layer1, 'layer2', 4, 128, 2)
  const layer3 = bottleneckStage(m, layer2, 'layer3', 6, 256, 1)
  const extras = extraLayers(m, layer3, [
    { mid: 256, out: 512, stride: 2, pad: 1 },
    { mid: 256, out: 512, stride: 2, pad: 1 },
    { mid: 128, out: 256, stride: 2, pad: 1 },
    { mid: 128, out: 256, stride: 1, pad: 0 },
    { mid: 128, out: 256, stride: 1, pad: 0 },
  ], true)
  return { features: [layer3, ...extras], ratios: [four, six, six, six, four, four], stageEnds: [layer1, layer2, layer3] }
}

/** ResNet-18, heads on layer2, layer3, layer4 and two extra layers: 38, 19, 10, 5, 3 at an input of 300. */
function resnet18Trunk(m: Maker, image: Value): SsdTrunk {
  const layer1 = basicStage(m, resnetStem(m, image), 'layer1', 2, 64, 1)
  const layer2 = basicStage(m, layer1, 'layer2', 2, 128, 2)
  const layer3 = basicStage(m, layer2, 'layer3', 2, 256, 2)
  const layer4 = basicStage(m, layer3, 'layer4', 2, 512, 2)
  const extras = extraLayers(m, layer4, [{ mid: 128, out: 256, stride: 2, pad: 1 }, { mid: 128, out: 256, stride: 2, pad: 1 }], true)
  return { features: [layer2, layer3, layer4, ...extras], ratios: [four, six, six, four, four], stageEnds: [layer2, layer3, layer4] }
}

/** VGG-16 with L2-normalised conv4_3, fc7 and four extra layers, as in the SSD paper. */
function vgg16Trunk(m: Maker, image: Value): SsdTrunk {
  const { conv3, conv4, fc7 } = vgg16(m, image)
  const extras = extraLayers(m, fc7, [
    { mid: 256, out: 512, stride: 2, pad: 1 },
    { mid: 128, out: 256, stride: 2, pad: 1 },
    { mid: 128, out: 256, stride: 1, pad: 0 },
    { mid: 128, out: 256, stride: 1, pad: 0 },
  ], false)
  return { features: [l2Normalize(m, conv4, 'conv4_norm'), fc7, ...extras], ratios: [four, six, six, six, four, four], stageEnds: [conv3, conv4, fc7] }
}

/** A small residual trunk for the embedded data set: 20, 10, 5, 3 at an input of 160; about a quarter of a million parameters. */
function smallTrunk(m: Maker, image: Value): SsdTrunk {
  const stem = convBnRelu(m, image, 'stem', 1, { kernel: 3, out: 16, stride: 2 })
  const layer1 = basicStage(m, stem, 'layer1', 1, 24, 2)
  const layer2 = basicStage(m, layer1, 'layer2', 1, 48, 2)
  const layer3 = basicStage(m, layer2, 'layer3', 1, 72, 2)
  const layer4 = basicStage(m, layer3, 'layer4', 1, 96, 2)
  const extras = extraLayers(m, layer4, [{ mid: 32, out: 64, stride: 2, pad: 1 }], true)
  return { features: [layer2, layer3, layer4, ...extras], ratios: [four, four, four, four], stageEnds: [layer2, layer3, layer4] }
}

const architectures: readonly SsdArchitecture[] = [
  // The public SSD300 benchmarks on ResNets use COCO's box sizes; the paper's VGG detector has VOC's.
  { name: 'ssd300-resnet50', size: 300, scales: 'coco', trunk: resnet50Trunk },
  { name: 'ssd300-vgg16', size: 300, scales: 'voc', trunk: vgg16Trunk },
  { name: 'ssd300-resnet18', size: 300, scales: 'coco', trunk: resnet18Trunk },
  { name: 'ssd-small', size: 160, scales: 'voc', trunk: smallTrunk },
]

export const architectureNames: readonly string[] = architectures.map((a) => a.name)

/** Builds a detector by name with seeded random weights; throws UserError naming the known ones. */
export function buildDetector(name: string, options: DetectorOptions): Model {
  const architecture = architectures.find((a) => a.name === name)
  if (!architecture) throw new UserError(`architecture "${name}" is not known; known are ${architectureNames.join(', ')}`)
  return buildSsd(architecture, options)
}
