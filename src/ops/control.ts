/** @file Nodes that run graphs of their own, and those that deal with sequences and optional values: nothing passes through them. */
import { notDifferentiable, opaque, type OpDef } from './define.ts'
import { asStated } from './rules.ts'

function control(type: string, reason: string, selects: boolean): OpDef {
  return { type, shape: asStated, vjp: notDifferentiable, channels: opaque(reason), selects }
}

export const controls: readonly OpDef[] = [
  control('If', 'its branches are graphs of their own', true),
  // The number of turns may hang on a comparison.
  control('Loop', 'its body is a graph of its own', true),
  control('Scan', 'its body is a graph of its own', false),
  control('SequenceMap', 'its body is a graph of its own', false),
  ...['SequenceConstruct', 'SequenceEmpty', 'SequenceAt', 'SequenceInsert', 'SequenceErase', 'SequenceLength', 'SplitToSequence', 'ConcatFromSequence'].map((type) => control(type, 'a sequence is not followed', false)),
  ...['Optional', 'OptionalGetElement', 'OptionalHasElement'].map((type) => control(type, 'an optional value is not followed', false)),
]
