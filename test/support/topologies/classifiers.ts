/** @file Narrow classifiers with the topology of the originals: ResNet-50, VGG-19, DenseNet-121, SqueezeNet, GoogLeNet, Inception v2. */
import { dimsOf, type Model, type Value } from '../../../src/ir/graph.ts'
import { channelsOf, Layers } from './layers.ts'

/** He et al. 2016: bottlenecks 3, 4, 6, 3. */
export function resnet50(width = 16): Model {
  const m = new Layers('resnet50')
  let y = m.maxPool(m.block(m.image, width, { kernel: 7, stride: 2 }), 3, 2, 1)
  for (const [stage, blocks] of [3, 4, 6, 3].entries()) {
    const inner = width << stage
    for (let i = 0; i < blocks; i++) {
      const stride = stage > 0 && i === 0 ? 2 : 1
      const branch = m.norm(m.conv(m.block(m.block(y, inner), inner, { kernel: 3, stride }), 4 * inner))
      const shortcut = i === 0 ? m.norm(m.conv(y, 4 * inner, { stride })) : y
      y = m.act('Relu', m.b.add(branch, shortcut))
    }
  }
  return m.classifier(y)
}

/** Simonyan and Zisserman 2015, configuration E: 16 convolutions, three linear layers. */
export function vgg19(width = 8): Model {
  const m = new Layers('vgg19')
  let y = m.image
  for (const [stage, convs] of [2, 2, 4, 4, 4].entries()) {
    for (let i = 0; i < convs; i++) y = m.act('Relu', m.conv(y, width * Math.min(8, 1 << stage), { kernel: 3, bias: true }))
    y = m.maxPool(y, 2, 2)
  }
  const flat = m.b.reshape(y, [1, -1])
  const hidden = m.act('Relu', m.linear(m.act('Relu', m.linear(flat, 8 * width)), 8 * width))
  return m.model(m.b.op('Softmax', [m.linear(hidden, 10)], { axis: 1 }))
}

/** Huang et al. 2017: dense blocks of 6, 12, 24, 16, BN and ReLU before each convolution. */
export function densenet121(growth = 4): Model {
  const m = new Layers('densenet121')
  const before = (x: Value, out: number, kernel: number): Value => m.conv(m.act('Relu', m.norm(x)), out, { kernel })
  let y = m.maxPool(m.block(m.image, 2 * growth, { kernel: 7, stride: 2 }), 3, 2, 1)
  for (const [block, layers] of [6, 12, 24, 16].entries()) {
    for (let i = 0; i < layers; i++) y = m.concat(y, before(before(y, 4 * growth, 1), growth, 3))
    if (block < 3) y = m.averagePool(before(y, channelsOf(y) / 2, 1), 2, 2)
  }
  return m.classifier(m.act('Relu', m.norm(y)))
}

/** Iandola et al. 2016, version 1.1: fire modules, a convolution for classifier. */
export function squeezenet(width = 8): Model {
  const m = new Layers('squeezenet')
  const act = (x: Value, out: number, kernel: number, stride = 1): Value => m.act('Relu', m.conv(x, out, { kernel, stride, bias: true }))
  const fire = (x: Value, squeeze: number): Value => {
    const s = act(x, squeeze, 1)
    return m.concat(act(s, 4 * squeeze, 1), act(s, 4 * squeeze, 3))
  }
  let y = act(m.image, 4 * width, 3, 2)
  for (const stage of [[1, 1], [2, 2], [3, 3, 4, 4]]) y = stage.reduce((v, n) => fire(v, n * width), m.maxPool(y, 3, 2))
  const pooled = m.b.op('GlobalAveragePool', [act(m.b.op('Dropout', [y]), 10, 1)])
  return m.model(m.b.op('Softmax', [m.b.reshape(pooled, [1, 10])], { axis: 1 }))
}

/** Szegedy et al. 2015: nine modules of four branches, local response normalisation in the stem. */
export function googlenet(width = 4): Model {
  const m = new Layers('googlenet')
  const act = (x: Value, out: number, kernel: number, stride = 1): Value => m.act('Relu', m.conv(x, out, { kernel, stride, bias: true }))
  const lrn = (x: Value): Value => m.b.op('LRN', [x], { size: 5, alpha: { float: 1e-2 }, beta: 0.75 })
  const module = (x: Value, one: number): Value =>
    m.concat(act(x, 2 * one, 1), act(act(x, 3 * one, 1), 4 * one, 3), act(act(x, one, 1), one, 5), act(m.maxPool(x, 3, 1, 1), one, 1))
  let y = lrn(m.maxPool(act(m.image, 4 * width, 7, 2), 3, 2, 1))
  y = m.maxPool(lrn(act(act(y, 4 * width, 1), 12 * width, 3)), 3, 2, 1)
  for (const [stage, modules] of [2, 5, 2].entries()) {
    for (let i = 0; i < modules; i++) y = module(y, width * (stage + 1))
    if (stage < 2) y = m.maxPool(y, 3, 2, 1)
  }
  const [, , height, wide] = dimsOf(y) as [number, number, number, number]
  return m.model(m.linear(m.b.reshape(m.b.op('AveragePool', [y], { kernel_shape: [height, wide] }), [1, -1]), 10))
}

/** Ioffe and Szegedy 2015: two 3x3 in place of the 5x5, BN everywhere, modules of stride 2 whose pool passes its input on. */
export function inceptionV2(width = 4): Model {
  const m = new Layers('inception-v2')
  const module = (x: Value, one: number, pool: 'mean' | 'max'): Value => {
    const pooled = pool === 'mean' ? m.averagePool(x, 3, 1, 1) : m.maxPool(x, 3, 1, 1)
    const double = m.block(m.block(m.block(x, 2 * one), 3 * one, { kernel: 3 }), 3 * one, { kernel: 3 })
    return m.concat(m.block(x, 2 * one), m.block(m.block(x, 2 * one), 2 * one, { kernel: 3 }), double, m.block(pooled, one))
  }
  const reduce = (x: Value, one: number): Value => {
    const down = { kernel: 3, stride: 2 }
    return m.concat(m.block(m.block(x, 2 * one), 3 * one, down), m.block(m.block(m.block(x, 2 * one), 3 * one, { kernel: 3 }), 3 * one, down), m.maxPool(x, 3, 2, 1))
  }
  let y = m.maxPool(m.block(m.image, 2 * width, { kernel: 7, stride: 2 }), 3, 2, 1)
  y = m.maxPool(m.block(m.block(y, 2 * width), 6 * width, { kernel: 3 }), 3, 2, 1)
  y = reduce(module(module(y, width, 'mean'), width, 'mean'), width)
  for (let i = 0; i < 4; i++) y = module(y, 2 * width, 'mean')
  y = module(module(reduce(y, 2 * width), 2 * width, 'mean'), 2 * width, 'max')
  return m.classifier(y)
}
