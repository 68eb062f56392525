/** @file The language of --preprocess: "bgr mean=103.53,116.28,123.675 std=57.375,57.12,58.395 stretch". */
import { UserError } from '../tensor/error.ts'
import type { ResizeRule } from './preprocess.ts'
import { numbersFrom, wordsOf } from './words.ts'

/** What was said of the images; what was not said is not there. */
export interface PreprocessWords {
  readonly channels?: 'RGB' | 'BGR'
  readonly mean?: readonly number[]
  readonly std?: readonly number[]
  readonly resize?: ResizeRule
  readonly pad?: number
  /** Pixels of the input, for models that leave them free. */
  readonly size?: { readonly width: number; readonly height: number }
}

export const preprocessHelp = 'rgb or bgr; /255, 0..255, or mean=A,B,C and std=A,B,C (of 0..255, in that order of channels); stretch, letterbox or letterbox=centre; pad=GREY; size=WIDTHxHEIGHT'

/** Reads words in any order; the last of a kind counts. `place` names where they come from in errors. */
export function parsePreprocess(text: string, place: string): PreprocessWords {
  return wordsOf(text).reduce((all: PreprocessWords, word) => ({ ...all, ...meaningOf(word, place) }), {})
}

function meaningOf(word: string, place: string): PreprocessWords {
  const [key = '', value] = word.toLowerCase().split('=')
  switch (key) {
    case 'rgb': case 'bgr': if (value === undefined) return { channels: key === 'rgb' ? 'RGB' : 'BGR' }
      break
    case '/255': case '0..1': if (value === undefined) return { mean: [0, 0, 0], std: [255, 255, 255] }
      break
    case '0..255': if (value === undefined) return { mean: [0, 0, 0], std: [1, 1, 1] }
      break
    case 'mean': case 'std': if (value !== undefined) return { [key]: three(value, key, place) }
      break
    case 'stretch': case 'stretched': if (value === undefined) return { resize: 'stretch' }
      break
    case 'letterbox':
      if (value === undefined || value === 'top-left') return { resize: 'letterbox' }
      if (value === 'centre' || value === 'center') return { resize: 'letterbox-centre' }
      break
    case 'pad': {
      const pad = Number(value)
      if (Number.isInteger(pad) && pad >= 0 && pad <= 255) return { pad }
      break
    }
    case 'size': {
      const match = /^(\d+)x(\d+)$/.exec(value ?? '')
      if (match && Number(match[1]) > 0 && Number(match[2]) > 0) return { size: { width: Number(match[1]), height: Number(match[2]) } }
      break
    }
  }
  throw new UserError(`${place}: "${word}" is not understood; the words are ${preprocessHelp}`)
}

function three(text: string, key: string, place: string): number[] {
  const values = numbersFrom(text, `${place}: ${key}`)
  if (values.length !== 3) throw new UserError(`${place}: ${key} needs three numbers, one a channel, not "${text}"`)
  if (key === 'std' && values.some((v) => v <= 0)) throw new UserError(`${place}: std must be above 0, not "${text}"`)
  return values
}
