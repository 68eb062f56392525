/** @file What was removed and what it cost, as a table. */
import { type Html, section, tableOf } from '../html.ts'
import { afterOf, latencyOf, measured, type ReportRun, type RunState } from '../record.ts'
import { spreadOf, type Variant } from '../variants.ts'
import { amount, duration, percent, score, spread } from '../words.ts'

type Key = 'AP' | 'AP50' | 'AP75'
const keys: readonly Key[] = ['AP', 'AP50', 'AP75']

export function summarySection(runs: readonly ReportRun[], variants: readonly Variant[]): Html {
  return section('summary', 'Summary', ...(runs.length === 1 ? [statesTable(runs[0]!)] : variantsTables(variants)))
}

/** One run: a line for the detector as it came, just cut, and at the end. */
function statesTable(run: ReportRun): Html {
  const { record } = run
  const latency = latencyOf(run)
  const states: [string, RunState, number?][] = [
    ...(record.before ? [['before', record.before, latency?.beforeMs] as [string, RunState, number?]] : []),
    ...(record.cut ? [['just cut', record.cut] as [string, RunState]] : []),
    [record.before ? 'after' : 'trained', afterOf(run), latency?.afterMs],
  ]
  const rows = states.map(([name, state, ms]) => [name, amount(state.params), amount(state.macs), ...keys.map((key) => score(state[key])), ms === undefined ? '-' : `${ms.toFixed(2)} ms`])
  return tableOf(captionOf(run), ['detector', 'params', 'MACs', ...keys, 'latency'], rows)
}

function captionOf({ record }: ReportRun): string {
  const { before, after, passes } = record
  const share = (key: 'params' | 'macs', name: string): string[] => (before?.[key] && after?.[key] !== undefined && after[key] !== null ? [`${percent(1 - after[key] / before[key])} of the ${name} removed`] : [])
  const total = typeof passes === 'number' ? passes : passes?.total
  return [
    record.method,
    ...share('params', 'parameters'),
    ...share('macs', 'MACs'),
    ...(record.split === undefined ? [] : [`measured on split "${record.split}"`]),
    ...(record.labels === 'teacher' ? ['against the unpruned detector\'s own detections, not against the data\'s labels'] : []),
    ...(total === undefined ? [] : [`${total} passes over images`]),
    ...(record.seconds === undefined ? [] : [duration(record.seconds)]),
  ].join('; ')
}

/** Several runs: a line a variant, for what it costs and for what it finds. */
function variantsTables(variants: readonly Variant[]): Html[] {
  const removed = (runs: readonly ReportRun[], key: 'params' | 'macs'): string => {
    const s = spreadOf(runs.map(({ record: { before, after } }) => (before?.[key] && after?.[key] ? 1 - after[key] / before[key] : undefined)))
    return s ? percent(s.mean) : '-'
  }
  const costs = variants.map(({ label, runs }) => [
    label, String(runs.length), amount(spreadOf(runs.map((run) => measured(afterOf(run).params)))?.mean), removed(runs, 'params'),
    amount(spreadOf(runs.map((run) => measured(afterOf(run).macs)))?.mean), removed(runs, 'macs'), spread(spreadOf(runs.map((run) => latencyOf(run)?.afterMs)), 2),
  ])
  const of = (runs: readonly ReportRun[], state: (run: ReportRun) => RunState | undefined, key: Key): string => spread(spreadOf(runs.map((run) => measured(state(run)?.[key]))))
  const accuracies = variants.map(({ label, runs }) => [
    label, of(runs, (run) => run.record.before, 'AP'), of(runs, (run) => run.record.cut, 'AP'), ...keys.map((key) => of(runs, afterOf, key)),
  ])
  return [
    tableOf('Accuracy: means over the runs of a method (its seeds), ± one standard deviation', ['method', 'AP before', 'AP just cut', 'AP after', 'AP50 after', 'AP75 after'], accuracies),
    tableOf('Cost: means over the runs of a method', ['method', 'runs', 'params', 'params removed', 'MACs', 'MACs removed', 'latency, ms'], costs),
  ]
}
