/** @file The norms of the two gradients by layer: which term of the joint loss chose the channels. */
import * as Plot from '@observablehq/plot'
import { dotOf, figure, lookOf } from '../figure.ts'
import { absent, type Html, section } from '../html.ts'
import type { ReportRun } from '../record.ts'
import type { Variant } from '../variants.ts'
import { shortened } from '../words.ts'

const terms = ['gradientReconstruction', 'gradientLocalization'] as const
const looks = [lookOf('reconstruction, dL_re/dW', 0), lookOf('localization, alpha dL_a/dW', 1)]
const longest = 34

export function gradientsSection(document: Document, variants: readonly Variant[]): Html {
  const scored = variants.filter(({ runs }) => runs.some((run) => layersOf(run).length > 0))
  if (scored.length === 0) return section('gradients', 'Gradient norms', absent('These runs chose their channels without gradients of the joint loss.'))
  return section('gradients', 'Gradient norms', ...scored.map((variant) => plot(document, variant)))
}

function layersOf({ record }: ReportRun) {
  return (record.stages ?? []).flatMap((stage) => stage.layers)
}

function plot(document: Document, { label, runs }: Variant): Html {
  const layers = [...new Set(runs.flatMap((run) => layersOf(run).map((layer) => layer.weight)))]
  const rows = terms.flatMap((term, i) => layers.flatMap((id) => {
    // On a scale of logarithms a norm of 0 has no place.
    const norms = runs.flatMap((run) => layersOf(run).filter((layer) => layer.weight === id).map((layer) => layer[term])).filter((norm) => norm !== null && norm > 0) as number[]
    return norms.length > 0 ? [{ id, look: looks[i]!, mean: Math.exp(norms.reduce((sum, n) => sum + Math.log(n), 0) / norms.length), low: Math.min(...norms), high: Math.max(...norms) }] : []
  }))
  if (rows.length === 0) return absent(`${label}: all gradients are 0.`)
  const several = runs.length > 1
  const [low, high] = [Math.floor(Math.log10(Math.min(...rows.map((row) => row.low)))), Math.ceil(Math.log10(Math.max(...rows.map((row) => row.high))))]
  const powers = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i))
  const names = layers.map((id) => shortened(id, longest))
  return figure(document, {
    title: `Gradient norms by layer: ${label}`,
    caption: `Norms of the gradients by a layer's weights, accumulated over the selection images, on a logarithmic scale${several ? `; geometric means of ${runs.length} runs, lines from the least to the greatest` : ''}. Where a term is missing its gradient was 0, as that of the reconstruction is where nothing was cut before.`,
  }, {
    width: 940,
    height: layers.length * 17 + 66,
    marginTop: 26,
    marginBottom: 40,
    marginLeft: Math.ceil(Math.max(...names.map((name) => name.length)) * 6.6) + 14,
    marginRight: 30,
    x: { type: 'log', domain: [10 ** low, 10 ** high] },
    y: { domain: layers, label: null, padding: 0.25, tickSize: 0, tickFormat: (id: string) => shortened(id, longest) },
    marks: [
      Plot.gridX(powers, { stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.axisX(powers, { label: 'norm of the gradient', labelAnchor: 'center', labelArrow: 'none', tickFormat: (v: number) => String(Number(v.toPrecision(3))) }),
      Plot.gridY({ stroke: 'var(--line)', strokeOpacity: 0.6 }),
      Plot.ruleY(rows.filter((row) => row.high > row.low), { x1: 'low', x2: 'high', y: 'id', stroke: (row: (typeof rows)[number]) => row.look.colour, strokeWidth: 1.5 }),
      ...looks.map((look) => Plot.dot(rows.filter((row) => row.look === look), { x: 'mean', y: 'id', ...dotOf(look) })),
    ],
  }, looks)
}
