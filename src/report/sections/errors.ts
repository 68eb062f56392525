/** @file AP by size of objects, and what the types of errors cost, before and after. */
import { errorKinds } from '../../metrics/error-types.ts'
import { categoryPlot, type Series } from '../category-plot.ts'
import { beforeLook, lookOf } from '../figure.ts'
import { absent, type Html, section, tableOf } from '../html.ts'
import { afterOf, measured, type ReportRun, type RunState } from '../record.ts'
import { spreadOf, startsOf, type Variant } from '../variants.ts'

const sizes = [['small', 'APs'], ['medium', 'APm'], ['large', 'APl']] as const
const bothSummaries = ['all false positives', 'all false negatives'] as const

/** The states that are compared: a single run's own, or the start of all and the end of each variant. */
function statesOf(runs: readonly ReportRun[], variants: readonly Variant[]): { readonly look: Series['look']; readonly states: readonly RunState[] }[] {
  const present = (states: readonly (RunState | undefined)[]): RunState[] => states.filter((state) => state !== undefined)
  const before = { look: beforeLook, states: present(startsOf(runs).map((run) => run.record.before)) }
  const rest = runs.length === 1
    ? [{ look: lookOf('just cut', 1), states: present([runs[0]!.record.cut]) }, { look: lookOf(runs[0]!.record.before ? 'after' : 'trained', 0), states: [afterOf(runs[0]!)] }]
    : variants.map(({ label, runs: own }, i) => ({ look: lookOf(label, i), states: own.map(afterOf) }))
  return [before, ...rest].filter(({ states }) => states.length > 0)
}

function seriesOf(runs: readonly ReportRun[], variants: readonly Variant[], values: readonly ((state: RunState) => number | undefined)[]): Series[] {
  return statesOf(runs, variants)
    .map(({ look, states }) => ({ look, values: values.map((value) => spreadOf(states.map(value))) }))
    .filter(({ values: found }) => found.some((v) => v !== undefined))
}

export function sizesSection(document: Document, runs: readonly ReportRun[], variants: readonly Variant[]): Html {
  const series = seriesOf(runs, variants, sizes.map(([, key]) => (state) => measured(state[key])))
  if (series.length === 0) return section('sizes', 'AP by size', absent('No AP was measured, or no object has a size to tell apart.'))
  return section('sizes', 'AP by size', categoryPlot(document, {
    title: 'AP of small, medium and large objects',
    caption: `Areas below 32 x 32 pixels, up to 96 x 96, and above, as COCO has them.${bars(variants)}`,
  }, 'AP', sizes.map(([name]) => name), series))
}

export function errorsSection(document: Document, runs: readonly ReportRun[], variants: readonly Variant[]): Html {
  const gains = [
    ...errorKinds.map((kind) => (state: RunState) => measured(state.errorTypes?.dAP[kind])),
    (state: RunState) => measured(state.errorTypes?.falsePositive),
    (state: RunState) => measured(state.errorTypes?.falseNegative),
  ]
  const names = [...errorKinds, ...bothSummaries]
  const series = seriesOf(runs, variants, gains)
  if (series.length === 0) return section('errors', 'Types of errors', absent('These runs did not record the types of errors: they were not measured, or by a version without them. "espalier eval MODEL --data DIR" gives them.'))
  const counted = series.map(({ look }) => statesOf(runs, variants).find((s) => s.look.label === look.label)!)
  const rows = errorKinds.map((kind) => [kind, ...counted.map(({ states }) => {
    const count = spreadOf(states.map((state) => measured(state.errorTypes?.count[kind])))
    return count ? String(Math.round(count.mean)) : '-'
  })])
  return section('errors', 'Types of errors', categoryPlot(document, {
    title: 'What each type of error costs in AP50',
    caption: `AP50 with all errors of a type mended, minus AP50, after TIDE (Bolya et al. 2020). The types do not add up: mending one uncovers another.${bars(variants)}`,
  }, 'AP50 lost to the errors', names, series), tableOf(`Number of errors, at all scores that the detector gives${runs.length > 1 ? ' (means over runs)' : ''}`, ['type', ...series.map(({ look }) => look.label)], rows))
}

function bars(variants: readonly Variant[]): string {
  return variants.some(({ runs }) => runs.length > 1) ? ' Means over the runs of a method; bars: ± one standard deviation.' : ''
}
