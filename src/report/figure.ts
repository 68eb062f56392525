/** @file Plots as figures of the page: SVG in the page's own colours, with a title for readers that do not see it. */
import * as Plot from '@observablehq/plot'
import { type Html, html, trusted } from './html.ts'
import { seriesColours } from './style.ts'

export interface FigureText {
  readonly title: string
  /** What is drawn, and what it says; also read out in place of the plot. */
  readonly caption: string
}

/** How a series of points looks. */
export interface Look {
  readonly label: string
  readonly colour: string
  readonly symbol: Plot.SymbolType
  /** An outline alone. */
  readonly hollow?: boolean
}

const symbols = ['circle', 'square', 'triangle', 'diamond', 'star', 'hexagon', 'wye', 'cross'] as const satisfies readonly Plot.SymbolType[]

/** The look of the i-th series; colour and symbol together repeat after 64. */
export function lookOf(label: string, i: number): Look {
  return { label, colour: `var(--s${i % seriesColours})`, symbol: symbols[(i + Math.floor(i / seriesColours)) % symbols.length]! }
}

/** The detector as it came. */
export const beforeLook: Look = { label: 'before', colour: 'var(--quiet)', symbol: 'circle', hollow: true }

/** Options of a dot mark. */
export function dotOf({ colour, symbol, hollow }: Look, r = 4): Plot.DotOptions {
  return { symbol, r, fill: hollow ? 'var(--paper)' : colour, stroke: colour, strokeWidth: 1.5 }
}

export function figure(document: Document, text: FigureText, options: Plot.PlotOptions, looks: readonly Look[] = []): Html {
  const svg = draw(document, options)
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', `${text.title}. ${text.caption}`)
  return html`<figure>
<figcaption><b>${text.title}</b> ${text.caption}</figcaption>
${looks.length > 0 && legend(document, looks)}${trusted(svg.outerHTML)}
</figure>
`
}

function draw(document: Document, options: Plot.PlotOptions): Element {
  const svg = Plot.plot({ document, ...options, style: { fontSize: '12px', fontFamily: 'inherit', overflow: 'visible', background: 'none', color: 'var(--ink)' } }) as unknown as Element
  // The page's own style has what each plot would say again.
  svg.querySelector('style')?.remove()
  return svg
}

function legend(document: Document, looks: readonly Look[]): Html {
  const swatch = (look: Look): Html => {
    const svg = draw(document, { width: 14, height: 14, margin: 0, x: { domain: [-1, 1], axis: null }, y: { domain: [-1, 1], axis: null }, marks: [Plot.dot([[0, 0]], dotOf(look))] })
    svg.setAttribute('aria-hidden', 'true')
    return trusted(svg.outerHTML)
  }
  return html`<ul class="legend">${looks.map((look) => html`<li>${swatch(look)}${look.label}</li>`)}</ul>
`
}

/** An end of a scale beyond all values, in round steps; both ends fall on a step. */
export function roundDomain(values: readonly number[], step: number, floor = -Infinity, ceiling = Infinity): [number, number] {
  const low = Math.floor(Math.min(...values) / step - 0.2) * step
  const high = Math.ceil(Math.max(...values) / step + 0.2) * step
  return [Math.max(floor, low), Math.min(ceiling, high)]
}
