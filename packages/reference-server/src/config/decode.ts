/**
 * YAML nodes → values of a schema, with Go's merging: a document is decoded *onto* an earlier value.
 * Structs merge field by field, maps one level, lists and scalars are replaced, `null` resets. Collects
 * problems and warnings instead of stopping. Source: spec config vectors.
 */
import { parseByteSize } from '@kraken/core/content';
import { isAlias, isMap, isScalar, isSeq, type Document, type Node, type YAMLMap } from 'yaml';
import type { Problem } from './problems.js';
import { suggest } from './problems.js';
import { parseGoDuration, readPlainScalar, type PlainScalar } from './scalars.js';
import { zeroOf, type Field, type Kind } from './schema.js';

/** Where problems and warnings go, and how to find lines. */
export interface DecodeContext {
  readonly document: Document;
  readonly problems: Problem[];
  /** Keys that were set but have no effect. */
  readonly warnings: string[];
  readonly unknownKeys: 'error' | 'ignore';
  readonly file: string;
  lineOf(node: Node): number | undefined;
}

/** Decode `node` onto `previous` (a value of the same kind). */
export function decode(
  kind: Kind,
  node: Node | null,
  previous: unknown,
  path: string,
  context: DecodeContext,
): unknown {
  const target = isAlias(node) ? (node.resolve(context.document) ?? null) : node;
  const scalar = target === null ? ({ kind: 'null' } as const) : isScalar(target) ? readScalar(target) : undefined;
  if (scalar?.kind === 'null') return zeroOf(kind);
  switch (kind.type) {
    case 'struct':
      return isMap(target)
        ? decodeStruct(kind.fields, target, previous as Record<string, unknown>, path, context)
        : refuse();
    case 'map': {
      if (!isMap(target)) return refuse();
      const merged: Record<string, unknown> = { ...(previous as Record<string, unknown>) };
      for (const [name, value] of entries(target, context)) {
        const sized = kind.key === 'byte-size' ? readByteSize({ kind: 'text', value: name, source: name }) : undefined;
        if (kind.key === 'byte-size' && sized === undefined) {
          fail(`${path}.${name}`, JSON.stringify(name), 'a byte size as key, such as `0` or `2GB`');
          continue;
        }
        merged[sized === undefined ? name : String(sized)] = decode(
          kind.value,
          value,
          zeroOf(kind.value),
          `${path}.${name}`,
          context,
        );
      }
      return merged;
    }
    case 'list':
      if (!isSeq(target)) return refuse();
      return target.items.map((item, i) =>
        decode(kind.item, item as Node | null, zeroOf(kind.item), `${path}[${i}]`, context),
      );
    case 'any':
      return plainValue(target, context);
    default: {
      if (scalar === undefined) return refuse();
      const value = decodeScalar(kind.type, scalar);
      return value === undefined ? refuse() : value;
    }
  }

  function refuse(): unknown {
    fail(path, describe(target), EXPECTED[kind.type]);
    return previous;
  }
  function fail(at: string, got: string, expected: string): void {
    const line = target === null ? undefined : context.lineOf(target);
    context.problems.push({ key: at, got, expected, file: context.file, ...(line === undefined ? {} : { line }) });
  }
}

const EXPECTED: Readonly<Record<Kind['type'], string>> = {
  duration: 'a duration such as `30s`, `1h30m` or `250ms`',
  'byte-size': 'a byte size such as `4MB` or `1048576`',
  int: 'an integer',
  uint: 'an integer ≥ 0',
  float: 'a number',
  bool: 'true or false',
  string: 'text',
  any: 'anything',
  list: 'a list',
  map: 'a mapping',
  struct: 'a mapping',
};

function decodeStruct(
  fields: Readonly<Record<string, Field>>,
  node: YAMLMap,
  previous: Record<string, unknown>,
  path: string,
  context: DecodeContext,
): unknown {
  const merged: Record<string, unknown> = { ...previous };
  for (const [name, value, keyNode] of entries(node, context)) {
    const at = path === '' ? name : `${path}.${name}`;
    const field = fields[name];
    if (field === undefined) {
      if (context.unknownKeys === 'ignore') continue;
      const nearest = suggest(name, Object.keys(fields));
      const line = keyNode === undefined ? undefined : context.lineOf(keyNode);
      context.problems.push({
        key: at,
        got: 'an unknown key',
        expected: nearest === undefined ? 'a known key' : `a known key; did you mean \`${nearest}\`?`,
        file: context.file,
        ...(line === undefined ? {} : { line }),
      });
      continue;
    }
    if (field.ignored === true) context.warnings.push(at);
    merged[name] = decode(field.kind, value, previous[name] ?? zeroOf(field.kind), at, context);
  }
  return merged;
}

/** Key text, value and key node; merge keys (`<<`) come first so that own keys win; of duplicates the last wins. */
function* entries(node: YAMLMap, context: DecodeContext): Generator<[string, Node | null, Node | undefined]> {
  const own: [string, Node | null, Node | undefined][] = [];
  for (const pair of node.items) {
    const keyNode = pair.key as Node;
    const name = isScalar(keyNode) ? (keyNode.source ?? String(keyNode.value)) : JSON.stringify(keyNode);
    if (name === '<<') {
      const merged = isAlias(pair.value) ? pair.value.resolve(context.document) : pair.value;
      const sources = isSeq(merged) ? merged.items : [merged];
      for (const source of sources) {
        const resolved = isAlias(source) ? source.resolve(context.document) : source;
        if (isMap(resolved)) yield* entries(resolved, context);
      }
      continue;
    }
    own.push([name, pair.value as Node | null, keyNode]);
  }
  yield* own;
}

/** A scalar with its source text: text-typed keys keep it (`1.50` stays `1.50`). */
type SourceScalar = PlainScalar & { readonly source: string };

function readScalar(node: {
  source?: string | undefined;
  type?: string | undefined;
  value: unknown;
  tag?: string | undefined;
}): SourceScalar {
  const source = node.source ?? (typeof node.value === 'string' ? node.value : '');
  const isPlain = (node.type ?? 'PLAIN') === 'PLAIN' && node.tag === undefined;
  if (isPlain) return { ...readPlainScalar(source), source };
  return { kind: 'text', value: typeof node.value === 'string' ? node.value : source, source };
}

type ScalarType = 'duration' | 'byte-size' | 'int' | 'uint' | 'float' | 'bool' | 'string';

function decodeScalar(type: ScalarType, scalar: SourceScalar): unknown {
  switch (type) {
    case 'string':
      return scalar.kind === 'text' ? scalar.value : scalar.source;
    case 'bool':
      return scalar.kind === 'bool' ? scalar.value : undefined;
    case 'float':
      return scalar.kind === 'int' || scalar.kind === 'float' ? Number(scalar.value) : undefined;
    case 'int':
    case 'uint': {
      if (scalar.kind !== 'int' && scalar.kind !== 'float') return undefined;
      if (scalar.kind === 'float' && !Number.isFinite(scalar.value)) return undefined;
      const value = scalar.kind === 'int' ? scalar.value : BigInt(Math.trunc(scalar.value));
      const [lowest, beyond] = type === 'int' ? [-(2n ** 63n), 2n ** 63n] : [0n, 2n ** 64n];
      return value >= lowest && value < beyond ? Number(value) : undefined;
    }
    case 'duration': {
      if (scalar.kind === 'int' || scalar.kind === 'float') return Math.trunc(Number(scalar.value)) / 1e6;
      const ns = scalar.kind === 'text' ? parseGoDuration(scalar.value) : undefined;
      return ns === undefined ? undefined : Number(ns) / 1e6;
    }
    case 'byte-size':
      return readByteSize(scalar);
  }
}

function readByteSize(scalar: SourceScalar): number | undefined {
  try {
    return Number(parseByteSize(scalar.kind === 'text' ? scalar.value : scalar.source));
  } catch {
    return undefined; // not a byte size: the caller reports it with its key
  }
}

/** Untyped YAML 1.1 value, as Go decodes into `interface{}`. */
function plainValue(node: unknown, context: DecodeContext): unknown {
  const target = isAlias(node) ? node.resolve(context.document) : node;
  if (isMap(target))
    return Object.fromEntries([...entries(target, context)].map(([name, value]) => [name, plainValue(value, context)]));
  if (isSeq(target)) return target.items.map((item) => plainValue(item, context));
  if (!isScalar(target)) return null;
  const scalar = readScalar(target);
  if (scalar.kind === 'null') return null;
  return scalar.kind === 'int' ? Number(scalar.value) : scalar.value;
}

function describe(node: unknown): string {
  if (isMap(node)) return 'a mapping';
  if (isSeq(node)) return 'a list';
  return isScalar(node) ? JSON.stringify(node.source ?? node.value) : 'nothing';
}
