/** @file The words of --preprocess and --decoder. */
import { describe, expect, it } from 'vitest'
import { parsePreprocess } from '../../src/detection/preprocess-words.ts'
import { Settings, wordsOf } from '../../src/detection/words.ts'

const read = (text: string) => parsePreprocess(text, '--preprocess')

describe('parsePreprocess', () => {
  it('reads every word, in any order', () => {
    expect(read('bgr mean=103.53,116.28,123.675 std=57.375,57.12,58.395 stretch')).toEqual({ channels: 'BGR', mean: [103.53, 116.28, 123.675], std: [57.375, 57.12, 58.395], resize: 'stretch' })
    expect(read('letterbox pad=0 RGB 0..255 size=640x480')).toEqual({ channels: 'RGB', mean: [0, 0, 0], std: [1, 1, 1], resize: 'letterbox', pad: 0, size: { width: 640, height: 480 } })
    expect(read('letterbox=centre')).toEqual({ resize: 'letterbox-centre' })
    expect(read('')).toEqual({})
  })

  it('reads prose with commas', () => expect(read('RGB / 255, stretched')).toEqual({ channels: 'RGB', mean: [0, 0, 0], std: [255, 255, 255], resize: 'stretch' }))

  it('lets the last of a kind count', () => expect(read('rgb bgr /255 mean=1,2,3')).toEqual({ channels: 'BGR', mean: [1, 2, 3], std: [255, 255, 255] }))

  it.each([
    ['rgbx', '--preprocess: "rgbx" is not understood; the words are rgb or bgr'],
    ['rgb=1', '"rgb=1" is not understood'],
    ['pad=300', '"pad=300" is not understood'],
    ['size=640', '"size=640" is not understood'],
    ['letterbox=left', '"letterbox=left" is not understood'],
    ['mean=1,2', '--preprocess: mean needs three numbers, one a channel, not "1,2"'],
    ['mean=1,x,3', '--preprocess: mean must be numbers with commas between, not "1,x,3"'],
    ['std=1,0,1', '--preprocess: std must be above 0'],
  ])('refuses %s', (text, message) => expect(() => read(text)).toThrow(message))
})

describe('Settings', () => {
  it('are asked for by key; what nobody asks for is refused', () => {
    const settings = new Settings(wordsOf('a=1  b = x,  c=1,2.5'))
    expect([settings.number('a'), settings.word('b', ['x', 'y']), settings.numbers('c'), settings.text('d')]).toEqual([1, 'x', [1, 2.5], undefined])
    expect(() => settings.end('yolox')).not.toThrow()
    const stray = new Settings(['a=1', 'z=2'])
    stray.number('a')
    stray.text('b')
    expect(() => stray.end('yolox')).toThrow('--decoder: yolox has no setting "z"; it has a, b')
  })

  it('must be key=value, of the right kind', () => {
    expect(() => new Settings(['alone'])).toThrow('--decoder: "alone" is no setting; write key=value')
    expect(() => new Settings(['a=x']).number('a')).toThrow('--decoder: a must be a number, not "x"')
    expect(() => new Settings(['a=x']).word('a', ['y', 'z'])).toThrow('--decoder: a must be one of y, z, not "x"')
  })
})
