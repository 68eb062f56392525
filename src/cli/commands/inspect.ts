/** @file espalier inspect: cost, inputs and outputs, channel groups of any ONNX model. */
import { opsetOf, type Dim, type Model, type Value } from '../../ir/graph.ts'
import { cardKey, readCard } from '../../detection/card.ts'
import { modelCost, modelParams } from '../../passes/cost.ts'
import { type ChannelGroup, findGroups } from '../../pruning/groups.ts'
import { UserError } from '../../tensor/error.ts'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { openModel } from '../open-model.ts'
import { amount, table } from '../table.ts'

export default defineCommand({
  arguments: [['<model>', 'any ONNX model']],
  fields: {},
  examples: ['inspect model.onnx', 'inspect model.onnx --json'],
  details: 'A group is a set of channels that can be removed one by one, with every weight slice tied to them; what must stay whole is listed with the reason.',
  async run(_options, [path = ''], context) {
    const { model } = await openModel(path)
    const card = model.metadata.has(cardKey) ? readCard(model.metadata, path) : undefined
    const groups = findGroups(model)
    const cost = costOf(model, path, context)
    const inputs = model.graph.inputs.filter((v) => !v.initializer).map(portOf)
    const outputs = model.graph.outputs.map(portOf)
    const json = { params: cost.params, macs: cost.macs, opset: opsetOf(model), inputs, outputs, groups: groups.map(groupJson), ...(card && { card }) }
    const prunable = groups.filter((g) => g.prunable).length
    const lines = [
      `${path}: ${amount(cost.params)} parameters, ${cost.macs === null ? '?' : amount(cost.macs)} MACs, opset ${json.opset}`,
      ...(card ? [`detector: ${card.architecture}, ${card.input.width}x${card.input.height}, classes ${card.classes.join(', ')}`] : []),
      ...inputs.map((p) => `input  ${portText(p)}`),
      ...outputs.map((p) => `output ${portText(p)}`),
      `${groups.length} channel groups, ${prunable} can be cut`,
      '',
      table(['group', 'channels', 'layers in', 'layers out', 'can be cut'], groups.map((g) => [g.id, String(g.channels), String(g.producers.length), String(g.consumers.length), g.prunable ? `yes${g.coupled ? ' (coupled)' : ''}` : `no: ${g.reason}`]), true),
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

function groupJson(g: ChannelGroup) {
  return {
    id: g.id,
    channels: g.channels,
    prunable: g.prunable,
    ...(g.reason !== undefined && { reason: g.reason }),
    coupled: g.coupled,
    members: g.members.map((m) => ({ value: m.value.name, axis: m.axis, role: m.role, perUnit: m.perUnit })),
  }
}
