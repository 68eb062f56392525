/** @file Public API of espalier/ir. */
export { type AttributeInit, floatAttribute, intAttribute, intsAttribute, stringAttribute, tensorAttribute } from './attributes.ts'
export { addInitializer, addInput, addNode, cloneGraph, cloneModel, removeNode, replaceUses, setAttribute, setInitializer, setInput } from './edit.ts'
export { type Attribute, constantOf, createModel, type Dim, dimsOf, Graph, type Model, Node, opsetOf, staticShape, type Use, Value } from './graph.ts'
export { print } from './print.ts'
export { verify } from './verify.ts'
export { ancestors, valueNamed, valuesOf } from './walk.ts'
