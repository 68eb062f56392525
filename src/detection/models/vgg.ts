/** @file The VGG-16 trunk as SSD uses it (Liu et al. 2016): dilated fc6, fc7 as convolutions, L2-normalised conv4_3. */
import type { Value } from '../../ir/graph.ts'
import { f32 } from '../../tensor/tensor.ts'
import { conv, type Maker, maxPool, relu } from './layers.ts'

export interface VggFeatures {
  /** conv4_3 after ReLU, before its normalisation. */
  readonly conv4: Value
  readonly conv3: Value
  readonly fc7: Value
}

export function vgg16(m: Maker, x: Value): VggFeatures {
  // Names count as torchvision's `features` do, so that its classifier's weights fit.
  let index = 0
  let y = x
  const block = (width: number, convs: number): Value => {
    for (let i = 0; i < convs; i++) {
      y = relu(m, conv(m, y, `features.${index}`, { kernel: 3, out: width, bias: true }), `features.${index + 1}`)
      index += 2
    }
    return y
  }
  const pool = (kernel: number, stride: number, pad: number, ceil: boolean): void => {
    y = maxPool(m, y, `features.${index}`, { kernel, stride, pad, ceil })
    index += 1
  }
  block(64, 2)
  pool(2, 2, 0, false)
  block(128, 2)
  pool(2, 2, 0, false)
  const conv3 = block(256, 3)
  pool(2, 2, 0, true)
  const conv4 = block(512, 3)
  pool(2, 2, 0, false)
  block(512, 3)
  pool(3, 1, 1, false)
  y = relu(m, conv(m, y, 'fc6', { kernel: 3, out: 1024, dilation: 6, bias: true }), 'fc6.relu')
  const fc7 = relu(m, conv(m, y, 'fc7', { kernel: 1, out: 1024, bias: true }), 'fc7.relu')
  return { conv3, conv4, fc7 }
}

/** L2 normalisation over channels with a learned scale a channel (ParseNet); the scale starts at 20. */
export function l2Normalize(m: Maker, x: Value, name: string): Value {
  const channels = x.shape?.[1] as number
  const scale = m.b.constant(f32(new Float32Array(channels).fill(20), [1, channels, 1, 1]), `${name}.scale`)
  const squares = m.b.op('ReduceSum', [m.b.mul(x, x, `${name}.square`), m.b.ints([1])], { keepdims: 1 }, `${name}.sum`)
  const norm = m.b.op('Sqrt', [m.b.add(squares, m.b.scalar(1e-10), `${name}.stabilized`)], {}, `${name}.norm`)
  return m.b.mul(m.b.div(x, norm, `${name}.unit`), scale, `${name}.scaled`)
}
