/** @file One whole training step of a narrow SSD-ResNet against torch: outputs, losses, all gradients, running statistics. */
import { expect, it } from 'vitest'
import { grad } from '../../src/autodiff/grad.ts'
import { multiboxLoss } from '../../src/detection/losses.ts'
import { createModel, dimsOf, Graph, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { lookup } from '../../src/ops/registry.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { runModel } from '../support/run.ts'
import { golden, of, relativeError } from './read.ts'

const [step] = golden('train-step')

/** The network that the generator describes, written with the builder. */
class Net {
  readonly b = new Builder(new Graph('step'))
  readonly weights = new Map<string, Value>()
  readonly statistics = new Map<string, Value>()

  weight(name: string): Value {
    const v = this.b.input(`weight/${name}`, 'float32', of(step!, `weight/${name}`).dims)
    this.weights.set(name, v)
    return v
  }

  conv(name: string, x: Value, stride = 1, biased = false): Value {
    const w = this.weight(`${name}.weight`)
    const kernel = dimsOf(w).slice(2)
    const pad = (kernel[0]! - 1) / 2
    return this.b.op('Conv', [x, w, ...(biased ? [this.weight(`${name}.bias`)] : [])], { kernel_shape: kernel, strides: [stride, stride], pads: [pad, pad, pad, pad] })
  }

  norm(name: string, x: Value): Value {
    const params = [this.weight(`${name}.weight`), this.weight(`${name}.bias`)]
    const state = ['running_mean', 'running_var'].map((s) => this.b.input(`weight/${name}.${s}`, 'float32', dimsOf(params[0]!)))
    const plain = this.b.op('BatchNormalization', [x, ...params, ...state])
    const form = lookup('BatchNormalization')!.training!(this.b, plain.producer!, 0.1)
    for (const u of form.updates) this.statistics.set(u.state.name.slice('weight/'.length), u.next)
    return form.outputs[0]!
  }

  relu(x: Value): Value {
    return this.b.op('Relu', [x])
  }

  block(name: string, x: Value, stride: number): Value {
    const y = this.norm(`${name}.bn2`, this.conv(`${name}.conv2`, this.relu(this.norm(`${name}.bn1`, this.conv(`${name}.conv1`, x, stride)))))
    const short = stride === 1 ? x : this.norm(`${name}.downsample.1`, this.conv(`${name}.downsample.0`, x, stride))
    return this.relu(this.b.add(y, short))
  }

  head(name: string, features: readonly Value[]): Value {
    const flat = features.map((f, i) => {
      const y = this.b.transpose(this.conv(`${name}.${i}`, f, 1, true), [0, 2, 3, 1])
      return this.b.reshape(y, [2, -1, 4])
    })
    return this.b.op('Concat', flat, { axis: 1 })
  }
}

it('torch: a whole training step', async () => {
  const c = step!
  const net = new Net()
  const { b } = net
  const image = b.input('image', 'float32', of(c, 'image').dims)
  const stem = net.relu(net.norm('bn1', net.conv('conv1', image, 2)))
  const layer1 = net.block('layer1', b.op('MaxPool', [stem], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }), 1)
  const layer2 = net.block('layer2', layer1, 2)
  const features = [layer2, net.block('layer3', layer2, 2)]
  const scores = net.head('cls', features)
  const boxes = net.head('loc', features)
  const labels = b.input('labels', 'int32', of(c, 'labels').dims)
  const offsets = b.input('offsets', 'float32', of(c, 'offsets').dims)
  const { classification, localization } = multiboxLoss(b, { scores, boxes, labels, offsets }, 3)
  const grads = grad(b, b.add(classification, localization), [...net.weights.values()])
  const outputs = { scores, boxes, classification, localization }
  for (const [name, v] of Object.entries(outputs)) b.output(b.op('Identity', [v]), name)
  for (const [name, v] of net.weights) b.output(b.op('Identity', [grads.get(v)!]), `gradient/${name}`)
  for (const [name, v] of net.statistics) b.output(v, `next/${name}`)
  const feeds = Object.fromEntries(b.graph.inputs.map((v) => [v.name, of(c, v.name)]))
  const results = await runModel(createModel(b.graph, b.opset), feeds)
  const wanted = Object.keys(c.tensors).filter((name) => /^(gradient|next)\//.test(name))
  expect(Object.keys(results).sort()).toEqual([...wanted, ...Object.keys(outputs)].sort())
  // Gradients are sums that cancel: their bound is the project's 1e-3, relative to the largest element of each.
  for (const [name, got] of Object.entries(results)) {
    expect(floats(got).every(Number.isFinite)).toBe(true)
    expect.soft(relativeError(got, of(c, name)), name).toBeLessThan(name.startsWith('gradient/') ? 1e-3 : 1e-5)
  }
})
