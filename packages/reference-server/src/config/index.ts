export { ConfigError, formatProblem, type Problem } from './problems.js';
export { loadConfig, type LoadedConfig } from './load.js';
export type { Field, Kind, Value } from './schema.js';
