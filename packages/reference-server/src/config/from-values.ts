/** Configurations made in code instead of files: values laid over zero, then defaults. */
import { withDefaults, zeroOf, type Kind } from './schema.js';

/**
 * @typeParam Config the value type of `schema`
 * @param values any part of it; unknown keys are a programming error and are not checked
 */
export function configFromValues<Config>(schema: Kind, values: object): Config {
  return withDefaults(schema, overlay(zeroOf(schema), values)) as Config;
}

function overlay(base: unknown, over: unknown): unknown {
  if (typeof base !== 'object' || base === null || Array.isArray(base)) return over;
  if (typeof over !== 'object' || over === null || Array.isArray(over)) return over;
  const merged: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(over))
    merged[name] = name in merged ? overlay(merged[name], value) : value;
  return merged;
}
