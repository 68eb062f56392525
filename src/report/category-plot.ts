/** @file Values of several series in several categories, a panel a category: dots with error bars over seeds. */
import * as Plot from '@observablehq/plot'
import { dotOf, figure, type FigureText, type Look } from './figure.ts'
import type { Html } from './html.ts'
import type { Spread } from './variants.ts'
import { shortened } from './words.ts'

export interface Series {
  readonly look: Look
  /** By category, in the order of the categories; undefined where nothing was measured. */
  readonly values: readonly (Spread | undefined)[]
}

const rowHeight = 17
const width = 940

/** Panels one below the other share the scale, which starts at 0. */
export function categoryPlot(document: Document, text: FigureText, label: string, categories: readonly string[], series: readonly Series[]): Html {
  const rows = series.flatMap(({ look, values }, order) => values.flatMap((spread, i) => (spread ? [{ category: categories[i]!, name: `${order}`, look, ...spread }] : [])))
  const drawn = categories.filter((category) => rows.some((row) => row.category === category))
  const names = series.map(({ look }) => shortened(look.label, 34))
  const longest = Math.max(...names.map((name) => name.length))
  const top = Math.max(0.01, ...rows.map((row) => row.high))
  const bottom = Math.min(0, ...rows.map((row) => row.low))
  return figure(document, text, {
    width,
    height: drawn.length * (series.length * rowHeight + 14) + 62,
    marginTop: 24,
    marginBottom: 38,
    marginLeft: Math.ceil(longest * 6.8) + 14,
    marginRight: Math.max(80, Math.ceil(Math.max(...drawn.map((name) => name.length)) * 7.2) + 16),
    x: { domain: [bottom, top], nice: true, label, labelAnchor: 'center', labelArrow: 'none', grid: true },
    y: { domain: series.map((_, order) => `${order}`), label: null, padding: 0.4, tickSize: 0, tickFormat: (order: string) => names[Number(order)]! },
    fy: { domain: drawn, label: null, padding: 0.12 },
    marks: [
      Plot.frame({ stroke: 'var(--line)' }),
      Plot.ruleY(rows.filter((row) => row.deviation > 0), { x1: 'low', x2: 'high', y: 'name', fy: 'category', stroke: (row: { look: Look }) => row.look.colour, strokeWidth: 1.5 }),
      // A mark for each series: the looks are not data to be scaled.
      ...series.map(({ look }) => Plot.dot(rows.filter((row) => row.look === look), { x: 'mean', y: 'name', fy: 'category', ...dotOf(look) })),
    ],
  })
}
