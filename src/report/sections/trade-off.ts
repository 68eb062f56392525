/** @file AP against what a detector costs: parameters, MACs, latency. */
import * as Plot from '@observablehq/plot'
import { beforeLook, dotOf, figure, type Look, lookOf, roundDomain } from '../figure.ts'
import { absent, type Html, html, section } from '../html.ts'
import { afterOf, latencyOf, measured, type ReportRun } from '../record.ts'
import { type Spread, spreadOf, startsOf, type Variant } from '../variants.ts'
import { amount } from '../words.ts'

interface Cost {
  readonly name: string
  readonly label: string
  readonly before: (run: ReportRun) => number | undefined
  readonly after: (run: ReportRun) => number | undefined
  readonly format: (value: number) => string
}

const costs: readonly Cost[] = [
  { name: 'parameters', label: 'parameters', before: ({ record }) => measured(record.before?.params), after: (run) => measured(afterOf(run).params), format: amount },
  { name: 'MACs', label: 'multiply-accumulates of an image', before: ({ record }) => measured(record.before?.macs), after: (run) => measured(afterOf(run).macs), format: amount },
  { name: 'latency', label: 'median latency, ms', before: (run) => latencyOf(run)?.beforeMs, after: (run) => latencyOf(run)?.afterMs, format: (ms) => ms.toFixed(ms < 10 ? 1 : 0) },
]

interface Point extends Spread {
  readonly look: Look
  readonly method: string
  readonly x: number
}

export function tradeOffSection(document: Document, variants: readonly Variant[]): Html {
  const runs = variants.flatMap((v) => v.runs)
  if (runs.every((run) => measured(afterOf(run).AP) === undefined)) return section('trade-off', 'Accuracy against cost', absent('No AP was measured.'))
  return section('trade-off', 'Accuracy against cost', html`<div class="panels">${costs.map((cost) => panel(document, cost, variants, runs))}</div>`)
}

function panel(document: Document, cost: Cost, variants: readonly Variant[], runs: readonly ReportRun[]): Html {
  const starts = startsOf(runs.filter((run) => run.record.before))
  const points = variants.flatMap(({ label, runs: own }, i) => pointOf(lookOf(label, i), own[0]!.record.method, own.map(cost.after), own.map((run) => measured(afterOf(run).AP))))
  const before = pointOf(beforeLook, '', starts.map(cost.before), starts.map((run) => measured(run.record.before?.AP)))
  if (points.length === 0) return absent(`No run measured its ${cost.name}.`)
  const all = [...before, ...points]
  const right = Math.max(...all.map((p) => p.x)) * 1.08
  const shifts = dodge(all, right)
  return figure(document, { title: `AP against ${cost.name}`, caption: captionOf(points) }, {
    width: 470,
    height: 310,
    marginTop: 30,
    marginLeft: 50,
    marginRight: 24,
    marginBottom: 40,
    x: { domain: [0, right], label: cost.label, labelAnchor: 'center', labelArrow: 'none', ticks: 5, tickFormat: cost.format },
    y: { domain: roundDomain(all.flatMap((p) => [p.low, p.high]), 0.02, 0, 1), label: 'AP', labelArrow: 'none', grid: true, ticks: 6 },
    marks: [
      Plot.frame({ stroke: 'var(--line)' }),
      // Budgets of one method belong together.
      ...budgetsOf(points).map((budgets) => Plot.line(budgets, { x: 'x', y: 'mean', sort: 'x', stroke: 'var(--quiet)', strokeOpacity: 0.6 })),
      ...all.flatMap((point, i) => [
        ...(point.deviation > 0 ? [Plot.ruleX([point], { x: 'x', y1: 'low', y2: 'high', dx: shifts[i], stroke: point.look.colour, strokeWidth: 1.5 })] : []),
        Plot.dot([point], { x: 'x', y: 'mean', dx: shifts[i], ...dotOf(point.look, 4.5) }),
      ]),
    ],
  }, all.map((p) => p.look))
}

/** Points of methods that have several. */
function budgetsOf(points: readonly Point[]): Point[][] {
  return [...new Set(points.map((p) => p.method))].map((method) => points.filter((p) => p.method === method)).filter((budgets) => budgets.length > 1)
}

function captionOf(points: readonly Point[]): string {
  const most = Math.max(...points.map((p) => p.count))
  const bars = most > 1 ? `Means of ${most === Math.min(...points.map((p) => p.count)) ? most : `up to ${most}`} runs each; bars: ± one standard deviation over the runs.` : 'One run each: there is no error bar.'
  return `${bars}${points.length > 2 ? ' What lies at the same cost is drawn side by side.' : ''}`
}

function pointOf(look: Look, method: string, xs: readonly (number | undefined)[], aps: readonly (number | undefined)[]): Point[] {
  // Latency may be known of one run alone: the others have the same shape.
  const [x, ap] = [spreadOf(xs), spreadOf(aps)]
  return x && ap ? [{ look, method, x: x.mean, ...ap }] : []
}

/** Pixels to the side for points whose costs are within a fiftieth of the scale. */
function dodge(points: readonly Point[], right: number): number[] {
  return points.map((point) => {
    const near = points.filter((other) => Math.abs(other.x - point.x) < right / 50)
    return (near.indexOf(point) - (near.length - 1) / 2) * 11
  })
}
