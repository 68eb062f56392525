/** @file Loss curves: of the training after the cut (or the training itself) by epoch, and of the stages by step. */
import * as Plot from '@observablehq/plot'
import { figure, type Look, lookOf } from '../figure.ts'
import { absent, type Html, html, section } from '../html.ts'
import { loggedLosses } from '../log-losses.ts'
import { measured, type ReportRun } from '../record.ts'
import type { Variant } from '../variants.ts'

interface Place {
  readonly epoch: number
  readonly value: number
  readonly look: Look
  /** Tells lines of one look apart. */
  readonly line: string
}

export function lossesSection(document: Document, runs: readonly ReportRun[], variants: readonly Variant[]): Html {
  const trained = runs.filter((run) => (run.record.epochs ?? []).length > 0)
  const stages = runs.length === 1 ? stagePanels(document, runs[0]!) : []
  if (trained.length === 0 && stages.length === 0) return section('losses', 'Loss curves', absent('Nothing was trained in these runs, or they did not record it.'))
  const byEpoch = trained.length === 0 ? [absent('No epoch of training was recorded.')] : runs.length === 1 ? singlePanels(document, runs[0]!) : variantPanels(document, variants)
  return section('losses', 'Loss curves', html`<div class="panels">${byEpoch}</div>`, stages.length > 0 && html`<h3>Stages of the pruning, as far as the log has them</h3>
<div class="panels">${stages}</div>
`)
}

const termLooks = [lookOf('classification', 0), lookOf('localization', 1)]

function singlePanels(document: Document, run: ReportRun): Html[] {
  const epochs = run.record.epochs ?? []
  const losses = (['classification', 'localization'] as const).flatMap((term, i) => epochs.flatMap((e) => placeOf(e.epoch, e[term], termLooks[i]!, term)))
  const aps = epochs.flatMap((e) => placeOf(e.epoch, measured(e.AP), lookOf('AP', 2), 'AP'))
  const kept = run.record.bestEpoch
  return [
    curves(document, { title: 'Training losses', caption: 'Means over each epoch of the two terms whose sum is trained on.' }, 'loss', losses, termLooks),
    ...apPanel(document, aps, [], kept === undefined ? '' : ` Epoch ${kept} was kept.`),
  ]
}

function variantPanels(document: Document, variants: readonly Variant[]): Html[] {
  const looks = variants.map(({ label }, i) => lookOf(label, i))
  const all = (value: (e: NonNullable<ReportRun['record']['epochs']>[number]) => number | null | undefined): Place[] =>
    variants.flatMap(({ runs }, i) => runs.flatMap((run) => (run.record.epochs ?? []).flatMap((e) => placeOf(e.epoch, value(e), looks[i]!, run.name))))
  const used = (places: readonly Place[]): Look[] => looks.filter((look) => places.some((p) => p.look === look))
  const losses = all((e) => (e.classification === null || e.localization === null ? null : e.classification + e.localization))
  const aps = all((e) => measured(e.AP))
  return [curves(document, { title: 'Training losses', caption: 'Classification plus localization, means over each epoch; a line a run.' }, 'loss', losses, used(losses)), ...apPanel(document, aps, used(aps), '')]
}

function apPanel(document: Document, places: readonly Place[], looks: readonly Look[], more: string): Html[] {
  if (places.length === 0) return [absent('AP was not measured while training: there was no validation split, or it was not looked at.')]
  return [curves(document, { title: 'AP on the validation split', caption: `After each epoch.${more}` }, 'AP', places, looks)]
}

function placeOf(epoch: number, value: number | null | undefined, look: Look, line: string): Place[] {
  return value === null || value === undefined ? [] : [{ epoch, value, look, line }]
}

function curves(document: Document, text: { readonly title: string; readonly caption: string }, label: string, places: readonly Place[], looks: readonly Look[]): Html {
  if (places.length === 0) return absent(`${text.title}: none is a finite number.`)
  const lines = new Map<string, Place[]>()
  for (const place of places) {
    const key = `${place.look.label}\n${place.line}`
    lines.set(key, [...(lines.get(key) ?? []), place])
  }
  const last = Math.max(...places.map((p) => p.epoch))
  return figure(document, text, {
    width: 470,
    height: 270,
    marginTop: 30,
    marginLeft: 50,
    marginRight: 20,
    marginBottom: 40,
    x: { domain: [Math.min(...places.map((p) => p.epoch), last - 1), last], label: 'epoch', labelAnchor: 'center', labelArrow: 'none', ticks: Math.min(8, last), tickFormat: (v: number) => (Number.isInteger(v) ? String(v) : '') },
    y: { label, labelArrow: 'none', grid: true, ticks: 6, nice: true, domain: [Math.min(0, ...places.map((p) => p.value)), Math.max(...places.map((p) => p.value))] },
    marks: [
      Plot.frame({ stroke: 'var(--line)' }),
      ...[...lines.values()].flatMap((line) => [
        Plot.line(line, { x: 'epoch', y: 'value', stroke: line[0]!.look.colour, strokeWidth: 1.75 }),
        ...(lines.size <= 12 ? [Plot.dot(line, { x: 'epoch', y: 'value', fill: line[0]!.look.colour, symbol: line[0]!.look.symbol, r: 2.75 })] : []),
      ]),
    ],
  }, looks)
}

/** A small panel for each phase that trains within the pruning. */
function stagePanels(document: Document, run: ReportRun): Html[] {
  const phases = run.log === undefined ? [] : loggedLosses(run.log).filter((phase) => phase.name.startsWith('stage '))
  return phases.map(({ name, steps }) => figure(document, { title: name, caption: 'Loss by step.' }, {
    width: 470,
    height: 200,
    marginTop: 30,
    marginLeft: 50,
    marginRight: 20,
    marginBottom: 40,
    x: { label: 'step', labelAnchor: 'center', labelArrow: 'none', ticks: 6, domain: [0, steps.at(-1)!.step] },
    y: { label: 'loss', labelArrow: 'none', grid: true, ticks: 4, nice: true, domain: [0, Math.max(...steps.map((s) => s.loss))] },
    marks: [Plot.frame({ stroke: 'var(--line)' }), Plot.line(steps, { x: 'step', y: 'loss', stroke: 'var(--s0)', strokeWidth: 1.75 })],
  }))
}
