/** @file SSD: heads and default boxes on the feature maps of a trunk, as an ONNX model that carries its card. */
import { createModel, Graph, type Model, type Value } from '../../ir/graph.ts'
import { Builder } from '../../ops/builder.ts'
import { UserError } from '../../tensor/error.ts'
import { createRng } from '../../tensor/rng.ts'
import { type DetectorCard, writeCard } from '../card.ts'
import { boxesPerCell, ssdLevels } from '../default-boxes.ts'
import { conv, type Draw, type Maker } from './layers.ts'

/** Opset of the models made here: every runtime of the last four years reads it. */
const modelOpset = 17

/** What a trunk offers to SSD's heads. */
export interface SsdTrunk {
  /** Feature maps, finest first. */
  readonly features: readonly Value[]
  /** Aspect ratios beside 1 of each map; each also stands for its inverse. */
  readonly ratios: readonly (readonly number[])[]
  /** Values at the ends of the trunk's stages, input to output. */
  readonly stageEnds: readonly Value[]
}

export interface SsdArchitecture {
  readonly name: string
  /** Input side when none is asked for, pixels. */
  readonly size: number
  /** Which of the SSD paper's box sizes: VOC's, or COCO's, which start smaller. */
  readonly scales: 'voc' | 'coco'
  readonly trunk: (m: Maker, image: Value) => SsdTrunk
}

export interface DetectorOptions {
  readonly classes: readonly string[]
  readonly seed: number
  /** Input side, pixels. */
  readonly size?: number
  /** Takes down how each random weight was drawn, by its name. */
  readonly draws?: Map<string, Draw>
}

/** ImageNet's channel statistics, RGB, 0..255. */
const imagenetMean = [123.675, 116.28, 103.53]
const imagenetStd = [58.395, 57.12, 57.375]

/**
 * Builds the detector with seeded random weights. Input `image` [N,3,S,S]; outputs `scores` [N,D,1 + classes] (logits, 0 is
 * background) and `boxes` [N,D,4] (offsets in SSD's coding).
 */
export function buildSsd(architecture: SsdArchitecture, options: DetectorOptions): Model {
  const size = options.size ?? architecture.size
  const b = new Builder(new Graph(architecture.name), modelOpset)
  const m: Maker = { b, rng: createRng(`${options.seed}/weights`), draws: options.draws }
  const image = b.input('image', 'float32', ['N', 3, size, size])
  const trunk = architecture.trunk(m, image)
  const smallest = trunk.features.at(-1)!.shape?.slice(2) ?? []
  if (smallest.some((d) => typeof d !== 'number' || d < 1)) throw new UserError(`an input of ${size} pixels is too small for ${architecture.name}: its last feature map would have no cell; ask for a larger --size`)
  const levels = ssdLevels({ width: size, height: size, featureSizes: trunk.features.map(cells), ratios: trunk.ratios, scales: architecture.scales })
  const scores: Value[] = []
  const boxes: Value[] = []
  trunk.features.forEach((feature, i) => {
    const perCell = boxesPerCell(levels[i]!)
    scores.push(head(m, feature, `head.${i}.scores`, perCell, 1 + options.classes.length))
    boxes.push(head(m, feature, `head.${i}.boxes`, perCell, 4))
  })
  b.output(b.op('Concat', scores, { axis: 1 }, 'scores'))
  b.output(b.op('Concat', boxes, { axis: 1 }, 'boxes'))
  const model = createModel(b.graph, modelOpset)
  const card: DetectorCard = {
    version: 1,
    architecture: architecture.name,
    input: { width: size, height: size },
    channels: 'RGB',
    mean: imagenetMean,
    std: imagenetStd,
    resize: 'stretch',
    classes: [...options.classes],
    decoder: { type: 'ssd', scores: 'scores', boxes: 'boxes', variances: [0.1, 0.2], scoreThreshold: 0.01, nmsIou: 0.45, maxDetections: 200 },
    defaultBoxes: levels,
    stageEnds: trunk.stageEnds.map((v) => v.name),
  }
  writeCard(model.metadata, card)
  return model
}

/** 3x3 Conv, then [N, cells * perCell, width] in the order row, column, box. */
function head(m: Maker, feature: Value, name: string, perCell: number, width: number): Value {
  const y = conv(m, feature, name, { kernel: 3, out: perCell * width, bias: true, init: 'xavier' })
  const last = m.b.transpose(y, [0, 2, 3, 1], `${name}.channels_last`)
  return m.b.reshape(last, [0, -1, width], `${name}.flat`)
}

function cells(feature: Value): [number, number] {
  const [, , height, width] = feature.shape ?? []
  if (typeof width !== 'number' || typeof height !== 'number') throw new Error(`the size of feature map "${feature.name}" is not known`)
  return [width, height]
}
