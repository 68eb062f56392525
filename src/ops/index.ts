/** @file Public API of espalier/ops. */
export { Builder, inferNode, workingOpset } from './builder.ts'
export { type AxisRef, type ChannelLinks, type Link, notDifferentiable, opaque, type OpDef, type RuleContext, type TypeInfo, type Vjp } from './define.ts'
export type { Emitter } from './emitter.ts'
export type { IndexMap } from './index-map.ts'
export { lookup } from './registry.ts'
