/** @file The least-squares update: kept weights at the minimum of L_re, by the normal equations. */
import { cloneModel } from '../../ir/edit.ts'
import { valueNamed } from '../../ir/walk.ts'
import { UserError } from '../../tensor/error.ts'
import type { Detector } from '../../train/detector.ts'
import { nodeLabel } from '../channel-links.ts'
import { fitLayer, hasFit } from '../least-squares.ts'
import type { Layer } from './joint-loss.ts'
import type { Workspace } from './workspace.ts'

/**
 * The cut detector with weights and biases of `layers` fitted to the baseline's outputs on the selection images, in graph order, so that each sees the fits before it. Each
 * layer takes a forward pass over the images, which counts as a whole pass. A layer without a fit is an error; where SGD follows, it is left to that.
 */
export async function fitLayers(w: Workspace, cut: Detector, layers: readonly Layer[]): Promise<Detector> {
  const { batch, update } = w.options
  const { model } = cloneModel(cut.model)
  const found = layers.map((layer) => ({ ...layer, node: valueNamed(model.graph, layer.output).producer! }))
  const unfit = found.find((layer) => !hasFit(layer.node))
  if (unfit) {
    const why = `${nodeLabel(unfit.node)} is no convolution with weights of its own, so it has no least-squares fit here`
    if (update === 'least-squares') throw new UserError(`--update least-squares: ${why}; give --update sgd, or both`)
    w.listener?.({ type: 'note', text: `${why}: it is updated by SGD alone` })
  }
  const order = new Map(model.graph.nodes.map((node, i) => [node, i]))
  const fitted = found.filter((layer) => hasFit(layer.node)).sort((a, b) => order.get(a.node)! - order.get(b.node)!)
  w.listener?.({ type: 'phase', name: `fit ${fitted.length} layers`, total: fitted.length, unit: 'layers' })
  for (const [i, { output, keep }] of fitted.entries()) {
    const images = { batch, batches: w.selection.epoch(0) }
    await fitLayer(w.baseline, { ...cut, model }, { output, keep: keep.find((k) => k.axis === 1)?.indices }, images, w)
    w.passes.update += w.selection.batches * batch
    w.listener?.({ type: 'progress', done: i + 1, values: {} })
  }
  w.listener?.({ type: 'end', summary: 'least squares to the baseline\'s outputs' })
  return { ...cut, model }
}
