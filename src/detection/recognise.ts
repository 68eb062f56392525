/** @file A detector card for a model that has none: which decoder fits its outputs, what its images and its classes are. */
import { UserError } from '../tensor/error.ts'
import { checkCard, type DetectorCard } from './card.ts'
import { cocoClasses } from './class-names.ts'
import { type DecoderName, decoderNames, type DecoderOptions, judge, usualPreprocess } from './decoders/registry.ts'
import { type ModelFacts, outputText } from './facts.ts'
import { parsePreprocess, preprocessHelp, type PreprocessWords } from './preprocess-words.ts'
import type { Sidecar } from './sidecar.ts'
import { Settings, wordsOf } from './words.ts'

/** What the user says of a model; the rest is found out, or is an error. */
export interface CardRequest {
  /** "NAME key=value ...": the decoder and its settings. */
  readonly decoder?: string
  /** In the language of preprocess-words. */
  readonly preprocess?: string
  readonly classes?: readonly string[]
}

/** A decoder's name and the words of its settings; throws UserError for a name that is not known. */
export function parseDecoder(text: string): { name: DecoderName; words: readonly string[] } {
  const [first = '', ...words] = wordsOf(text)
  const name = decoderNames.find((known) => known === first.toLowerCase())
  if (!name) throw new UserError(`--decoder: "${first}" is not known; known are ${decoderNames.join(', ')}`)
  return { name, words }
}

/** The card of a model without one, and in plain words what it rests on. Throws UserError, naming `file`, where something is missing or open. */
export function cardFor(facts: ModelFacts, request: CardRequest, sidecar: Sidecar | undefined, file: string): { card: DetectorCard; why: string } {
  const asked = request.decoder ?? sidecar?.decoder
  const given = request.classes ?? sidecar?.classes
  const { decoder, classes, why } = chooseDecoder(facts, asked === undefined ? undefined : parseDecoder(asked), sidecar, given?.length, file)
  const images = imagesFor(decoder.type, request, sidecar, file)
  const labels = classesFor(decoder, classes, given, file)
  const card = checkCard({ version: 1, architecture: 'unknown', input: facts.input, ...images.card, classes: labels.names, decoder }, file)
  return { card, why: `${asked === undefined ? 'recognised' : 'read'} as ${decoder.type}: ${why}; images ${cardImages(card)} (${images.why}); ${labels.why}` }
}

interface Choice {
  readonly decoder: DecoderOptions
  readonly classes?: number
  readonly why: string
}

/** The decoder that was asked for, or the only one that fits. */
function chooseDecoder(facts: ModelFacts, asked: ReturnType<typeof parseDecoder> | undefined, sidecar: Sidecar | undefined, classes: number | undefined, file: string): Choice {
  const settings = new Settings(asked?.words)
  const judged = (asked ? [asked.name] : decoderNames).map((name) => ({ name, verdict: judge(name, facts, { named: asked !== undefined, settings, heads: sidecar?.heads, classes }) }))
  const fitting = judged.flatMap(({ verdict }) => ('fits' in verdict ? [verdict] : []))
  const lacking = judged.flatMap(({ name, verdict }) => ('lacks' in verdict ? [`${name}: ${verdict.lacks}`] : []))
  const [choice] = fitting
  if (choice && fitting.length === 1) {
    if (asked) settings.end(asked.name)
    return { decoder: choice.fits, classes: choice.classes, why: choice.why }
  }
  const outputs = facts.outputs.map(outputText).join(', ')
  if (fitting.length > 1) throw new UserError(`${file}: has no detector card, and its outputs ${outputs} can be read in several ways; give --decoder with one of ${fitting.map((f) => f.fits.type).join(', ')}`)
  if (lacking.length > 0) throw new UserError(`${file}: ${asked ? 'not enough is known' : 'has no detector card, and not enough is known'} to read its outputs. ${lacking.join('; ')}${asked ? '' : ' (settings go behind the name, as in --decoder "NAME key=value")'}`)
  const refusal = judged.map(({ name, verdict }) => `${name}: ${'not' in verdict ? verdict.not : ''}`)
  if (asked) throw new UserError(`${file}: cannot be read as ${refusal[0]}; give another --decoder`)
  throw new UserError(`${file}: has no detector card, and no decoder fits its outputs ${outputs}; if it is a detector, give --decoder with one of ${decoderNames.join(', ')} to hear why that does not fit`)
}

/** What is done with images: the decoder's usual way, then what the description says, then --preprocess. */
function imagesFor(decoder: DecoderName, request: CardRequest, sidecar: Sidecar | undefined, file: string) {
  const usual = usualPreprocess(decoder)
  const sources = [
    { text: usual, place: `decoder ${decoder}`, why: `usual for ${decoder}` },
    { text: sidecar?.preprocess, place: sidecar?.file ?? '', why: `from ${sidecar?.file}` },
    { text: request.preprocess, place: '--preprocess', why: 'from --preprocess' },
  ].filter((s) => s.text !== undefined)
  const words = sources.reduce((all: PreprocessWords, { text, place }) => ({ ...all, ...parsePreprocess(text!, place) }), {})
  const { size: _, ...card } = words
  for (const key of ['channels', 'mean', 'std', 'resize'] as const) {
    if (card[key] === undefined) throw new UserError(`${file}: models of decoder ${decoder} have no usual preprocessing; say with --preprocess what images go through, ${key === 'resize' ? 'stretch or letterbox' : key} is missing (the words: ${preprocessHelp})`)
  }
  return { card, why: sources.map((s) => s.why).join(', ') }
}

/** "BGR, 416x416 letterbox, mean 0 0 0, std 1 1 1" */
function cardImages({ channels, input, resize, mean, std }: DetectorCard): string {
  return `${channels} ${input.width}x${input.height} ${resize}, mean ${mean.join(' ')}, std ${std.join(' ')}`
}

/** Names for the class outputs: those given, COCO's for eighty, "face" for an SSD of one class. */
function classesFor(decoder: DecoderOptions, count: number | undefined, given: readonly string[] | undefined, file: string): { names: readonly string[]; why: string } {
  if (given) {
    if (count !== undefined && given.length !== count) throw new UserError(`${file}: has ${count} class outputs by decoder ${decoder.type}, ${given.length} names were given (${given.slice(0, 3).join(', ')}${given.length > 3 ? ', ...' : ''}); give --classes with ${count}`)
    return { names: given, why: `${given.length} classes as given` }
  }
  if (count === cocoClasses.length) return { names: cocoClasses, why: 'classes COCO\'s 80' }
  // The one SSD with one class that is about, unlabelled, is a face detector.
  if (count === 1 && decoder.type === 'ssd') return { names: ['face'], why: 'class "face"' }
  throw new UserError(`${file}: the names of its ${count ?? 'unknown number of'} classes are in no card; give --classes with names, commas between, or a file with one a line`)
}

/** A card with what the user says changed in it: settings of the same decoder, preprocessing, names. Throws UserError, naming `file`, where they do not fit. */
export function amendCard(card: DetectorCard, request: CardRequest, file: string): DetectorCard {
  const { size, ...words } = request.preprocess === undefined ? {} : parsePreprocess(request.preprocess, '--preprocess') as PreprocessWords
  if (size && (size.width !== card.input.width || size.height !== card.input.height)) throw new UserError(`${file}: its detector card says ${card.input.width}x${card.input.height}; leave the size out, or write another card`)
  if (request.classes && request.classes.length !== card.classes.length) throw new UserError(`${file}: its detector card has ${card.classes.length} classes, ${request.classes.length} names were given; give --classes with ${card.classes.length}`)
  const decoder = request.decoder === undefined ? card.decoder : { ...card.decoder, ...settingsFor(card.decoder, parseDecoder(request.decoder).words) }
  return checkCard({ ...card, ...words, ...(request.classes && { classes: request.classes }), decoder }, file)
}

/** Settings as fields of the decoder's options: numbers and words that it has already, or that its schema knows. */
function settingsFor(decoder: DecoderOptions, words: readonly string[]): Record<string, string | number> {
  const settings = new Settings(words)
  const fields = ['scoreThreshold', 'maxDetections', ...Object.entries(decoder).flatMap(([key, value]) => (key !== 'type' && (typeof value === 'number' || typeof value === 'string') ? [key] : []))]
  const changed = Object.fromEntries(fields.flatMap((key) => {
    const text = settings.text(key)
    return text === undefined ? [] : [[key, Number.isFinite(Number(text)) ? Number(text) : text]]
  }))
  settings.end(decoder.type)
  return changed
}
