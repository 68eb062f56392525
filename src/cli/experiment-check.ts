/** @file What an experiment asks of its detectors, tried on their shapes before hours are spent on training them. */
import { buildDetector } from '../detection/models/architectures.ts'
import type { Model } from '../ir/graph.ts'
import { foldConstants } from '../passes/fold-constants.ts'
import { budgetOptions, chooseGroups } from '../pruning/request.ts'
import { uniformWidths } from '../pruning/widths.ts'
import { UserError } from '../tensor/error.ts'
import { budgetOf, roundsOf } from './budget-options.ts'
import { commandDefaults } from './experiment-commands.ts'
import { besideFile } from './experiment-data.ts'
import type { Experiment } from './experiment-run.ts'
import { asksLatency } from './latency.ts'
import { openModel } from './open-model.ts'

type PruneOptions = Parameters<typeof budgetOf>[0] & Parameters<typeof roundsOf>[0] & { readonly epsilon?: number }

/** Throws UserError naming the first run whose options contradict each other, or whose budget cannot be met. Widths that follow from times or scores show later. */
export async function assertPossible({ spec, runs, data }: Experiment): Promise<void> {
  const models = new Map<string, Model>()
  const modelOf = async (name: string, of: string, size: unknown): Promise<Model> => {
    const key = JSON.stringify([name, of, size])
    const { arch, file } = spec.models.get(name)!
    const known = models.get(key) ?? (file === undefined
      ? foldConstants(buildDetector(arch!, { classes: data.get(of)!.classes, seed: 0, ...(typeof size === 'number' && { size }) }))
      : (await openModel(besideFile(spec, file))).model)
    models.set(key, known)
    return known
  }
  const tried = new Set<string>()
  for (const run of runs) {
    if (run.kind !== 'prune') continue
    try {
      const options = commandDefaults.complete('prune', run.options) as unknown as PruneOptions
      const asked = budgetOf(options, options.epsilon)
      roundsOf(options, asked)
      const key = JSON.stringify([run.model, run.data, asked])
      if (tried.has(key) || asked.adaptive || asksLatency(options)) continue
      tried.add(key)
      const model = await modelOf(run.model, run.data, spec.models.get(run.model)!.train.size)
      const groups = chooseGroups({ model }, asked)
      await uniformWidths(budgetOptions(model, groups, asked))
    } catch (error) {
      throw error instanceof UserError ? new UserError(`${spec.file}: ${run.name}: ${error.message}`, { cause: error }) : error
    }
  }
}
