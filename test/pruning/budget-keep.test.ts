/** @file Layers that are kept: what a pattern touches, and what it says where it matches nothing. */
import { describe, expect, it } from 'vitest'
import { findGroups } from '../../src/pruning/groups.ts'
import { withoutKept } from '../../src/pruning/keep.ts'
import { chooseGroups } from '../../src/pruning/request.ts'
import { Net } from './nets.ts'

/** stem.a -> norm -> stem.b -> neck (depthwise) -> head; three groups of which the head's output is none. */
function net() {
  const n = new Net(1, [1, 3, 6, 6])
  const b = n.conv('stem.b', n.act('Relu', n.norm('norm', n.conv('stem.a', n.x, 16))), 16)
  const model = n.model(n.conv('head', n.conv('mid', n.grouped('neck', b, 16, 16), 16), 4, 1))
  return { model, groups: findGroups(model).filter((g) => g.prunable) }
}

describe('withoutKept', () => {
  const { model, groups } = net()
  const left = (...patterns: string[]): string[] => withoutKept(model, groups, patterns).map((g) => g.id)

  it('touches nothing without patterns', () => {
    expect(left()).toEqual(['stem.a.w', 'stem.b.w', 'mid.w'])
  })

  it.each([
    // A layer that is kept loses neither outputs nor inputs.
    ['mid', ['stem.a.w']],
    ['stem.a', ['stem.b.w', 'mid.w']],
    ['head', ['stem.a.w', 'stem.b.w']],
    // Weights, batch normalisation, depthwise layers that the channels pass through, and ids.
    ['norm.scale', ['stem.b.w', 'mid.w']],
    ['neck', ['stem.a.w', 'mid.w']],
    ['mid.w', ['stem.a.w']],
    // * stands for any letters, dots are dots.
    ['stem.*', ['mid.w']],
    ['*.b', []],
    ['st*.a.*', ['stem.b.w', 'mid.w']],
  ])('%s', (pattern, expected) => {
    expect(left(pattern)).toEqual(expected)
  })

  it('adds several up', () => {
    expect(left('norm', 'head')).toEqual(['stem.b.w'])
  })

  it('names what is near where nothing matches; regular expressions are no patterns', () => {
    expect(() => left('steem.b')).toThrow(/--keep "steem\.b" matches no node, weight or channel group of the model; near it are "stem\.b", "stem\.a", /)
    expect(() => left('stem?a')).toThrow('--keep "stem?a" matches no')
    expect(() => left('stem.[ab]')).toThrow('near it are')
    expect(() => left('norm', 'Stem.a')).toThrow('--keep "Stem.a" matches no')
  })

  it('refuses to keep all', () => {
    expect(() => chooseGroups({ model }, { groups: 'inner', keep: ['*'] })).toThrow('--keep leaves no channel group to cut: it touches all 3')
    expect(chooseGroups({ model }, { groups: 'inner', keep: ['head'] }).map((g) => g.id)).toEqual(['stem.a.w', 'stem.b.w'])
  })
})
