/**
 * A small schema for Kraken's YAML: typed keys with Go's zero values, defaults, units and words for the
 * reference manual. Kinds are data; `decode.ts` gives them meaning. Kraken applies a default wherever a
 * value is zero, so a default here replaces `0`, `''`, and empty durations.
 */

/** A kind of value. `zero` makes the value of an absent key. */
export type Kind =
  | { readonly type: 'duration' | 'byte-size' | 'int' | 'uint' | 'float' | 'bool' | 'string' | 'any' }
  | { readonly type: 'list'; readonly item: Kind }
  | { readonly type: 'map'; readonly value: Kind; readonly key?: 'string' | 'byte-size' }
  | { readonly type: 'struct'; readonly fields: Readonly<Record<string, Field>> };

/** One key of a struct. */
export interface Field {
  readonly kind: Kind;
  /** Replaces a zero value. Durations in ms, sizes in bytes. */
  readonly default?: number | string | boolean;
  /** For the manual. */
  readonly says: string;
  /** `ignored`: accepted for Go's sake, has no effect here, warns when set. */
  readonly ignored?: true;
}

export const duration = { type: 'duration' } as const;
export const byteSize = { type: 'byte-size' } as const;
export const int = { type: 'int' } as const;
export const uint = { type: 'uint' } as const;
export const float = { type: 'float' } as const;
export const bool = { type: 'bool' } as const;
export const string = { type: 'string' } as const;
export const any = { type: 'any' } as const;

export const list = <K extends Kind>(item: K): { readonly type: 'list'; readonly item: K } => ({ type: 'list', item });
/** Maps merge one level: a child file adds keys and replaces values whole. */
export const map = <K extends Kind>(value: K): { readonly type: 'map'; readonly value: K } => ({ type: 'map', value });
/** Keys are byte sizes (`0`, `2GB`); the value's keys are numbers of bytes as text. */
export const byteSizeMap = <K extends Kind>(
  value: K,
): { readonly type: 'map'; readonly value: K; readonly key: 'byte-size' } => ({ type: 'map', value, key: 'byte-size' });
export const struct = <F extends Readonly<Record<string, Field>>>(
  fields: F,
): { readonly type: 'struct'; readonly fields: F } => ({ type: 'struct', fields });

export const key = <K extends Kind>(
  kind: K,
  says: string,
  defaultValue?: Field['default'],
): { readonly kind: K; readonly says: string; readonly default?: NonNullable<Field['default']> } =>
  defaultValue === undefined ? { kind, says } : { kind, says, default: defaultValue };
/** A key that Go's files carry and that has no effect here. */
export const ignored = <K extends Kind>(
  kind: K,
  says: string,
): { readonly kind: K; readonly says: string; readonly ignored: true } => ({ kind, says, ignored: true });

/** The TypeScript value of a kind. Durations are milliseconds, byte sizes bytes. */
export type Value<K extends Kind> = K extends { type: 'duration' | 'byte-size' | 'int' | 'uint' | 'float' }
  ? number
  : K extends { type: 'bool' }
    ? boolean
    : K extends { type: 'string' }
      ? string
      : K extends { type: 'list'; item: infer I extends Kind }
        ? Value<I>[]
        : K extends { type: 'map'; value: infer V extends Kind }
          ? Record<string, Value<V>>
          : K extends { type: 'struct'; fields: infer F extends Readonly<Record<string, Field>> }
            ? { -readonly [N in keyof F]: Value<F[N]['kind']> }
            : unknown;

/** The value of an absent key: Go's zero value (lists and maps are empty rather than nil). */
export function zeroOf(kind: Kind): unknown {
  switch (kind.type) {
    case 'duration':
    case 'byte-size':
    case 'int':
    case 'uint':
    case 'float':
      return 0;
    case 'bool':
      return false;
    case 'string':
      return '';
    case 'any':
      return null;
    case 'list':
      return [];
    case 'map':
      return {};
    case 'struct':
      return Object.fromEntries(Object.entries(kind.fields).map(([name, field]) => [name, zeroOf(field.kind)]));
  }
}

/** Replace zero values by defaults, in structs at any depth (not inside lists of structs that are absent). */
export function withDefaults(kind: Kind, value: unknown): unknown {
  if (kind.type === 'list') return (value as unknown[]).map((item) => withDefaults(kind.item, item));
  if (kind.type === 'map') {
    return Object.fromEntries(
      Object.entries(value as Record<string, unknown>).map(([name, item]) => [name, withDefaults(kind.value, item)]),
    );
  }
  if (kind.type !== 'struct') return value;
  const filled: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(kind.fields)) {
    const own = (value as Record<string, unknown>)[name];
    const isZero = own === 0 || own === '' || own === false || own === undefined;
    filled[name] =
      isZero && field.default !== undefined ? field.default : withDefaults(field.kind, own ?? zeroOf(field.kind));
  }
  return filled;
}
