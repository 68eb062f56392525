/** @file espalier prune: channels out, the rest trained, all of it measured; or the surgery of a plan alone. */
import { join } from 'node:path'
import { ownCard, readCard } from '../../detection/card.ts'
import { saveModel } from '../../onnx/save.ts'
import { criterionNamed, methodNames } from '../../pruning/criteria/registry.ts'
import { stageEndsOf } from '../../pruning/lcp/run.ts'
import { assertCurved } from '../../pruning/curvature/measure.ts'
import { parsePlan, type PrunePlan } from '../../pruning/plan.ts'
import { assertRankable, type PruneOptions, selectInRounds, selectsBackward } from '../../pruning/prune.ts'
import { budgetOptions, chooseGroups } from '../../pruning/request.ts'
import { assertScorable } from '../../pruning/score-groups.ts'
import { applyPlan } from '../../pruning/surgery.ts'
import { uniformWidths } from '../../pruning/widths.ts'
import { nodeRuntime } from '../../runtime/node.ts'
import { nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { detectionsName } from '../../metrics/detections-file.ts'
import { budgetFields, budgetKeys, budgetOf, roundFields, roundsOf, savePruned, sizeJson, sizeText } from '../budget-options.ts'
import { certificateOf } from '../certificate.ts'
import { defineCommand } from '../command.ts'
import { detectionsFile } from '../detections.ts'
import { cardRequest, detectorFields } from '../detector-options.ts'
import type { CommonOptions } from '../command.ts'
import type { Context } from '../context.ts'
import { choice, flag, flagName, type OptionsOf, text } from '../fields.ts'
import { allSkipped, costTable, skippedJson, tellSkipped } from '../measures.ts'
import { fileIdentity, openDetector, openModel } from '../open-model.ts'
import { dataFields, openData, skippedOf, splitField, trainSplitField } from '../open-source.ts'
import { finetuneFields, finetuneOf, lcpFields, lcpOf } from '../prune-options.ts'
import { costOf, planReport, planText, widthsOf } from '../plan-report.ts'
import { latencyText, measureBudget, openLatency } from '../latency.ts'
import { runPruning } from '../prune-run.ts'
import { moreImagesField, openPruneImages } from '../prune-sources.ts'
import { pruneUnmeasured } from '../prune-unmeasured.ts'
import { both, openRunFolder, versionsOf } from '../run-folder.ts'
import { sessionOptions } from '../session.ts'
import { assertTrainableWith, followsOf, labelThresholdOf, readingOf, recalibrateOf, teacherFields, teacherOf } from '../teacher-options.ts'
import { augmentField, augmentOf, outFields } from '../training-options.ts'

const fields = {
  ...dataFields,
  data: text('DIR', `${dataFields.data.about}; with --labels teacher, images alone will do`),
  ...moreImagesField,
  ...outFields,
  ...splitField,
  ...trainSplitField,
  ...detectorFields,
  method: choice(methodNames, 'how channels are chosen', 'lcp'),
  ...budgetFields,
  ...roundFields,
  plan: text('FILE', 'replay the surgery of a plan on the model it was made for; needs no data, but proves the cut on images of --data too'),
  dryRun: flag('choose channels and write RUN/plan.json with the record and the log, but no model'),
  ...finetuneFields,
  ...augmentField,
  ...teacherFields,
  ...lcpFields,
}

type Options = OptionsOf<typeof fields> & CommonOptions

export default defineCommand({
  arguments: [['<model>', 'ONNX detector; without --data, any ONNX model']],
  fields,
  examples: [
    'prune runs/base/model.onnx --data data/bccd --method lcp --remove-params 0.7 --out runs/lcp',
    'prune runs/base/model.onnx --data data/bccd --method l1 --remove-macs 0.5 --finetune-epochs 8 --out runs/l1',
    'prune runs/base/model.onnx --data data/bccd --remove-params 0.7 --dry-run --out runs/plan',
    'prune faces.onnx --data photos --labels teacher --method l1 --remove-macs 0.3 --out runs/faces',
    'prune runs/base/model.onnx --data data/bccd --speedup 2 --threads 1 --out runs/twice',
    'prune runs/base/model.onnx --data data/bccd --max-size 3MB --keep "stem.*,head.*" --rounds 3 --out runs/small',
    'prune any.onnx --method l1 --remove-macs 0.3 --out runs/unmeasured',
    'prune runs/base/model.onnx --plan runs/lcp/plan.json --out runs/replayed',
  ],
  details: 'Writes RUN/pruned.onnx, RUN/plan.json and RUN/run.json. Before anything is written, the cut is proven to equal zeroing the channels. '
    + 'Without --data (a method that needs the weights alone: random, l1, l2, fpgm, slimming) any ONNX model is cut and proven, but nothing is trained or measured.',
  async run(options, [path = ''], context, given) {
    if (options.plan !== undefined) return replay(path, options.plan, options, context, given)
    if (options.data === undefined) return pruneUnmeasured(path, options, given, context, files)
    await chooseAndPrune(path, { ...options, data: options.data }, context)
  },
})

/** What prune writes beside the record and the log. */
const files = ['pruned.onnx', 'pruned.onnx.data', 'plan.json', detectionsName]

async function chooseAndPrune(path: string, options: Options & { readonly data: string }, context: Context): Promise<void> {
  const asked = budgetOf(options, options.epsilon)
  const rounds = roundsOf(options, asked)
  const criterion = criterionNamed(options.method)
  const run = await openRunFolder(options.out, { force: options.force, files, command: `prune ${path} ${JSON.stringify(options)}` })
  const { detector, unfolded } = await openDetector(path, { request: await cardRequest(options), session: sessionOptions(options, path), note: context.note })
  // What cannot be done is told before anything takes time.
  const before = costOf(detector.model, path)
  const follows = followsOf(detector, options, path)
  const finetune = finetuneOf(options, follows)
  const lcp = lcpOf(options, follows, criterion)
  const joint = criterion.needs === 'joint'
  const backward = selectsBackward({ criterion, lcp })
  const staged = joint && !backward
  const curved = backward || options.widths === 'curvature'
  if (asked.adaptive && (!staged || lcp.select !== 'greedy')) throw new UserError(`--epsilon alone leaves it to greedy selection how many channels stay, and --method ${options.method} selects otherwise here; give --select greedy with a method that has it, or a budget such as --remove-params 0.7`)
  if (options.epsilon !== undefined && staged && lcp.select !== 'greedy') throw new UserError('--epsilon has no meaning with one-shot selection; give --select greedy, or leave it out')
  const tunes = (rounds.count > 1 && rounds.epochs > 0) || (!options.dryRun && (finetune.epochs > 0 || finetune.totalPasses !== undefined))
  const trains = staged || criterion.needs === 'loss' || tunes
  const teacher = trains && follows === 'teacher' ? teacherOf(detector, options, path) : undefined
  if (trains) assertTrainableWith(detector, teacher, staged ? lcp.batch : finetune.batch)
  const { model } = detector
  const groups = chooseGroups(detector, asked)
  if (staged) stageEndsOf(detector, lcp, groups, path)
  assertScorable(criterion, groups, follows === 'teacher')
  if (curved) assertCurved(groups, backward ? '--select backward' : '--widths curvature')
  const latency = await openLatency({ model, path, groups, options, context, listener: both(context.listener, run.listener) })
  assertRankable({ criterion, budget: asked })
  if (!asked.adaptive) await uniformWidths(budgetOptions(model, groups, asked), latency)
  const budget = { ...asked, latency }
  const images = await openPruneImages({ detector, options, threshold: labelThresholdOf(options, detector.card), readsLabels: trains && follows === 'labels', keep: options.finetuneKeep, context, log: run.log })
  const { train, test } = images.sources
  const count = train.dataset.samples.length
  if (tunes && count < finetune.batch) throw new UserError(`split "${train.dataset.split}" has ${count} images, less than a batch of ${finetune.batch} of the training after the cut; choose a smaller --finetune-batch`)
  const pruning: PruneOptions = {
    runtime: nodeRuntime,
    session: sessionOptions(options, path),
    criterion,
    budget,
    lcp,
    finetune,
    rounds,
    teacher,
    // Behind NMS in the graph outputs are choices, and say nothing entry by entry.
    ...((curved || (options.widths === 'sensitive' && detector.card.decoder.type !== 'nms')) && { reading: readingOf(detector, path) }),
    recalibrate: recalibrateOf(options, follows, backward),
    augment: augmentOf(options),
    seed: options.seed,
    listener: both(context.listener, run.listener),
  }
  const identity = await fileIdentity(path)
  const origin = { model: path, method: options.method, arch: detector.card.architecture, data: options.data, split: test.dataset.split, seed: options.seed, options, ...(joint && { lcp }), versions: await versionsOf(options) }
  await run.during(async () => {
    const start = performance.now()
    const sources = await images.label({ train: trains || !options.dryRun, measured: !options.dryRun }, pruning)
    if (options.dryRun) {
      const selected = await selectInRounds(detector, sources, pruning)
      const plan: PrunePlan = { ...selected.plan, model: identity }
      const skipped = allSkipped(...skippedOf(sources), selected.skipped)
      tellSkipped(skipped, context, run.log)
      const after = costOf(selected.detector.model, path)
      const outcome = latency && await measureBudget({ before: model, after: selected.detector.model, path }, selected.budget, latency, options, context)
      const size = sizeJson(selected.detector.model, budget)
      const json = { measured: false, before, after, widths: widthsOf(detector.model, plan), passes: { ...selected.passes, finetune: selected.between }, ...(outcome && { latency: outcome }), ...(size && { size }), seconds: (performance.now() - start) / 1000, plan: join(run.path, 'plan.json'), ...skippedJson(skipped) }
      await run.finish({ 'plan.json': planText(plan) }, { ...json, stages: selected.stages, ...(selected.rounds.length > 0 && { rounds: selected.rounds }), ...origin })
      return context.result(json, `${planReport(json.widths, before, after)}${outcome ? `\n\n${latencyText(outcome)}` : ''}${size ? `\n\n${sizeText(size)}` : ''}\n\nplan written to ${json.plan}`)
    }
    const { result, plan, json: measured, details } = await runPruning({ detector, unfolded, file: path, identity, sources, pruning, context, log: run.log })
    const outcome = latency && await measureBudget({ before: model, after: result.detector.model, path }, result.budget, latency, options, context)
    const size = sizeJson(result.detector.model, budget)
    const json = { ...measured, labels: images.labels, ...(outcome && { latency: outcome }), ...(size && { size }), seconds: (performance.now() - start) / 1000 }
    const { cut, after } = result
    await run.finish({ 'pruned.onnx': (target) => savePruned(target, result.detector.model, budget), 'plan.json': planText(plan), ...detectionsFile(after, origin.split, detector.card.classes) }, { ...json, ...details, ...origin })
    context.result(json, `${costTable({ before: result.before, cut, after })}\n\n${outcome ? `${latencyText(outcome)}\n\n` : ''}${size ? `${sizeText(size)}\n\n` : ''}${options.method}, ${result.passes.total} passes over images, measured on split "${origin.split}"${images.labels === 'teacher' ? ' against the unpruned detector\'s own detections' : ''}; written to ${run.path}`)
  })
}

async function replay(path: string, planFile: string, options: Options, context: Context, given: ReadonlySet<string>): Promise<void> {
  const extra = budgetKeys.find((key) => options[key] !== undefined)
  if (extra !== undefined) throw new UserError('--plan replays a cut as it is; give either --plan or a budget')
  const idle = [...Object.keys(roundFields), 'keep', 'ranking'].find((key) => given.has(key))
  if (idle !== undefined) throw new UserError(`--${flagName(idle)} has no meaning with --plan, which replays a cut as it is; leave it out`)
  const start = performance.now()
  const run = await openRunFolder(options.out, { force: options.force, files, command: `prune ${path} --plan ${planFile}` })
  const plan = parsePlan(await nodeStore().readText(planFile), planFile)
  const { model, unfolded } = await openModel(path)
  const identity = await fileIdentity(path)
  if (plan.model?.sha256 !== undefined && plan.model.sha256 !== identity.sha256) context.note(`${planFile}: was made for another file (${plan.model.file}); it is applied since its names and shapes fit`)
  const pruned = applyPlan(model, plan, planFile)
  const images = options.data === undefined ? undefined : { card: readCard(model.metadata, path), source: await (await openData({ ...options, data: options.data }, context, run.log, true)).open(options.split) }
  const certificate = await certificateOf({ unfolded, original: model, file: path, pruned, plan, seed: options.seed, session: sessionOptions(options, path), images })
  const [before, after] = [costOf(model, path), costOf(pruned, path)]
  const json = { measured: false, before, after, widths: widthsOf(model, plan), certificate, seconds: (performance.now() - start) / 1000 }
  const record = { ...json, model: path, plan: planFile, method: plan.method, arch: ownCard(model.metadata, path)?.architecture ?? null, data: options.data ?? null, seed: plan.seed ?? options.seed, options, versions: await versionsOf(options) }
  await run.during(() => run.finish({ 'pruned.onnx': (target) => saveModel(nodeStore(), target, pruned), 'plan.json': planText(plan) }, record))
  context.result(json, `${planReport(json.widths, before, after)}\n\nwritten to ${run.path}`)
}
