/** @file Narrow networks of grouped and depthwise convolutions: ShuffleNet v1 and v2, MobileNet v2 and v3, EfficientNet. */
import { dimsOf, type Model, type Value } from '../../../src/ir/graph.ts'
import { i64 } from '../../../src/tensor/tensor.ts'
import { channelsOf, Layers } from './layers.ts'

/** Reshape, Transpose, Reshape. */
function shuffle(m: Layers, x: Value, groups: number): Value {
  const [n, c, h, w] = dimsOf(x) as [number, number, number, number]
  return m.b.reshape(m.b.transpose(m.b.reshape(x, [n, groups, c / groups, h, w]), [0, 2, 1, 3, 4]), [n, c, h, w])
}

/** Zhang et al. 2018: grouped 1x1 convolutions with a shuffle between them; units of stride 2 concatenate the pooled input. */
export function shufflenetV1(groups = 3, width = 24): Model {
  const m = new Layers('shufflenet-v1')
  let y = m.maxPool(m.block(m.image, 24, { kernel: 3, stride: 2 }), 3, 2, 1)
  for (const [stage, units] of [4, 8, 4].entries()) {
    const out = width << (stage + 1)
    for (let i = 0; i < units; i++) {
      const rest = i === 0 ? out - channelsOf(y) : out
      const first = m.block(y, out / 4, { group: stage === 0 && i === 0 ? 1 : groups })
      const inner = m.norm(m.depthwise(shuffle(m, first, groups), 3, i === 0 ? 2 : 1))
      const branch = m.norm(m.conv(inner, rest, { group: groups }))
      y = m.act('Relu', i === 0 ? m.concat(m.averagePool(y, 3, 2, 1), branch) : m.b.add(y, branch))
    }
  }
  return m.classifier(y)
}

/** Ma et al. 2018. `branches`: pairs of channels go to two branches by Reshape, Transpose and Gather (as FastestDet's file has it), or a shuffle and Split. */
export function shufflenetV2(width = 16, branches = false): Model {
  const m = new Layers(`shufflenet-v2${branches ? '-branches' : ''}`)
  const halves = (x: Value): Value[] => {
    const [n, c, h, w] = dimsOf(x) as [number, number, number, number]
    if (!branches) return m.split(shuffle(m, x, 2), c / 2, c / 2)
    const pairs = m.b.reshape(m.b.transpose(m.b.reshape(x, [(n * c) / 2, 2, h * w]), [1, 0, 2]), [2, -1, c / 2, h, w])
    return [0, 1].map((i) => m.b.op('Gather', [pairs, m.b.constant(i64([i], []))], { axis: 0 }))
  }
  const work = (x: Value, out: number, stride: number): Value => m.block(m.norm(m.depthwise(m.block(x, out), 3, stride)), out)
  let y = m.maxPool(m.block(m.image, 12, { kernel: 3, stride: 2 }), 3, 2, 1)
  for (const [stage, units] of [4, 8, 4].entries()) {
    const half = (width << stage) / 2
    y = m.concat(m.block(m.norm(m.depthwise(y, 3, 2)), half), work(y, half, 2))
    for (let i = 1; i < units; i++) {
      const [pass, through] = halves(y)
      y = m.concat(pass!, work(through!, half, 1))
    }
  }
  return m.classifier(m.block(y, 64))
}

/** Sandler et al. 2018: inverted residuals, Clip as ReLU6. */
export function mobilenetV2(width = 8): Model {
  const m = new Layers('mobilenet-v2')
  const relu6 = (x: Value): Value => m.b.op('Clip', [x, m.b.scalar(0), m.b.scalar(6)])
  let y = relu6(m.norm(m.conv(m.image, 2 * width, { kernel: 3, stride: 2 })))
  for (const [expand, out, blocks, first] of [[1, 1, 1, 1], [6, 2, 2, 2], [6, 2, 3, 2], [6, 4, 3, 2], [6, 6, 2, 1]] as const) {
    for (let i = 0; i < blocks; i++) {
      const stride = i === 0 ? first : 1
      const wide = expand === 1 ? y : relu6(m.norm(m.conv(y, expand * channelsOf(y))))
      const narrow = m.norm(m.conv(relu6(m.norm(m.depthwise(wide, 3, stride))), out * width))
      y = stride === 1 && channelsOf(y) === out * width ? m.b.add(y, narrow) : narrow
    }
  }
  return m.classifier(relu6(m.norm(m.conv(y, 64))))
}

/** Howard et al. 2019: HardSwish, squeeze-excitation gated by HardSigmoid. */
export function mobilenetV3(width = 8): Model {
  const m = new Layers('mobilenet-v3', undefined, 14)
  let y = m.block(m.image, 2 * width, { kernel: 3, stride: 2 }, 'HardSwish')
  for (const [kernel, expand, out, excite, act, stride] of [
    [3, 2, 2, true, 'Relu', 2], [3, 4, 3, false, 'Relu', 2], [3, 4, 3, false, 'Relu', 1], [5, 4, 4, true, 'HardSwish', 2],
    [5, 6, 4, true, 'HardSwish', 1], [5, 6, 4, true, 'HardSwish', 1], [5, 6, 6, true, 'HardSwish', 1], [5, 6, 6, true, 'HardSwish', 1],
  ] as const) {
    const wide = m.act(act, m.norm(m.depthwise(m.block(y, expand * width, {}, act), kernel, stride)))
    const gated = excite ? m.squeezeExcite(wide, width, 'Relu', 'HardSigmoid') : wide
    const narrow = m.norm(m.conv(gated, out * width))
    y = stride === 1 && channelsOf(y) === out * width ? m.b.add(y, narrow) : narrow
  }
  return m.classifier(m.block(y, 8 * width, {}, 'HardSwish'))
}

/** Tan and Le 2019: inverted residuals with SiLU, squeeze-excitation by ReduceMean. */
export function efficientnet(width = 8): Model {
  const m = new Layers('efficientnet')
  const gate = (x: Value, inner: number): Value => {
    const mean = m.b.op('ReduceMean', [x], { axes: [2, 3], keepdims: 1 })
    return m.b.mul(x, m.act('Sigmoid', m.conv(m.act('Silu', m.conv(mean, inner, { bias: true })), channelsOf(x), { bias: true })))
  }
  let y = m.block(m.image, 2 * width, { kernel: 3, stride: 2 }, 'Silu')
  for (const [expand, out, blocks, kernel, first] of [[1, 1, 1, 3, 1], [6, 2, 2, 3, 2], [6, 3, 2, 5, 2], [6, 4, 3, 3, 2], [6, 6, 2, 5, 1]] as const) {
    for (let i = 0; i < blocks; i++) {
      const stride = i === 0 ? first : 1
      const wide = expand === 1 ? y : m.block(y, expand * channelsOf(y), {}, 'Silu')
      const deep = gate(m.act('Silu', m.norm(m.depthwise(wide, kernel, stride))), Math.max(1, channelsOf(y) / 4))
      const narrow = m.norm(m.conv(deep, out * width))
      y = stride === 1 && channelsOf(y) === out * width ? m.b.add(y, narrow) : narrow
    }
  }
  return m.classifier(m.block(y, 64, {}, 'Silu'))
}
