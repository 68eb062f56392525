/** @file ResNet trunks (He et al. 2016): basic and bottleneck blocks, torchvision's layout (stride on the 3x3). */
import type { Value } from '../../ir/graph.ts'
import { batchNorm, conv, convBnRelu, type Maker, maxPool, relu } from './layers.ts'

/** 7x7 stride 2 with BN and ReLU, then 3x3 max pooling stride 2: a quarter of the input size. */
export function resnetStem(m: Maker, x: Value): Value {
  const c = relu(m, batchNorm(m, conv(m, x, 'conv1', { kernel: 7, out: 64, stride: 2 }), 'bn1'), 'relu1')
  return maxPool(m, c, 'maxpool', { kernel: 3, stride: 2, pad: 1 })
}

/** A stage of basic blocks: two 3x3 of `width` channels and a shortcut. */
export function basicStage(m: Maker, x: Value, name: string, blocks: number, width: number, stride: number): Value {
  return stage(m, x, name, blocks, width, stride, (y, block, s) => {
    const inner = convBnRelu(m, y, block, 1, { kernel: 3, out: width, stride: s })
    return batchNorm(m, conv(m, inner, `${block}.conv2`, { kernel: 3, out: width }), `${block}.bn2`)
  })
}

/** A stage of bottleneck blocks: 1x1, 3x3 (with the stride), 1x1 to four times `width`, and a shortcut. */
export function bottleneckStage(m: Maker, x: Value, name: string, blocks: number, width: number, stride: number): Value {
  return stage(m, x, name, blocks, 4 * width, stride, (y, block, s) => {
    const reduced = convBnRelu(m, y, block, 1, { kernel: 1, out: width })
    const spatial = convBnRelu(m, reduced, block, 2, { kernel: 3, out: width, stride: s })
    return batchNorm(m, conv(m, spatial, `${block}.conv3`, { kernel: 1, out: 4 * width }), `${block}.bn3`)
  })
}

function stage(m: Maker, x: Value, name: string, blocks: number, out: number, stride: number, branch: (y: Value, block: string, stride: number) => Value): Value {
  let y = x
  for (let i = 0; i < blocks; i++) {
    const block = `${name}.${i}`
    const s = i === 0 ? stride : 1
    const project = s !== 1 || y.shape?.[1] !== out
    const shortcut = project ? batchNorm(m, conv(m, y, `${block}.downsample.0`, { kernel: 1, out, stride: s }), `${block}.downsample.1`) : y
    y = relu(m, m.b.add(branch(y, block, s), shortcut, `${block}.add`), `${block}.out`)
  }
  return y
}
