/**
 * Go's command-line flags: `-x v`, `-x=v`, `--x=v`; booleans as `-x`. Values stay text here, but integers are
 * checked. Source: spec tracker-agent-ring.md §8, index-proxy-registry-config.md §6.2.
 */

/** How a flag is read. `ints` may be repeated. */
export type FlagType = 'text' | 'int' | 'ints' | 'flag';

export interface FlagSpec {
  readonly type: FlagType;
  readonly says: string;
}

export type FlagValues<S extends Readonly<Record<string, FlagSpec>>> = {
  [N in keyof S]?: S[N]['type'] extends 'text'
    ? string
    : S[N]['type'] extends 'int'
      ? number
      : S[N]['type'] extends 'ints'
        ? number[]
        : boolean;
};

/** A flag that cannot be understood: the process prints the usage and exits with code 2, as Go does. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/**
 * @returns the flags that were given
 * @throws UsageError for an unknown flag, a missing or malformed value, or an extra argument
 */
export function parseFlags<S extends Readonly<Record<string, FlagSpec>>>(
  specs: S,
  args: readonly string[],
): FlagValues<S> {
  const values: Record<string, unknown> = {};
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    const match = /^--?([a-z][a-z0-9-]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) throw new UsageError(`unexpected argument: ${arg}`);
    const [, name = '', inline] = match;
    const spec = specs[name];
    if (spec === undefined) throw new UsageError(`flag provided but not defined: -${name}`);
    if (spec.type === 'flag') {
      if (inline !== undefined && !['true', 'false', '1', '0'].includes(inline))
        throw new UsageError(`invalid boolean value "${inline}" for -${name}`);
      values[name] = inline === undefined || inline === 'true' || inline === '1';
      continue;
    }
    const value = inline ?? args[++i];
    if (value === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    if (spec.type === 'text') {
      values[name] = value;
      continue;
    }
    if (!/^[0-9]{1,9}$/.test(value))
      throw new UsageError(`invalid value "${value}" for flag -${name}: expected an integer`);
    if (spec.type === 'int') values[name] = Number(value);
    else values[name] = [...((values[name] as number[] | undefined) ?? []), Number(value)];
  }
  return values as FlagValues<S>;
}

/** Lines for `--help` and usage errors. */
export function describeFlags(specs: Readonly<Record<string, FlagSpec>>): string {
  const names = Object.keys(specs);
  const width = Math.max(...names.map((name) => name.length));
  return names.map((name) => `  --${name.padEnd(width)}  ${specs[name]?.says ?? ''}`).join('\n');
}

const text = (says: string): { type: 'text'; says: string } => ({ type: 'text', says });
const int = (says: string): { type: 'int'; says: string } => ({ type: 'int', says });

const common = {
  config: text('configuration file (YAML); required'),
  secrets: text('second configuration file, laid over the first'),
  cluster: text('name of the cluster, for peer contexts and metrics'),
  'mutex-profile-fraction': int('accepted for compatibility; no effect'),
} as const;
const peer = {
  zone: text('availability zone, for the peer context'),
  'peer-ip': text(
    'address announced to peers; default: the first of eth0, ib0, eth1, eth2, else the first non-loopback IPv4',
  ),
  'peer-port': int('port of the peer protocol; required'),
  record: text('file for a recording of the swarm engine, for npm run replay; replaces record.path of the file'),
} as const;

/** Flags of each role. */
export const ROLE_FLAGS = {
  agent: {
    ...common,
    ...peer,
    'agent-server-port': int('port of the agent API; required'),
    'agent-registry-port': int('port of the registry; required'),
  },
  origin: {
    ...common,
    ...peer,
    'blobserver-port': int('port of the blob server, part of the ring identity; required'),
    'blobserver-hostname': text('identity in the ring; default: the host name'),
  },
  tracker: { ...common, port: int('port of the tracker; required') },
  'build-index': { ...common, port: int('port of the build-index; required') },
  proxy: { ...common, port: { type: 'ints', says: 'port of the registry; required; may be repeated' } },
} as const satisfies Record<string, Record<string, FlagSpec>>;

export type RoleName = keyof typeof ROLE_FLAGS;
