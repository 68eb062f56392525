/** @file What a decoder says of a model without a card: whether it fits, and with which options. */
import type { ModelFacts, Nature, OutputFacts } from '../facts.ts'
import { outputText } from '../facts.ts'
import type { Settings } from '../words.ts'
import { type Suppression, suppressionDefaults } from './decoder.ts'

/** A yolo head as the file beside the model describes it. */
export interface HeadNote {
  readonly output: string
  /** Width and height of each anchor, pixels of the input. */
  readonly anchors: readonly (readonly [number, number])[]
  readonly scaleXY?: number
}

/** What is known beside the model itself. */
export interface Hints {
  /** True where the user named this decoder: then what it usually looks like does not decide. */
  readonly named: boolean
  readonly settings: Settings
  readonly heads?: readonly HeadNote[]
  /** Number of classes, where the user named them. */
  readonly classes?: number
}

export type Verdict<O> =
  /** `classes` is what the outputs say; `why` in plain words. */
  | { readonly fits: O; readonly classes?: number; readonly why: string }
  /** The outputs look right, but something must be said first. */
  | { readonly lacks: string }
  | { readonly not: string }

/** Judges the outputs of a model; reads from `hints.settings` every setting that it has. */
export type Recognise<O> = (facts: ModelFacts, hints: Hints) => Verdict<O>

export function suppressionFrom(settings: Settings): Suppression {
  return {
    scoreThreshold: settings.number('scoreThreshold') ?? suppressionDefaults.scoreThreshold,
    nmsIou: settings.number('nmsIou') ?? suppressionDefaults.nmsIou,
    maxDetections: settings.number('maxDetections') ?? suppressionDefaults.maxDetections,
  }
}

/** The only output of `rank` axes that is no choice of the graph's, or the one that the setting `output` names. */
export function singleOutput(facts: ModelFacts, hints: Hints, rank: number): OutputFacts | string {
  const asked = hints.settings.text('output')
  const candidates = facts.outputs.filter((o) => (asked === undefined ? o.dims.length === rank && !o.chosen : o.name === asked))
  const [output] = candidates
  const all = facts.outputs.map(outputText).join(', ')
  if (asked !== undefined && !output) return `there is no output "${asked}", but ${all}`
  if (!output || candidates.length > 1) return `it reads one output of ${rank} axes; there are ${all}`
  if (output.dims.length !== rank || output.chosen) return `it reads a raw output of ${rank} axes, which ${outputText(output)} is not`
  return output
}

export const scoreForms = ['logits', 'probabilities'] as const
export type ScoreForm = (typeof scoreForms)[number]

/** Whether scores went through a sigmoid in the graph: as the setting says, else as the graph shows. */
export function scoreFormOf(nature: Nature, settings: Settings): ScoreForm | undefined {
  return settings.word('scoresAre', scoreForms) ?? (nature === 'raw' ? 'logits' : nature === 'sigmoid' ? 'probabilities' : undefined)
}

export const cannotTellScores = 'the graph does not show whether scores went through a sigmoid: say scoresAre=logits or scoresAre=probabilities'
