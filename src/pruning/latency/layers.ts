/** @file The layers of a model whose time depends on widths: what they are at given widths, and what of them to measure. */
import { dimsOf, type Model, type Node, staticShape } from '../../ir/graph.ts'
import { lookup } from '../../ops/registry.ts'
import { type Layer, layerOf } from '../../runtime/layer-times.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import type { ChannelGroup } from '../groups.ts'
import { widthShadow } from '../width-cost.ts'

/** A layer at some widths. */
export interface SizedLayer {
  readonly layer: Layer
  /** How much is left of its input, and of its output: shares of the elements of the whole layer's. */
  readonly in: number
  readonly out: number
}

/** A model with widths that can be set, and its layers that multiply. */
export interface LayerView {
  /** In graph order, by the names of their outputs. */
  readonly names: readonly string[]
  /** Indices of the groups whose channels each layer reads, and of those whose channels it makes. */
  readonly reads: readonly (readonly number[])[]
  readonly makes: readonly (readonly number[])[]
  /** All layers where group i has `kept[i]` units. */
  at(kept: readonly number[]): SizedLayer[]
  /** As `at`, the shares alone. */
  shares(kept: readonly number[]): Pick<SizedLayer, 'in' | 'out'>[]
  /**
   * Elements that all other nodes make, of those whose shape is known: nodes that read a layer's output alone, which runtimes may do in the layer
   * (activations), and the rest.
   */
  others(kept: readonly number[]): readonly [behindLayers: number, rest: number]
}

/** `groups` are groups of `model`, whose constants are folded; layers without any take time too. Throws UserError for layers that are not in float32. */
export function viewLayers(model: Model, groups: readonly ChannelGroup[]): LayerView {
  const { model: shadow, setWidths } = widthShadow(model, groups)
  setWidths(groups.map((g) => g.channels))
  const multiplies = (node: Node): boolean => lookup(node.opType, node.domain)?.macs !== undefined
  const nodes = shadow.graph.nodes.filter(multiplies)
  const others = shadow.graph.nodes.filter((node) => !multiplies(node) && node.outputs[0] && staticShape(node.outputs[0]))
  const behind = others.filter(({ inputs: [x] , inputs }) => x?.producer && multiplies(x.producer) && x.uses.size === 1 && inputs.every((v) => v === x || v?.initializer))
  const rest = others.filter((node) => !behind.includes(node))
  const whole = nodes.map(sizesOf)
  const shareOf = (node: Node, i: number): Pick<SizedLayer, 'in' | 'out'> => {
    const size = sizesOf(node)
    return { in: size.in / whole[i]!.in, out: size.out / whole[i]!.out }
  }
  const byValue = groupsByValue(groups)
  return {
    names: nodes.map((node) => node.outputs[0]!.name),
    reads: nodes.map((node) => byValue.get(node.inputs[0]!.name) ?? []),
    makes: nodes.map((node) => byValue.get(node.outputs[0]!.name) ?? []),
    at(kept) {
      setWidths(kept)
      return nodes.map((node, i) => ({ layer: layerOf(node), ...shareOf(node, i) }))
    },
    shares(kept) {
      setWidths(kept)
      return nodes.map(shareOf)
    },
    others(kept) {
      setWidths(kept)
      return [elementsOf(behind), elementsOf(rest)]
    },
  }
}

function sizesOf(node: Node): { in: number; out: number } {
  return { in: sizeOf(dimsOf(node.inputs[0]!)), out: sizeOf(dimsOf(node.outputs[0]!)) }
}

function elementsOf(nodes: readonly Node[]): number {
  return nodes.reduce((sum, node) => sum + sizeOf(dimsOf(node.outputs[0]!)), 0)
}

function groupsByValue(groups: readonly ChannelGroup[]): Map<string, number[]> {
  const found = new Map<string, number[]>()
  groups.forEach((group, index) => {
    for (const { value } of group.members) {
      const list = found.get(value.name) ?? []
      found.set(value.name, list)
      if (!list.includes(index)) list.push(index)
    }
  })
  return found
}
