/**
 * Reads the fields of a JSON object as Go fills a struct: keys match without regard to case, unknown keys are
 * ignored, `null` leaves a field alone, of duplicates the last wins, and nested structs are filled by each of
 * their duplicates in turn. Source: spec tracker-agent-ring.md §0.1, corrections 5 and 6.
 */
import { KrakenError } from '../errors/index.js';
import { GoJsonNumber, GoJsonObject, type GoJson } from './go-json.js';

/** `value` as a struct. `null` is an empty one. @throws KrakenError `request-invalid` for anything else */
export function asObject(value: GoJson, what: string): GoJsonObject {
  if (value === null) return new GoJsonObject([]);
  if (!(value instanceof GoJsonObject)) throw wrongType(what, 'object', value);
  return value;
}

/** The value of a field by Go's rules; `undefined` when it is absent or `null` every time. */
export function getField(object: GoJsonObject, name: string): GoJson | undefined {
  return lastField(object, name, (value) => value);
}

/** A struct field: the entries of all its duplicates in order. */
export function getObject(object: GoJsonObject, name: string): GoJsonObject {
  const entries: GoJsonObject['entries'][number][] = [];
  lastField(object, name, (value) => {
    for (const entry of asObject(value, name).entries) entries.push(entry);
  });
  return new GoJsonObject(entries);
}

/** A string field; '' when absent. */
export function getString(object: GoJsonObject, name: string): string {
  const value = lastField(object, name, (field) => {
    if (typeof field !== 'string') throw wrongType(name, 'string', field);
    return field;
  });
  return value ?? '';
}

/** A bool field; false when absent. */
export function getBoolean(object: GoJsonObject, name: string): boolean {
  const value = lastField(object, name, (field) => {
    if (typeof field !== 'boolean') throw wrongType(name, 'boolean', field);
    return field;
  });
  return value ?? false;
}

/**
 * An integer field; 0 when absent. Values that Go's int64 takes but a safe integer cannot hold are refused too.
 * @param min smallest allowed value, default -(2^53-1)
 * @param max largest allowed value, default 2^53-1
 */
export function getInteger(
  object: GoJsonObject,
  name: string,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): number {
  return lastField(object, name, (field) => asInteger(field, name, min, max)) ?? 0;
}

/** A list field; empty when absent. */
export function getArray(object: GoJsonObject, name: string): readonly GoJson[] {
  const value = lastField(object, name, (field) => {
    if (!isArray(field)) throw wrongType(name, 'array', field);
    return field;
  });
  return value ?? [];
}

/** `value` as an integer from `min` to `max`. @throws KrakenError `request-invalid` */
export function asInteger(value: GoJson, what: string, min: number, max: number): number {
  if (typeof value !== 'number' || value < min || value > max) {
    throw wrongType(what, `integer ${min}..${max}`, value);
  }
  return value;
}

/** Whether `value` is a list. */
export function isArray(value: GoJson): value is readonly GoJson[] {
  return Array.isArray(value);
}

/** Every value of the field is converted, so that a wrong type in an early duplicate is an error as in Go. */
function lastField<T>(object: GoJsonObject, name: string, convert: (value: GoJson) => T): T | undefined {
  const wanted = fold(name);
  let last: T | undefined;
  for (const [key, value] of object.entries) {
    if (value !== null && (key === name || fold(key) === wanted)) last = convert(value);
  }
  return last;
}

/** Go also folds the two letters outside ASCII whose simple case folding lies inside: U+017F and U+212A. */
function fold(key: string): string {
  return key.toLowerCase().replaceAll('\u017f', 's');
}

/** The error for a value of the wrong type. Says the kind of the value, never its content. */
export function wrongType(what: string, expected: string, got: GoJson): KrakenError {
  return new KrakenError('request-invalid', `json: ${what} expected ${expected}, got ${kindOf(got)}`);
}

function kindOf(value: GoJson): string {
  if (value === null) return 'null';
  if (typeof value === 'number') return `number ${value}`;
  if (value instanceof GoJsonNumber) return `number ${value.text.slice(0, 40)}`;
  if (isArray(value)) return 'array';
  return value instanceof GoJsonObject ? 'object' : typeof value;
}
