/**
 * The JSON that Go's `reload` tool sends to `PATCH /x/config/scheduler` → settings of the swarm engine. Owns the
 * names: Go's field names are our YAML keys without underscores, in any case, but for a few. Never maps settings:
 * the body becomes a value of the `scheduler` block, and that block has its one mapping.
 * Source: spec p2p.md §4.7, tracker-agent-ring.md §7.2.
 */
import { KrakenError } from '@kraken/core/errors';
import { PIECE_CHOICES } from '@kraken/core/policy';
import type { SwarmConfig } from '@kraken/core/swarm';
import type { Bandwidth } from '@kraken/p2p';
import { bandwidthOf, swarmSettings } from '../roles/swarm-settings.js';
import type { AgentConfig } from './component-keys.js';
import { configFromValues } from './from-values.js';
import { formatProblem, type Problem } from './problems.js';
import type { Field, Kind } from './schema.js';
import { scheduler as schedulerField } from './shared-keys.js';

/** Lower-case names of the Go fields that are not their YAML key without underscores. */
const GO_NAMES: Readonly<Record<string, string>> = {
  max_open_conn: 'maxopenconnectionspertorrent',
  max_mutual_conn: 'maxmutualconnections',
  pipeline_limit: 'agentpipelinelimit',
};

export interface SchedulerFromJson {
  /** The `scheduler` block with defaults filled in. */
  readonly scheduler: AgentConfig['scheduler'];
  /** Dotted paths, as they came, of fields that nobody knows or that have no effect here. Go ignores the former too. */
  readonly ignored: readonly string[];
}

export interface SwarmFromJson {
  readonly swarm: Omit<SwarmConfig, 'peerId' | 'role'>;
  readonly bandwidth: Bandwidth;
  /** See {@link SchedulerFromJson.ignored}. */
  readonly ignored: readonly string[];
}

/**
 * Settings from a parsed body. The body replaces the configuration: what it leaves out gets its default, whatever the
 * configuration file says. Durations are integer nanoseconds.
 * @throws KrakenError `request-invalid` with every problem found
 */
export function swarmConfigFromGoJson(value: unknown): SwarmFromJson {
  const { scheduler, ignored } = schedulerFromGoJson(value);
  return { swarm: swarmSettings(scheduler), bandwidth: bandwidthOf(scheduler), ignored };
}

/** The `scheduler` block that a body means. @throws KrakenError `request-invalid` with every problem found */
export function schedulerFromGoJson(value: unknown): SchedulerFromJson {
  const reader = new Reader();
  const values = reader.read(schedulerField.kind, value, undefined, '') ?? {};
  const scheduler = configFromValues<AgentConfig['scheduler']>(schedulerField.kind, values);
  const policy = scheduler.dispatch.piece_request_policy;
  if (policy !== '' && !Object.hasOwn(PIECE_CHOICES, policy)) {
    const expected = `one of ${Object.keys(PIECE_CHOICES).join(', ')}`;
    reader.problems.push({ key: 'Dispatch.PieceRequestPolicy', got: JSON.stringify(policy), expected });
  }
  if (reader.problems.length > 0) {
    throw new KrakenError(
      'request-invalid',
      `invalid scheduler configuration:\n${reader.problems.map(formatProblem).join('\n')}`,
      { detail: reader.problems },
    );
  }
  return { scheduler, ignored: reader.ignored };
}

/** Lays JSON over what came before, as Go's decoder does: `null` changes nothing, a repeated object merges. */
class Reader {
  readonly problems: Problem[] = [];
  readonly ignored: string[] = [];

  /** @returns the new value, `undefined` when there is none yet */
  read(kind: Kind, value: unknown, previous: unknown, path: string): unknown {
    if (value === null || value === undefined) return previous;
    if (kind.type === 'struct') {
      if (typeof value === 'object' && !Array.isArray(value)) {
        return this.#readStruct(kind.fields, value, previous ?? {}, path);
      }
    } else if (kind.type === 'list') {
      if (Array.isArray(value)) {
        const items = value.map((item, n) => this.read(kind.item, item, undefined, `${path}[${n}]`));
        // What could not be read has been noted.
        return items.filter((item) => item !== undefined);
      }
    } else {
      const read = readScalar(kind, value);
      if (read !== undefined) return read;
    }
    const expected = EXPECTED[kind.type] ?? 'nothing';
    this.problems.push({ key: path === '' ? 'body' : path, got: describe(value), expected });
    return previous;
  }

  #readStruct(fields: Readonly<Record<string, Field>>, value: object, previous: object, path: string): unknown {
    const keys = new Map(Object.keys(fields).map((key) => [GO_NAMES[key] ?? key.replaceAll('_', ''), key]));
    const merged: Record<string, unknown> = { ...previous };
    for (const [name, item] of Object.entries(value)) {
      const at = path === '' ? name : `${path}.${name}`;
      const key = keys.get(name.toLowerCase());
      const field = key === undefined ? undefined : fields[key];
      if (key === undefined || field === undefined || field.ignored === true) {
        this.ignored.push(at);
        continue;
      }
      const read = this.read(field.kind, item, merged[key], at);
      if (read !== undefined) merged[key] = read;
    }
    return merged;
  }
}

const EXPECTED: Readonly<Partial<Record<Kind['type'], string>>> = {
  struct: 'an object',
  list: 'a list',
  float: 'a number',
  duration: 'an integer number of nanoseconds ≥ 0',
  int: 'an integer ≥ 0',
  uint: 'an integer ≥ 0',
  bool: 'true or false',
  string: 'text',
};

const NS_PER_MS = 1e6;

/** @returns `undefined` when `value` is not of the kind */
function readScalar(kind: Kind, value: unknown): unknown {
  switch (kind.type) {
    case 'bool':
      return typeof value === 'boolean' ? value : undefined;
    case 'string':
      return typeof value === 'string' ? value : undefined;
    case 'float':
      return typeof value === 'number' ? value : undefined;
    case 'int':
    case 'uint':
    case 'duration':
      // Go takes negative numbers and then misbehaves.
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= 2 ** 63) return undefined;
      return kind.type === 'duration' ? value / NS_PER_MS : value;
    default:
      return undefined;
  }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : JSON.stringify(value);
}
