/** @file The built-in font, looked at. */
import { expect, it } from 'vitest'
import { glyphRows, glyphWidth } from '../../src/data/glyphs.ts'

function show(text: string): string {
  const rows = Array.from(text, glyphRows)
  return Array.from({ length: 7 }, (_, y) => rows.map((r) => Array.from({ length: glyphWidth }, (_, x) => ((r[y]! >> x) & 1 ? '#' : '.')).join('')).join(' ')).join('\n')
}

it('looks like letters', () => {
  expect(show('Rg7~')).toMatchInlineSnapshot(`
    "####. ..... ##### .....
    #...# .#### ....# .....
    #...# #...# ...#. .#...
    ####. #...# ..#.. #.#.#
    #.#.. .#### .#... ...#.
    #..#. ....# .#... .....
    #...# .###. .#... ....."
  `)
})

it('has every printable character, and a question mark for others', () => {
  for (let code = 33; code < 127; code++) expect(glyphRows(String.fromCharCode(code)).some((row) => row !== 0)).toBe(true)
  expect(new Set(Array.from({ length: 95 }, (_, i) => show(String.fromCharCode(32 + i)))).size).toBe(95)
  expect(glyphRows('é')).toEqual(glyphRows('?'))
})
