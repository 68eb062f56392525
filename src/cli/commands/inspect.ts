/** @file espalier inspect: cost, inputs and outputs, channel groups of any ONNX model. */
import { opsetOf, type Dim, type Model, type Value } from '../../ir/graph.ts'
import { ownCard } from '../../detection/card.ts'
import { replaceableWeights } from '../../passes/constant-weights.ts'
import { modelCost, modelParams } from '../../passes/cost.ts'
import { findGroups } from '../../pruning/groups.ts'
import { prunableShare } from '../../pruning/share.ts'
import { unitCosts } from '../../pruning/width-cost.ts'
import { UserError } from '../../tensor/error.ts'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { cardRequest } from '../detector-options.ts'
import { flag, flagName } from '../fields.ts'
import { groupJson, groupsText, listed } from '../group-table.ts'
import { openDetector, openModel } from '../open-model.ts'
import { sensitivityFields } from '../sensitivity-options.ts'
import { sessionOptions } from '../session.ts'
import { amount, percent } from '../table.ts'

export default defineCommand({
  arguments: [['<model>', 'any ONNX model']],
  fields: { sensitivity: flag('cut every group alone by 30%, 50% and 70% and measure what the outputs suffer; needs --data'), ...sensitivityFields },
  examples: ['inspect model.onnx', 'inspect model.onnx --json', 'inspect runs/base/model.onnx --sensitivity --data data/bccd --out runs/sensitivity'],
  details: 'A group is a set of channels that can be removed one by one, with every weight slice tied to them; what must stay whole is listed with the reason. '
    + 'With --sensitivity, groups are ranked by the harm that cutting each alone does to the outputs: a hint which widths to spare, no measure of a pruned and trained model.',
  async run(options, [path = ''], context, given) {
    const stray = Object.keys(sensitivityFields).find((key) => given.has(key))
    if (!options.sensitivity && stray !== undefined) throw new UserError(`--${flagName(stray)} is an option of --sensitivity; add --sensitivity, or leave it out`)
    if (options.sensitivity && options.data === undefined) throw new UserError('--sensitivity needs images: give --data with a folder of them, or "shapes"; on random numbers a detector shows little of what it does on images')
    const { model, detector } = options.sensitivity ? await openDetector(path, { request: await cardRequest(options), session: sessionOptions(options, path), note: context.note }) : { ...(await openModel(path)), detector: undefined }
    const card = ownCard(model.metadata, path)
    const cost = costOf(model, path, context)
    const found = findGroups(model)
    const costs = unitCosts(model, found, cost.macs !== null)
    const groups = found.map((group, i) => ({ group, cost: costs[i]! }))
    const { params, prunable, removable } = prunableShare(model, found)
    const replaceable = replaceableWeights(model)
    const inputs = model.graph.inputs.filter((v) => !v.initializer).map(portOf)
    const outputs = model.graph.outputs.map(portOf)
    const json = { params: cost.params, macs: cost.macs, opset: opsetOf(model), inputs, outputs, replaceableWeights: replaceable, groups: groups.map(groupJson), share: { params, prunable, removable }, ...(card && { card }) }
    const head = [
      `${path}: ${amount(cost.params)} parameters, ${cost.macs === null ? '?' : amount(cost.macs)} MACs, opset ${json.opset}`,
      ...(card ? [`detector: ${card.architecture}, ${card.input.width}x${card.input.height}, ${card.classes.length} classes: ${listed(card.classes, 70)}`] : []),
      ...inputs.map((p) => `input  ${portText(p)}`),
      ...outputs.map((p) => `output ${portText(p)}`),
      ...(replaceable > 0 ? [`${replaceable} weights are inputs too, as old exporters have it: no runtime can fold or rearrange them, which costs speed;`, 'prune and export make them constants'] : []),
    ]
    if (detector && options.data !== undefined) {
      // The readers of images and ONNX Runtime take longer to load than all that inspect does without them.
      const { runSensitivity } = await import('../sensitivity.ts')
      const sensitivity = await runSensitivity({ detector, path, options: { ...options, data: options.data }, context, countMacs: cost.macs !== null })
      return context.result({ ...json, sensitivity: sensitivity.json }, [...head, '', sensitivity.text].join('\n'))
    }
    const lines = [
      ...head,
      '',
      groupsText(groups),
      '',
      `${percent(prunable)} of the ${amount(params)} kernel weights lie in groups that can be cut; ${percent(removable)} would go if each group kept one channel`,
    ]
    context.result(json, lines.join('\n'))
  },
})

/** MACs are null, with a note, where the model's shapes do not tell. */
function costOf(model: Model, path: string, context: Context): { params: number; macs: number | null } {
  try {
    const { params, macs } = modelCost(model)
    return { params, macs }
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    context.note(`${path}: ${error.message}`)
    return { params: modelParams(model), macs: null }
  }
}

interface Port {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly (number | string | null)[] | null
}

function portOf(v: Value): Port {
  return { name: v.name, dtype: v.dtype ?? 'unknown', shape: v.shape?.map((d: Dim) => d ?? null) ?? null }
}

function portText({ name, dtype, shape }: Port): string {
  return `${name}: ${dtype} ${shape ? `[${shape.map((d) => d ?? '?').join(', ')}]` : '(rank unknown)'}`
}
