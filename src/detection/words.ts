/** @file The small language of --decoder and --preprocess: words and key=value settings with spaces between. */
import { UserError } from '../tensor/error.ts'

/** Splits `text` into words; a comma at the end of a word is punctuation, and "/ 255" is "/255". */
export function wordsOf(text: string): string[] {
  return text.trim().replace(/([/=])\s+/g, '$1').replace(/\s+=/g, '=').split(/,?\s+/).filter((word) => word !== '')
}

/** The settings behind a decoder's name. What a reader asks for counts as known; the rest is refused by `end`. */
export class Settings {
  private readonly given: ReadonlyMap<string, string>
  private readonly known = new Set<string>()

  /** Throws UserError for what is no key=value. */
  constructor(words: readonly string[] = []) {
    this.given = new Map(words.map((word) => {
      const at = word.indexOf('=')
      if (at <= 0 || at === word.length - 1) throw new UserError(`--decoder: "${word}" is no setting; write key=value`)
      return [word.slice(0, at), word.slice(at + 1)]
    }))
  }

  text(key: string): string | undefined {
    this.known.add(key)
    return this.given.get(key)
  }

  word<T extends string>(key: string, values: readonly T[]): T | undefined {
    const text = this.text(key)
    if (text === undefined) return undefined
    const value = values.find((v) => v === text)
    if (value === undefined) throw new UserError(`--decoder: ${key} must be one of ${values.join(', ')}, not "${text}"`)
    return value
  }

  number(key: string): number | undefined {
    const text = this.text(key)
    if (text === undefined) return undefined
    const value = Number(text)
    if (!Number.isFinite(value)) throw new UserError(`--decoder: ${key} must be a number, not "${text}"`)
    return value
  }

  numbers(key: string): number[] | undefined {
    const text = this.text(key)
    return text === undefined ? undefined : numbersFrom(text, `--decoder: ${key}`)
  }

  /** Throws UserError where something was given that nobody has asked for. */
  end(decoder: string): void {
    const stray = [...this.given.keys()].find((key) => !this.known.has(key))
    if (stray !== undefined) throw new UserError(`--decoder: ${decoder} has no setting "${stray}"; it has ${[...this.known].sort().join(', ')}`)
  }
}

/** "1,2.5,3" */
export function numbersFrom(text: string, what: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  if (!values.every(Number.isFinite)) throw new UserError(`${what} must be numbers with commas between, not "${text}"`)
  return values
}
