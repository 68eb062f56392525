/** @file Lists out of JSON files: what JSON.parse gives, whatever the file's spacing and wherever parts of it end; what is wrong is placed. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readJsonArrays, type WantedLists } from '../../src/data/json-arrays.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'

const wanted: WantedLists = { images: ['id', 'name'], boxes: ['id', 'bbox'] }

async function lists(store: Store, part?: number): Promise<Record<string, unknown[]>> {
  const found: Record<string, unknown[]> = {}
  for await (const { list, first, elements } of readJsonArrays(store, 'f.json', wanted, part)) {
    found[list] ??= []
    expect(first).toBe(found[list].length)
    found[list].push(...elements)
  }
  return found
}
const read = (text: string) => lists(memoryStore({ 'f.json': text }))

/** What is to be read of a value, by JSON.parse. */
function expected(text: string): Record<string, unknown[]> {
  const whole = JSON.parse(text) as Record<string, unknown[]>
  return Object.fromEntries(Object.entries(wanted).filter(([list]) => list in whole).map(([list, members]) => [list, whole[list]!.map((element) => {
    if (typeof element !== 'object' || element === null || Array.isArray(element)) return element
    return Object.fromEntries(Object.entries(element).filter(([key]) => members.includes(key)))
  })]))
}

describe('readJsonArrays', () => {
  it('reads some members of the elements of some lists', async () => {
    const text = '{"info": {"a": "]}\\\\"}, "images": [{"id": 1, "name": "a\\"b", "url": "x,}"}, {"id": 2}], "n": -1.5e3, "boxes": [{"segmentation": [[1, 2], [3]], "bbox": [1, 2, 3, 4.5], "id": 7}, {}, 5, null, "x"]}'
    expect(await read(text)).toEqual({ images: [{ id: 1, name: 'a"b' }, { id: 2 }], boxes: [{ bbox: [1, 2, 3, 4.5], id: 7 }, {}, 5, null, 'x'] })
    // Parts end at every place.
    for (let part = 1; part < 40; part++) expect(await lists(memoryStore({ 'f.json': text }), part)).toEqual(expected(text))
  })

  it('gives what JSON.parse gives, with any spacing', async () => {
    const element = fc.oneof({ weight: 5, arbitrary: fc.dictionary(fc.constantFrom('id', 'name', 'bbox', 'other', 'a"b', 'ä\n'), fc.jsonValue({ maxDepth: 2 })) }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) })
    const file = fc.record({ before: fc.jsonValue(), images: fc.array(element), middle: fc.jsonValue(), boxes: fc.array(element), after: fc.jsonValue() }, { requiredKeys: [] })
    await fc.assert(fc.asyncProperty(file, fc.constantFrom('', ' ', '\t', '\r\n '), fc.integer({ min: 1, max: 50 }), async (value, space, part) => {
      const text = JSON.stringify(value, undefined, space)
      expect(await lists(memoryStore({ 'f.json': text }), part)).toEqual(expected(text))
    }), { seed: 3, numRuns: 300 })
  })

  it('reads lists, elements and strings that go over the ends of parts', async () => {
    const long = 'é"\\'.repeat(3_000_000)
    const elements = Array.from({ length: 9000 }, (_, id) => ({ other: 'o'.repeat(id % 700), id, name: id === 4500 ? long : `n${id}` }))
    const text = JSON.stringify({ skipped: long, images: elements, boxes: [] })
    expect(text.length).toBeGreaterThan(2 * 2 ** 22)
    const found = await read(text)
    expect(found.boxes).toEqual([])
    expect(found.images).toEqual(elements.map(({ id, name }) => ({ id, name })))
  }, 60_000)

  it('takes a byte order mark and names that are written with escapes', async () => {
    expect(await read('\uFEFF{"im\\u0061ges": [{"i\\u0064": 1}]}')).toEqual({ images: [{ id: 1 }] })
    expect(await read(' { } ')).toEqual({})
  })

  it.each([
    ['', 'is no JSON (byte 0, its end: more was wanted)'],
    ['[1]', 'is no JSON (byte 0: an object was wanted)'],
    ['{"images": [', 'is no JSON (byte 12, its end: more was wanted)'],
    ['{"images": [{"id": 1}', 'is no JSON (byte 21, its end: more was wanted)'],
    ['{"images": [{"id": 1, "na', 'is no JSON (byte 12: the rest of an element was wanted)'],
    ['{"images": [{"id": 1} {"id": 2}]}', 'is no JSON (byte 22: "," or "]" was wanted)'],
    ['{"images": [{"id" 1}]}', 'is no JSON (byte 18: ":" was wanted)'],
    ['{"images": [{id: 1}]}', 'is no JSON (byte 13: a name in quotes was wanted)'],
    ['{"images": [{"id": 1,}]}', 'is no JSON (byte 21: a name in quotes was wanted)'],
    ['{"images": [{"id": 1}, {"id": oops}, {"id": 3}]}', 'is no JSON (images[1]: '],
    ['{"images": [{"id": }]}', 'is no JSON (images[0]: '],
    ['{"images": [1, ]}', 'is no JSON (images[1]: '],
    ['{"info": {"a": [1}', 'is no JSON (byte 18, its end: the end of a value was wanted)'],
    ['{"images": []} more', 'is no JSON (byte 15: the end of the file was wanted)'],
    ['{"images": {}}', '"images" is no list'],
    ['{"images": [], "images": []}', 'has "images" twice'],
  ])('%s: %s', async (text, message) => {
    await expect(read(text)).rejects.toThrow(`f.json: ${message}`)
  })

  it('tells bytes that are no text', async () => {
    const bytes = new TextEncoder().encode('{"images": [{"id": 1}, {"name": "?"}]}')
    bytes[bytes.indexOf(63)] = 0xff
    await expect(lists(memoryStore({ 'f.json': bytes }))).rejects.toThrow('f.json: is no JSON (images[1]: ')
  })
})
