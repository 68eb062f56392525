/** @file The picture of a sensitivity measurement: a line a channel group, the most harmful first. */
import * as Plot from '@observablehq/plot'

/** One group cut by one share. */
export interface PlottedCut {
  readonly share: number
  /** Relative RMS difference of the outputs; not finite where the outputs are not. */
  readonly harm: number
  /** AP of the cut model, where it was measured. */
  readonly score?: number
}

export interface PlottedGroup {
  readonly id: string
  readonly channels: number
  /** Three, by rising share: the first and the last are drawn as the ends of a line, the middle one as a bar. */
  readonly cuts: readonly PlottedCut[]
}

export interface SensitivityPicture {
  readonly title: string
  /** What was measured, and on what. */
  readonly subtitle: string
  /** Top to bottom. */
  readonly groups: readonly PlottedGroup[]
  /** AP of the uncut model, where it was measured. */
  readonly score?: number
}

const rowHeight = 18
const panelWidth = 520
const scoreWidth = 260
const headHeight = 78
const axisHeight = 42
const longestLabel = 34
const svgNamespace = 'http://www.w3.org/2000/svg'

/** Mid-tones that can be told from white and from near-black paper alike, and from the ink in grey print. */
const tones = { harm: '#4a86c5', score: '#b5792b' }

/** Black on white, and on paper; light on dark where the viewer asks for that. */
const style = `
.sheet { color: #1d2126; font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
.paper, .hollow circle { fill: #ffffff }
@media (prefers-color-scheme: dark) { .sheet { color: #e4e7eb } .paper, .hollow circle { fill: #15181c } }
@media print { .sheet { color: #000000 } .paper, .hollow circle { fill: #ffffff } }`

/** The picture as the text of an SVG file. `document` makes the elements: the browser's own, or a DOM library's. */
export function sensitivityPlot(picture: SensitivityPicture, document: Document): string {
  const labels = picture.groups.map((g) => labelOf(g.id))
  const margin = Math.ceil(Math.max(...labels.map((text) => text.length)) * 6.4) + 16
  const panels = [harmPanel(picture, margin, document), ...(picture.score === undefined ? [] : [scorePanel(picture, picture.score, document)])]
  const height = headHeight + picture.groups.length * rowHeight + 2 * axisHeight + 8
  const width = margin + panelWidth + (picture.score === undefined ? 0 : scoreWidth)

  const root = element(document, 'svg', { xmlns: svgNamespace, width, height, viewBox: `0 0 ${width} ${height}`, class: 'sheet', role: 'img', 'font-size': 11 })
  root.append(
    text(document, 'title', {}, picture.title),
    text(document, 'style', {}, style),
    element(document, 'rect', { class: 'paper', width: '100%', height: '100%' }),
    text(document, 'text', { x: 12, y: 24, 'font-size': 15, 'font-weight': 600, fill: 'currentColor' }, picture.title),
    text(document, 'text', { x: 12, y: 42, fill: 'currentColor' }, picture.subtitle),
    legend(picture, document),
  )
  panels.forEach((panel, i) => {
    panel.setAttribute('x', String(i === 0 ? 0 : margin + panelWidth))
    panel.setAttribute('y', String(headHeight))
    root.append(panel)
  })
  return `${root.outerHTML}\n`
}

function harmPanel({ groups }: SensitivityPicture, marginLeft: number, document: Document): Element {
  const finite = groups.flatMap((g) => g.cuts.map((c) => c.harm)).filter(Number.isFinite)
  const label = 'relative RMS difference of the outputs'
  return panel(groups, (c) => c.harm, { label, top: Math.max(0, ...finite) || 1, tone: tones.harm, marginLeft, width: marginLeft + panelWidth, names: true }, document)
}

function scorePanel({ groups }: SensitivityPicture, whole: number, document: Document): Element {
  const top = Math.max(whole, ...groups.flatMap((g) => g.cuts.map((c) => c.score ?? 0))) || 1
  return panel(groups, (c) => c.score ?? Number.NaN, { label: 'AP of the cut model (line: uncut)', top, tone: tones.score, marginLeft: 16, width: scoreWidth, names: false, line: whole }, document)
}

interface Panel {
  readonly label: string
  /** Right end of the scale. */
  readonly top: number
  readonly tone: string
  readonly marginLeft: number
  readonly width: number
  /** Whether the groups are named at the left. */
  readonly names: boolean
  readonly line?: number
}

function panel(groups: readonly PlottedGroup[], valueOf: (cut: PlottedCut) => number, { label, top, tone, marginLeft, width, names, line }: Panel, document: Document): Element {
  const rows = groups.map(({ id, cuts }) => ({ id, low: valueOf(cuts[0]!), middle: valueOf(cuts[1]!), high: valueOf(cuts[2]!) }))
  const broken = rows.filter((r) => [r.low, r.middle, r.high].some((v) => !Number.isFinite(v)))
  const whole = rows.filter((r) => !broken.includes(r))
  const anchors = ['top', 'bottom'] as const
  return Plot.plot({
    document,
    width,
    height: groups.length * rowHeight + 2 * axisHeight,
    marginLeft,
    marginRight: 20,
    marginTop: axisHeight,
    marginBottom: axisHeight,
    style: { fontSize: '11px', overflow: 'visible', background: 'none' },
    x: { domain: [0, top], nice: true },
    y: { domain: groups.map((g) => g.id), padding: 0.3, axis: null },
    marks: [
      Plot.gridX({ strokeOpacity: 0.18 }),
      ...anchors.map((anchor) => Plot.axisX({ anchor, ticks: Math.round(width / 90), label: null, tickSize: 3 })),
      Plot.text([label], { frameAnchor: 'top-left', textAnchor: 'start', dy: 8 - axisHeight, fill: 'currentColor' }),
      ...(names ? [Plot.axisY({ label: null, tickSize: 0, tickFormat: labelOf })] : []),
      Plot.barX(whole, { x: 'middle', y: 'id', fill: tone }),
      Plot.ruleY(whole, { x1: 'low', x2: 'high', y: 'id', stroke: 'currentColor', strokeWidth: 1.25 }),
      Plot.dot(whole, { x: 'low', y: 'id', r: 3, fill: 'white', stroke: 'currentColor', className: 'hollow' }),
      Plot.dot(whole, { x: 'high', y: 'id', r: 3, fill: 'currentColor' }),
      Plot.text(broken, { x: 0, y: 'id', text: () => 'not finite', textAnchor: 'start', dx: 4, fill: 'currentColor' }),
      Plot.ruleX([0], { stroke: 'currentColor' }),
      ...(line === undefined ? [] : [Plot.ruleX([line], { stroke: 'currentColor', strokeDasharray: '4 3' })]),
    ],
  }) as unknown as Element
}

/** What bar, hollow and filled dot stand for. */
function legend({ groups, score }: SensitivityPicture, document: Document): Element {
  const shares = (groups[0]?.cuts ?? []).map((c) => `${Math.round(c.share * 100)}%`)
  const group = element(document, 'g', { transform: 'translate(12, 60)', fill: 'currentColor' })
  const dot = (x: number, hollow: boolean): Element => {
    const g = element(document, 'g', { class: hollow ? 'hollow' : 'filled' })
    g.append(element(document, 'circle', { cx: x, cy: -4, r: 3, fill: hollow ? 'white' : 'currentColor', stroke: 'currentColor', 'stroke-width': 1.5 }))
    return g
  }
  const bar = (x: number, fill: string): Element => element(document, 'rect', { x, y: -9, width: 18, height: 10, fill })
  group.append(
    text(document, 'text', { x: 0 }, 'channels of this group alone cut, lowest L1 norm first:'),
    dot(312, true), text(document, 'text', { x: 320 }, shares[0] ?? ''),
    bar(362, tones.harm), ...(score === undefined ? [] : [bar(380, tones.score)]), text(document, 'text', { x: 404 }, shares[1] ?? ''),
    dot(448, false), text(document, 'text', { x: 456 }, shares[2] ?? ''),
  )
  return group
}

/** The end of a name tells more than its start. */
function labelOf(id: string): string {
  return id.length <= longestLabel ? id : `…${id.slice(1 - longestLabel)}`
}

function element(document: Document, name: string, attributes: Readonly<Record<string, string | number>>): Element {
  const made = document.createElementNS(svgNamespace, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value))
  return made
}

function text(document: Document, name: string, attributes: Readonly<Record<string, string | number>>, content: string): Element {
  const made = element(document, name, attributes)
  made.textContent = content
  return made
}
