/** @file x */
import type { OpDef } from './define.ts'

export const roi: readonly OpDef[] = []
