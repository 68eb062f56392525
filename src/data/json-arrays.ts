/**
 * @file Lists of objects out of a large JSON file, some members of each, a part of the file at a time: annotations of COCO's size are longer than a string can be.
 * Our own, for COCO's 490 MB are to be indexed in 10 s: a streaming parser that makes every value (@streamparser/json) takes 15 s of processor to parse them alone, this one 6 s with the checks.
 */
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'

/** Bytes read at a time; more where one element is longer. */
const partBytes = 2 ** 22
/** Elements that are parsed at a time. */
const batchSize = 4096

/** Lists to read, by their names at the top of the file, with the members of their elements that are read; all else is passed over. */
export type WantedLists = Readonly<Record<string, readonly string[]>>

/** Some elements of a list, in the order of the file. */
export interface JsonElements {
  readonly list: string
  /** Position of the first of them in its list. */
  readonly first: number
  readonly elements: readonly unknown[]
}

const [quote, backslash, comma, colon] = [34, 92, 44, 58]
const [openBracket, closeBracket, openBrace, closeBrace] = [91, 93, 123, 125]

/**
 * Yields the wanted lists batch by batch (an empty list once); memory holds one part of the file, `part` bytes or one element, and one batch. What is passed over is looked at only for strings and
 * brackets. Throws UserError naming `path` and the place where the file is no JSON object, is cut off, or has something else than a list under a wanted name.
 */
export async function* readJsonArrays(store: Store, path: string, wanted: WantedLists, part = partBytes): AsyncGenerator<JsonElements, void, undefined> {
  const w = new Window(store, path, (await store.stat(path))?.size ?? 0, part)
  const names = new Map(Object.entries(wanted).map(([name, members]) => [name, members.map((m) => new TextEncoder().encode(m))]))
  const read = new Set<string>()
  await w.skipMark()
  await w.expect(openBrace, 'an object')
  if ((await w.peek()) === closeBrace) w.at++
  else {
    do {
      const name = await w.text()
      await w.expect(colon, '":"')
      const members = names.get(name)
      if (!members) await w.skip()
      else {
        if (read.has(name)) throw new UserError(`${path}: has "${name}" twice; mend or replace the file`)
        read.add(name)
        if ((await w.peek()) !== openBracket) throw new UserError(`${path}: "${name}" is no list; mend or replace the file`)
        yield* readList(w, name, members)
      }
    } while (await w.follows(comma, closeBrace))
  }
  if ((await w.peek(true)) !== undefined) w.fail('the end of the file')
}

async function* readList(w: Window, list: string, members: readonly Uint8Array[]): AsyncGenerator<JsonElements, void, undefined> {
  w.at++
  let first = 0
  const batch = new Batch(w.path, list)
  const flush = (): JsonElements => {
    const elements = batch.parse(first)
    const found = { list, first, elements }
    first += elements.length
    return found
  }
  if ((await w.peek()) === closeBracket) {
    w.at++
    yield flush()
    return
  }
  do {
    await w.peek()
    // Nearly all elements lie in the part that is there: these go without a promise each.
    while (!takeElement(w, members, batch)) if (!(await w.more())) w.fail('the rest of an element')
    if (batch.count === batchSize) yield flush()
  } while (w.followsHere(comma, closeBracket) ?? (await w.follows(comma, closeBracket)))
  if (batch.count > 0) yield flush()
}

/** Adds the element that begins at the window's place to the batch, with the wanted members alone; false where the window ends before it does. */
function takeElement(w: Window, members: readonly Uint8Array[], batch: Batch): boolean {
  const { bytes } = w
  let i = spaceEnd(bytes, w.at)
  if (i >= bytes.length) return false
  const mark = batch.begin()
  const incomplete = (): false => {
    batch.drop(mark)
    return false
  }
  if (bytes[i] !== openBrace) {
    const end = valueEnd(bytes, i)
    if (end < 0) return incomplete()
    batch.add(bytes, i, end)
    w.at = end
    return true
  }
  batch.put(openBrace)
  let empty = true
  i = spaceEnd(bytes, i + 1)
  for (let more = bytes[i] !== closeBrace; more; ) {
    const name = spaceEnd(bytes, i)
    if (name >= bytes.length) return incomplete()
    if (bytes[name] !== quote) w.fail('a name in quotes', name)
    const nameEnd = stringEnd(bytes, name)
    if (nameEnd < 0) return incomplete()
    const at = spaceEnd(bytes, nameEnd)
    if (at >= bytes.length) return incomplete()
    if (bytes[at] !== colon) w.fail('":"', at)
    const value = spaceEnd(bytes, at + 1)
    const end = value < bytes.length ? valueEnd(bytes, value) : -1
    if (end < 0) return incomplete()
    if (isMember(bytes, name + 1, nameEnd - 1, members)) {
      if (!empty) batch.put(comma)
      empty = false
      batch.add(bytes, name, nameEnd)
      batch.put(colon)
      batch.add(bytes, value, end)
    }
    i = spaceEnd(bytes, end)
    if (i >= bytes.length) return incomplete()
    if (bytes[i] !== comma && bytes[i] !== closeBrace) w.fail('"," or "}"', i)
    more = bytes[i] === comma
    if (more) i++
  }
  if (i >= bytes.length) return incomplete()
  batch.put(closeBrace)
  w.at = i + 1
  return true
}

/** Whether the bytes from `from` to `to` are one of the names. Asked millions of times: plain loops. */
function isMember(bytes: Uint8Array, from: number, to: number, names: readonly Uint8Array[]): boolean {
  const length = to - from
  for (const name of names) {
    let same = 0
    if (name.length === length) while (same < length && name[same] === bytes[from + same]) same++
    if (same === length && length > 0) return true
  }
  for (let i = from; i < to; i++) if (bytes[i] === backslash) return names.some((name) => decode(name) === unescaped(bytes.subarray(from, to)))
  return false
}

/** The text between the quotes of a JSON string; the bytes as they are where it is none. */
function unescaped(bytes: Uint8Array): string {
  const text = decode(bytes)
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    return text
  }
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

function isSpace(byte: number): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9
}

/** The first place from `i` on that is no space; the length where there is none. */
function spaceEnd(bytes: Uint8Array, i: number): number {
  while (i < bytes.length && isSpace(bytes[i]!)) i++
  return i
}

/** The place behind the string that begins at `i`; -1 where the bytes end before it. */
function stringEnd(bytes: Uint8Array, i: number): number {
  for (i++; i < bytes.length; i++) {
    const c = bytes[i]!
    if (c === quote) return i + 1
    if (c === backslash) i++
  }
  return -1
}

/** The place behind the value that begins at `i`; -1 where the bytes end before it, or may. */
function valueEnd(bytes: Uint8Array, i: number): number {
  const { length } = bytes
  const first = bytes[i]!
  if (first === quote) return stringEnd(bytes, i)
  if (first === openBracket || first === openBrace) {
    for (let depth = 0; i < length; i++) {
      const c = bytes[i]!
      if (c === quote) {
        const end = stringEnd(bytes, i)
        if (end < 0) return -1
        i = end - 1
      } else if (c === openBracket || c === openBrace) depth++
      else if ((c === closeBracket || c === closeBrace) && --depth === 0) return i + 1
    }
    return -1
  }
  for (; i < length; i++) {
    const c = bytes[i]!
    if (c === comma || c === closeBracket || c === closeBrace || isSpace(c)) return i
  }
  return -1
}

/** The part of the file that is looked at. */
class Window {
  readonly path: string
  bytes: Uint8Array = new Uint8Array(0)
  /** Place in `bytes`; what lies before it is done with. */
  at = 0
  private readonly store: Store
  private readonly size: number
  private readonly part: number
  /** Bytes of the file that were read. */
  private done = 0

  constructor(store: Store, path: string, size: number, part: number) {
    this.store = store
    this.path = path
    this.size = size
    this.part = part
  }

  /** Reads on; false at the end of the file. */
  async more(): Promise<boolean> {
    const rest = this.bytes.subarray(this.at)
    // An element that does not fit is looked at from its start each time: twice as much, so that this is done few times.
    const length = Math.min(this.size - this.done, Math.max(this.part, rest.length))
    if (length === 0) return false
    const next = await this.store.readRange(this.path, this.done, length)
    this.done += length
    this.at = 0
    if (rest.length === 0) this.bytes = next
    else {
      this.bytes = new Uint8Array(rest.length + length)
      this.bytes.set(rest)
      this.bytes.set(next, rest.length)
    }
    return true
  }

  /** Goes to the next byte that is no space. Undefined at the end of the file, where that may be. */
  async peek(mayEnd = false): Promise<number | undefined> {
    for (;;) {
      this.at = spaceEnd(this.bytes, this.at)
      if (this.at < this.bytes.length) return this.bytes[this.at]
      if (!(await this.more())) return mayEnd ? undefined : this.fail('more')
    }
  }

  async expect(byte: number, what: string): Promise<void> {
    if ((await this.peek()) !== byte) this.fail(what)
    this.at++
  }

  /** Passes `between`, true; or `end`, false. */
  async follows(between: number, end: number): Promise<boolean> {
    await this.peek()
    return this.followsHere(between, end)!
  }

  /** The same without reading on; undefined where that is needed. */
  followsHere(between: number, end: number): boolean | undefined {
    const i = spaceEnd(this.bytes, this.at)
    if (i >= this.bytes.length) return undefined
    const byte = this.bytes[i]
    if (byte !== between && byte !== end) this.fail(`"${String.fromCharCode(between)}" or "${String.fromCharCode(end)}"`, i)
    this.at = i + 1
    return byte === between
  }

  /** Reads a string. */
  async text(): Promise<string> {
    if ((await this.peek()) !== quote) this.fail('a name in quotes')
    let end = stringEnd(this.bytes, this.at)
    while (end < 0) {
      if (!(await this.more())) this.fail('the end of a name')
      end = stringEnd(this.bytes, this.at)
    }
    const name = unescaped(this.bytes.subarray(this.at + 1, end - 1))
    this.at = end
    return name
  }

  /** Passes over a value of any length. */
  async skip(): Promise<void> {
    const first = await this.peek()
    if (first !== openBracket && first !== openBrace) {
      while (valueEnd(this.bytes, this.at) < 0) if (!(await this.more())) this.fail('the end of a value')
      this.at = valueEnd(this.bytes, this.at)
      return
    }
    let depth = 0
    let [inString, escaped] = [false, false]
    for (;;) {
      for (let i = this.at; i < this.bytes.length; i++) {
        const c = this.bytes[i]!
        if (inString) {
          if (escaped) escaped = false
          else if (c === backslash) escaped = true
          else if (c === quote) inString = false
        } else if (c === quote) inString = true
        else if (c === openBracket || c === openBrace) depth++
        else if ((c === closeBracket || c === closeBrace) && --depth === 0) {
          this.at = i + 1
          return
        }
      }
      this.at = this.bytes.length
      if (!(await this.more())) this.fail('the end of a value')
    }
  }

  /** A byte order mark, which some editors put first. */
  async skipMark(): Promise<void> {
    while (this.bytes.length < 3 && (await this.more()));
    if (this.bytes[0] === 0xef && this.bytes[1] === 0xbb && this.bytes[2] === 0xbf) this.at = 3
  }

  fail(wanted: string, at = this.at): never {
    const place = this.done - this.bytes.length + at
    throw new UserError(`${this.path}: is no JSON (byte ${place}${place >= this.size ? ', its end' : ''}: ${wanted} was wanted); mend or replace the file`)
  }
}

/** Elements that wait to be parsed, as JSON. */
class Batch {
  private readonly path: string
  private readonly list: string
  private bytes = new Uint8Array(2 ** 16)
  private length = 0
  private starts: number[] = []

  constructor(path: string, list: string) {
    this.path = path
    this.list = list
  }

  get count(): number {
    return this.starts.length
  }

  /** Begins an element; gives the place to go back to where it turns out to be incomplete. */
  begin(): number {
    const mark = this.length
    if (this.starts.length > 0) this.put(comma)
    this.starts.push(this.length)
    return mark
  }

  drop(mark: number): void {
    this.length = mark
    this.starts.pop()
  }

  put(byte: number): void {
    if (this.length === this.bytes.length) this.grow(1)
    this.bytes[this.length++] = byte
  }

  add(from: Uint8Array, start: number, end: number): void {
    if (this.length + end - start > this.bytes.length) this.grow(end - start)
    const { bytes } = this
    let at = this.length
    for (let i = start; i < end; i++) bytes[at++] = from[i]!
    this.length = at
  }

  private grow(room: number): void {
    const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.length + room))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  /** Parses and forgets what was added; `first` is the position of the first element in its list. */
  parse(first: number): unknown[] {
    const { starts, length } = this
    this.starts = []
    this.length = 0
    try {
      return JSON.parse(`[${this.decode(0, length)}]`) as unknown[]
    } catch (cause) {
      // The separators between elements are ours: one of them alone is wrong.
      starts.forEach((start, i) => {
        try {
          JSON.parse(this.decode(start, (starts[i + 1] ?? length + 1) - 1))
        } catch (error) {
          throw new UserError(`${this.path}: is no JSON (${this.list}[${first + i}]: ${error instanceof Error ? error.message : String(error)}); mend or replace the file`, { cause: error })
        }
      })
      throw cause
    }
  }

  private decode(from: number, to: number): string {
    return new TextDecoder('utf-8', { fatal: true }).decode(this.bytes.subarray(from, to))
  }
}
