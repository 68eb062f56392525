/** @file prune without --data: channels chosen by the weights alone, cut and certified. Nothing is trained, and no AP is measured. */
import { join } from 'node:path'
import { ownCard } from '../detection/card.ts'
import { criterionNamed, methodsThatNeed } from '../pruning/criteria/registry.ts'
import type { PrunePlan } from '../pruning/plan.ts'
import { assertSize } from '../pruning/file-size.ts'
import { budgetOptions, chooseGroups } from '../pruning/request.ts'
import { assertScorable, cutByScores, scoresByWeights } from '../pruning/score-groups.ts'
import { uniformWidths } from '../pruning/widths.ts'
import { UserError } from '../tensor/error.ts'
import { budgetFields, budgetOf, savePruned, sizeJson, sizeText } from './budget-options.ts'
import { certificateOf } from './certificate.ts'
import { type CommonOptions, commonFields } from './command.ts'
import type { Context } from './context.ts'
import { flagName, type OptionsOf } from './fields.ts'
import { fileIdentity, openModel } from './open-model.ts'
import { type Cost, costOf, planReport, planText, widthsOf } from './plan-report.ts'
import { both, openRunFolder, versionsOf } from './run-folder.ts'
import { latencyText, measureBudget, openLatency } from './latency.ts'
import { sessionOptions } from './session.ts'
import { amount, table } from './table.ts'
import { outFields } from './training-options.ts'

type Options = OptionsOf<typeof budgetFields> & OptionsOf<typeof outFields> & CommonOptions & { readonly method: string; readonly dryRun: boolean; readonly finetuneEpochs: number }

/** Options that have a meaning without images; all others that are given are refused. */
const meaningful = new Set([...Object.keys({ ...commonFields, ...outFields, ...budgetFields }), 'method', 'dryRun'])

/** Any ONNX model, with a detector card or without. `given`: the options that the user named. */
export async function pruneUnmeasured(path: string, options: Options, given: ReadonlySet<string>, context: Context, files: readonly string[]): Promise<void> {
  const criterion = criterionNamed(options.method)
  if (criterion.needs !== 'weights') {
    const others = methodsThatNeed('weights').join(', ')
    throw new UserError(`--data is missing: --method ${options.method} judges channels on images; give the folder of images, or "shapes" (only --plan and the methods ${others} need none)`)
  }
  const idle = [...given].find((key) => !meaningful.has(key) && !(key === 'finetuneEpochs' && options.finetuneEpochs === 0))
  if (idle !== undefined) throw new UserError(`--${idle === 'reconstruction' ? 'no-' : ''}${flagName(idle)} has no meaning without images: without --data nothing is trained or measured; give --data, or leave it out`)
  if (options.widths !== 'uniform') throw new UserError(`--widths ${options.widths} needs images to measure what the outputs suffer; give --data, or leave it out`)
  const budget = budgetOf(options)
  const start = performance.now()
  const run = await openRunFolder(options.out, { force: options.force, files, command: `prune ${path} ${JSON.stringify(options)}` })
  const { model, unfolded } = await openModel(path)
  const before = costOf(model, path)
  const groups = chooseGroups({ model }, budget)
  const latency = await openLatency({ model, path, groups, options, context, listener: both(context.listener, run.listener) })
  assertScorable(criterion, groups, false)
  const scores = scoresByWeights(criterion, groups, options.seed)
  const widthsFound = await uniformWidths(budgetOptions(model, groups, budget), latency, budget.ranking === 'global' ? scores : undefined)
  const selected = { ...cutByScores(model, groups, scores, widthsFound, { method: criterion.name, seed: options.seed }), budget: widthsFound }
  assertSize(selected.model, budget.maxSize)
  const size = sizeJson(selected.model, budget)
  const plan: PrunePlan = { ...selected.plan, model: await fileIdentity(path) }
  const after = costOf(selected.model, path)
  const widths = widthsOf(model, plan)
  const card = ownCard(model.metadata, path)
  const arch = card?.architecture ?? null
  const origin = { model: path, method: options.method, arch, data: null, seed: options.seed, options, versions: await versionsOf(options) }
  const seconds = (): number => (performance.now() - start) / 1000
  await run.during(async () => {
    const outcome = latency && await measureBudget({ before: model, after: selected.model, path }, selected.budget, latency, options, context)
    const told = `${outcome ? `\n\n${latencyText(outcome)}` : ''}${size ? `\n\n${sizeText(size)}` : ''}`
    if (options.dryRun) {
      const json = { measured: false, before, after, widths, ...(outcome && { latency: outcome }), ...(size && { size }), seconds: seconds(), plan: join(run.path, 'plan.json') }
      await run.finish({ 'plan.json': planText(plan) }, { ...json, ...origin })
      return context.result(json, `${planReport(widths, before, after)}${told}\n\nplan written to ${json.plan}`)
    }
    const certificate = await certificateOf({ unfolded, original: model, file: path, pruned: selected.model, plan, seed: options.seed, session: sessionOptions(options, path) })
    const pruned = join(run.path, 'pruned.onnx')
    const next = `${pruned}: neither trained nor measured. Next: measure it with "espalier eval ${pruned} --data DIR", train what is left with "espalier finetune ${pruned}${card?.defaultBoxes ? '' : ` --teacher ${path}`} --data DIR --out RUN" or where the model came from; with --data, prune does both itself`
    const json = { measured: false, before, cut: after, after, widths, certificate, ...(outcome && { latency: outcome }), ...(size && { size }), seconds: seconds(), next }
    await run.finish({ 'pruned.onnx': (target) => savePruned(target, selected.model, budget), 'plan.json': planText(plan) }, { ...json, ...origin })
    run.log(next)
    context.note(next)
    context.result(json, `${costRows({ before, after })}${told}\n\n${options.method}, without images: AP not measured, nothing trained; the cut is proven on ${certificate.inputs} random inputs; written to ${run.path}`)
  })
}

function costRows(rows: Readonly<Record<string, Cost>>): string {
  return table(['', 'params', 'MACs', 'AP'], Object.entries(rows).map(([name, cost]) => [name, amount(cost.params), amount(cost.macs), 'unmeasured']))
}
