/** @file espalier profile: how long each layer takes on this machine as its channels shrink. */
import type { LatencyProfile } from '../../pruning/latency/profile.ts'
import { chooseGroups } from '../../pruning/request.ts'
import { layerKey } from '../../runtime/layer-times.ts'
import { defineCommand } from '../command.ts'
import { cacheField, openProfile } from '../latency.ts'
import { openModel } from '../open-model.ts'
import { costOf } from '../plan-report.ts'
import { budgetFields } from '../budget-options.ts'
import { percent, shortened, table } from '../table.ts'
import { machine } from './bench.ts'

export default defineCommand({
  arguments: [['<model>', 'any ONNX model']],
  fields: { groups: budgetFields.groups, ...cacheField },
  examples: ['profile model.onnx --threads 1', 'profile model.onnx --no-cache --json'],
  details: 'Each distinct layer is timed at several widths, and the whole model at some: what prune --latency and --speedup rest on. Times are kept in the user\'s cache folder, '
    + 'by processor, execution provider, threads and version of the runtime. Nothing else should run meanwhile; with --threads 1 on the CPU the time of the processor is taken, which other processes hardly disturb.',
  async run(options, [path = ''], context) {
    const { model } = await openModel(path)
    costOf(model, path)
    const groups = chooseGroups({ model }, options)
    const { profile, cache } = await openProfile({ model, path, groups, options, context })
    const layers = distinctLayers(profile, groups.map((g) => g.channels))
    const whole = profile.whole.map(({ share, measuredMs, predictedMs }) => ({ share: share ?? null, measuredMs, predictedMs }))
    const json = { layers, whole, cache: cache.file, machine: { ...(await machine(options)), provider: options.ep ?? 'cpu' } }
    const shown = whole.flatMap(({ share }, i) => (share === null || i === 0 ? [] : [{ i, name: share === 0 ? 'least' : percent(share) }]))
    const all = layers.reduce((sum, { count, ms }) => sum + count * ms, 0)
    const rows = layers.map(({ name, count, ms, points }) => [shortened(name, 40), String(count), ms.toFixed(3), percent((count * ms) / all), ...shown.map(({ i }) => percent(points[i]!.ms / ms))])
    context.result(json, [
      table(['layer', 'times', 'ms', 'of all', ...shown.map(({ name }) => `at ${name}`)], rows),
      table(['whole model', 'measured ms', 'predicted ms', 'off'], whole.map(({ share, measuredMs: a, predictedMs: b }) => [share === null ? 'uneven widths' : share === 0 ? 'least widths' : `${percent(share)} of the channels`, a.toFixed(2), b.toFixed(2), percent(b / a - 1)])),
      `${json.machine.cpu}, ${json.machine.threads} threads, ${json.machine.runtime}; times kept in ${cache.file}`,
    ].join('\n\n'))
  },
})

interface LayerRow {
  /** Of the first layer of this shape. */
  readonly name: string
  readonly shape: string
  /** Layers of this shape. */
  readonly count: number
  readonly ms: number
  readonly points: LatencyProfile['points'][number]
}

/** The slowest first, all layers of a shape together. */
function distinctLayers({ layers, points }: LatencyProfile, full: readonly number[]): LayerRow[] {
  const rows = new Map<string, LayerRow>()
  layers.at(full).forEach(({ layer }, i) => {
    const shape = layerKey(layer)
    const row = rows.get(shape)
    rows.set(shape, row ? { ...row, count: row.count + 1 } : { name: layers.names[i]!, shape, count: 1, ms: points[i]![0]!.ms, points: points[i]! })
  })
  return [...rows.values()].sort((a, b) => b.count * b.ms - a.count * a.ms)
}
