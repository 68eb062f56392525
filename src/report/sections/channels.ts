/** @file Channels kept per layer, before and after. */
import * as Plot from '@observablehq/plot'
import { dotOf, figure, lookOf } from '../figure.ts'
import { absent, type Html, section } from '../html.ts'
import type { ReportRun } from '../record.ts'
import { type Spread, spreadOf, type Variant } from '../variants.ts'
import { shortened } from '../words.ts'

const rowHeight = 17
const width = 940
const longest = 34

export function channelsSection(document: Document, runs: readonly ReportRun[], variants: readonly Variant[]): Html {
  const cut = runs.filter((run) => run.record.widths)
  if (cut.length === 0) return section('channels', 'Channels kept', absent('No channel was removed in these runs.'))
  return section('channels', 'Channels kept', runs.length === 1 ? widthsPlot(document, runs[0]!) : sharesPlot(document, variants))
}

/** Layers in the order of the model; a row each. */
function frameOf(layers: readonly string[], row = rowHeight) {
  const names = layers.map((id) => shortened(id, longest))
  return {
    width,
    height: layers.length * row + 66,
    marginTop: 26,
    marginBottom: 40,
    marginLeft: Math.ceil(Math.max(...names.map((name) => name.length)) * 6.6) + 14,
    marginRight: 70,
    y: { domain: layers, label: null, padding: 0.25, tickSize: 0, tickFormat: (id: string) => shortened(id, longest) },
  } satisfies Plot.PlotOptions
}

function widthsPlot(document: Document, { record }: ReportRun): Html {
  const all = Object.entries(record.widths!).map(([id, { before, after }]) => ({ id, before, after }))
  const rows = all.filter(({ before, after }) => after < before)
  if (rows.length === 0) return absent('All layers kept all their channels.')
  return figure(document, { title: 'Channels per layer, before and after', caption: `Outer bar: channels of the original; inner bar: channels kept. A layer stands for all layers that lose the same channels.${wholeOnes(all.length - rows.length)}` }, {
    ...frameOf(rows.map((row) => row.id)),
    x: { label: 'channels', labelAnchor: 'center', labelArrow: 'none', nice: true },
    marks: [
      Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.barX(rows, { x: 'before', y: 'id', fill: 'var(--bar)' }),
      Plot.barX(rows, { x: 'after', y: 'id', fill: 'var(--s0)', insetTop: 2.5, insetBottom: 2.5 }),
      Plot.text(rows, { x: 'before', y: 'id', text: (row: { before: number; after: number }) => `${row.after} of ${row.before}`, textAnchor: 'start', dx: 5, fill: 'currentColor', stroke: 'var(--paper)', strokeWidth: 4 }),
    ],
  })
}

function wholeOnes(count: number): string {
  return count === 0 ? '' : ` ${count} more that can be cut kept all their channels.`
}

/** What several variants keep; those that keep the same are one series, for a budget met by one ratio leaves all methods the same widths. */
function sharesPlot(document: Document, variants: readonly Variant[]): Html {
  const cut = variants.flatMap(({ label, runs }, i) => {
    const own = runs.filter((run) => run.record.widths)
    return own.length > 0 ? [{ label, order: i, runs: own }] : []
  })
  const all = [...new Set(cut.flatMap(({ runs }) => runs.flatMap((run) => Object.keys(run.record.widths!))))]
  const layers = all.filter((id) => cut.some(({ runs }) => runs.some(({ record }) => record.widths![id] && record.widths![id].after < record.widths![id].before)))
  if (layers.length === 0) return absent('All layers kept all their channels.')
  const alike = new Map<string, { labels: string[]; order: number; spreads: (Spread | undefined)[] }>()
  for (const { label, order, runs } of cut) {
    const spreads = layers.map((id) => spreadOf(runs.map((run) => run.record.widths![id]).map((w) => w && w.after / w.before)))
    const key = JSON.stringify(spreads.map((s) => s && [s.mean, s.deviation]))
    const same = alike.get(key)
    if (same) same.labels.push(label)
    else alike.set(key, { labels: [label], order, spreads })
  }
  const series = [...alike.values()].map(({ labels, order, spreads }) => ({ look: lookOf(labels.join(' = '), order), spreads }))
  const step = 8
  const shift = (i: number): number => (i - (series.length - 1) / 2) * step
  const rowsOf = (spreads: readonly (Spread | undefined)[]) => layers.flatMap((id, i) => (spreads[i] ? [{ id, ...spreads[i] }] : []))
  return figure(document, { title: 'Share of channels kept per layer', caption: `${cut.some(({ runs }) => runs.length > 1) ? 'Means over the runs of a method; bars: ± one standard deviation. ' : ''}1 is a layer that stayed whole.${wholeOnes(all.length - layers.length)}${series.length < cut.length ? ' Methods joined by "=" keep the same numbers of channels.' : ''}` }, {
    ...frameOf(layers, Math.max(rowHeight, step * series.length + 6)),
    x: { domain: [0, 1], label: 'channels kept / channels of the original', labelAnchor: 'center', labelArrow: 'none' },
    marks: [
      Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.gridY({ stroke: 'var(--line)', strokeOpacity: 0.6 }),
      ...series.flatMap(({ look, spreads }, i) => [
        Plot.ruleY(rowsOf(spreads).filter((row) => row.deviation > 0), { x1: 'low', x2: 'high', y: 'id', dy: shift(i), stroke: look.colour, strokeWidth: 1.5 }),
        Plot.dot(rowsOf(spreads), { x: 'mean', y: 'id', dy: shift(i), ...dotOf(look, 3.5) }),
      ]),
    ],
  }, series.map(({ look }) => look))
}
