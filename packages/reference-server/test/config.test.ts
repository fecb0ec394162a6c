import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { agentKeys, buildIndexKeys, originKeys, proxyKeys, trackerKeys } from '../dist/config/component-keys.js';
import { ConfigError, loadConfig } from '../dist/config/index.js';
import {
  any,
  bool,
  byteSize,
  byteSizeMap,
  duration,
  float,
  int,
  key,
  list,
  map,
  string,
  struct,
  uint,
  type Kind,
} from '../dist/config/schema.js';

interface VectorCase {
  kind: string;
  id?: string;
  scalar?: string;
  error?: string | null;
  value?: unknown;
  component?: string;
  yaml?: string;
  config?: Record<string, unknown>;
  files?: Record<string, string>;
  load_in_order?: string[];
  result?: Record<string, unknown>;
}
const vectors = JSON.parse(readFileSync(new URL('../test/fixtures/vectors/config.json', import.meta.url), 'utf8')) as {
  cases: VectorCase[];
};

const point = struct({ x: key(int, ''), w: key(int, '') });
/** The structure that the `load` vectors use. */
const vectorKeys = struct({
  a: key(int, ''),
  b: key(string, ''),
  bo: key(bool, ''),
  u: key(uint, ''),
  f: key(float, ''),
  l: key(list(string), ''),
  m: key(map(int), ''),
  mm: key(map(map(int)), ''),
  ml: key(map(list(string)), ''),
  ms: key(map(point), ''),
  s: key(
    struct({
      x: key(int, ''),
      w: key(int, ''),
      l: key(list(int), ''),
      n: key(struct({ p: key(int, ''), q: key(int, '') }), ''),
    }),
    '',
  ),
  ls: key(list(point), ''),
  d: key(duration, ''),
  z: key(byteSize, ''),
  mz: key(byteSizeMap(byteSize), ''),
  any: key(map(any), ''),
  notag: key(int, ''),
});

function inDirectory<T>(files: Record<string, string>, use: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'kraken-config-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), text.replaceAll('$DIR', dir));
    }
    return use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const load = (keys: Kind, files: string[], unknownKeys: 'error' | 'ignore' = 'ignore', defaults = false): unknown =>
  loadConfig(keys, files, { unknownKeys, defaults }).config;

/** Go's values in our units: durations ms, sizes bytes, nil collections empty. */
function ours(kind: Kind, value: unknown): unknown {
  if (value === null || value === undefined) return kind.type === 'list' ? [] : kind.type === 'map' ? {} : null;
  if (kind.type === 'duration') return Number((value as { $duration_ns: number | string }).$duration_ns) / 1e6;
  if (kind.type === 'byte-size') return (value as { $bytes: number }).$bytes;
  if (kind.type === 'list') return (value as unknown[]).map((item) => ours(kind.item, item));
  if (kind.type === 'map')
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, ours(kind.value, item)]));
  if (kind.type === 'struct')
    return Object.fromEntries(
      Object.entries(kind.fields).map(([name, field]) => [
        name,
        ours(field.kind, (value as Record<string, unknown>)[name]),
      ]),
    );
  if (kind.type === 'float' && value === '+Inf') return Infinity;
  if ((kind.type === 'int' || kind.type === 'uint') && typeof value === 'string') return Number(value);
  return value;
}

const SCALARS: Record<string, Kind> = {
  duration,
  byte_size: byteSize,
  uint64: uint,
  int,
  float,
  bool,
  string,
  list: list(string),
};
for (const [kindName, kind] of Object.entries(SCALARS)) {
  test(`vectors: every ${kindName} scalar reads as in Go`, (t) => {
    const cases = vectors.cases.filter((c) => c.kind === kindName);
    t.is(
      cases.length,
      { duration: 33, byte_size: 10, uint64: 17, int: 12, float: 7, bool: 18, string: 16, list: 7 }[kindName] ?? -1,
    );
    for (const c of cases) {
      inDirectory({ 'c.yaml': `v: ${c.scalar ?? ''}\n` }, (dir) => {
        const read = (): unknown => (load(struct({ v: key(kind, '') }), [join(dir, 'c.yaml')]) as { v: unknown }).v;
        if (c.error == null) t.deepEqual(read(), ours(kind, c.value), `${kindName} ${c.scalar}`);
        else t.throws(read, { instanceOf: ConfigError }, `${kindName} ${c.scalar}`);
      });
    }
  });
}

/** `load` cases whose result ours cannot equal. */
const LOAD_LEFT_OUT: Record<string, string> = {
  'yaml11-booleans-in-free-maps': 'checked by its own test: dates and sexagesimals in untyped values stay text here',
};

test('vectors: files load, extend and overlay as in Go', (t) => {
  const cases = vectors.cases.filter((c) => c.kind === 'load');
  t.is(cases.length, 43);
  for (const c of cases) {
    if (c.id !== undefined && c.id in LOAD_LEFT_OUT) continue;
    inDirectory(c.files ?? {}, (dir) => {
      const read = (): unknown =>
        load(
          vectorKeys,
          (c.load_in_order ?? []).map((name) => join(dir, name)),
        );
      if (c.error == null) t.deepEqual(read(), ours(vectorKeys, c.result), c.id);
      else t.throws(read, { instanceOf: ConfigError }, c.id);
    });
  }
});

test('untyped values follow YAML 1.1: plain y and on are booleans, quoted ones are text', (t) => {
  inDirectory(
    { 'c.yaml': 'any: {a: y, b: on, c: "y", d: 010, e: 1_000, f: 0x10, n: {yes: 1}}\nb: y\nl: [y, on]\n' },
    (dir) => {
      const value = load(vectorKeys, [join(dir, 'c.yaml')]) as Record<string, unknown>;
      t.like(value['any'], { a: true, b: true, c: 'y', d: 8, e: 1000, f: 16 });
      t.is(value['b'], 'y');
      t.deepEqual(value['l'], ['y', 'on']);
    },
  );
});

const COMPONENTS: Record<string, Kind> = {
  agent: agentKeys,
  origin: originKeys,
  tracker: trackerKeys,
  proxy: proxyKeys,
  'build-index': buildIndexKeys,
};

test('vectors: defaults equal Go’s for every key that has an effect', (t) => {
  const cases = vectors.cases.filter((c) => c.kind === 'defaults');
  t.is(cases.length, 5);
  for (const c of cases) {
    const keys = COMPONENTS[c.component ?? ''];
    t.truthy(keys, c.component);
    inDirectory({ 'c.yaml': '{}\n' }, (dir) => {
      const got = load(keys as Kind, [join(dir, 'c.yaml')], 'error', true) as Record<string, unknown>;
      compareUsed(t, keys as Kind, got, c.config, c.component ?? '');
    });
  }
});

/** Keys, or defaults of keys, that are ours on purpose; see docs/CONFIG.md. */
const OUR_DEFAULTS = new Set([
  'agent.scheduler.dispatch.piece_request_policy',
  'origin.scheduler.dispatch.piece_request_policy',
  'agent.scheduler.swarm_policy',
  'origin.scheduler.swarm_policy',
  'agent.peer_id_factory',
  'origin.peer_id_factory',
  'tracker.peerhandoutpolicy.priority',
  'agent.integrity',
  'origin.integrity',
  'agent.record',
  'origin.record',
  ...Object.keys(COMPONENTS).flatMap((name) => [`${name}.tls.peer`, `${name}.tls.reload_interval`]),
]);
/** Defaults that Go derives from another key; zero here means the same. */
const DERIVED =
  /\.(max_mutual_conn|pipeline_limit|origin_pipeline_limit|endgame_threshold|aggressive_ttL|level|tag_policy)$/;

function compareUsed(
  t: { deepEqual(a: unknown, b: unknown, m?: string): void },
  kind: Kind,
  got: unknown,
  want: unknown,
  path: string,
): void {
  if (OUR_DEFAULTS.has(path) || DERIVED.test(path) || /^[^.]+\.access\b/.test(path)) return;
  if (kind.type !== 'struct') {
    t.deepEqual(got, ours(kind, want), path);
    return;
  }
  for (const [name, field] of Object.entries(kind.fields)) {
    if (field.ignored === true) continue;
    compareUsed(
      t,
      field.kind,
      (got as Record<string, unknown>)[name],
      (want as Record<string, unknown> | null | undefined)?.[name],
      `${path}.${name}`,
    );
  }
}

test('all problems are reported at once, with key, line and a suggestion', (t) => {
  inDirectory({ 'c.yaml': 'scheduler:\n  seder_tti: 5m\n  conn_tti: soon\nnonsense: 1\ntracker: [1]\n' }, (dir) => {
    const error = t.throws<ConfigError>(() => load(agentKeys, [join(dir, 'c.yaml')], 'error'), {
      instanceOf: ConfigError,
    });
    t.is(error.problems.length, 4);
    t.true(
      error.problems.some((p) => p.key === 'scheduler.seder_tti' && p.expected.includes('seeder_tti') && p.line === 2),
    );
    t.true(error.problems.some((p) => p.key === 'scheduler.conn_tti' && p.got.includes('soon')));
    t.true(error.problems.some((p) => p.key === 'tracker' && p.got === 'a list'));
  });
});

test('keys of Go without effect here warn, and do not stop the start', (t) => {
  inDirectory(
    {
      'c.yaml':
        'nginx: {name: kraken-tracker, cache_dir: /x}\nlogging: {a: 1}\ntrackerserver: {get_metainfo_limit: 2s}\n',
    },
    (dir) => {
      const { warnings } = loadConfig(trackerKeys, [join(dir, 'c.yaml')]);
      t.deepEqual([...warnings].sort(), ['logging', 'nginx', 'trackerserver.get_metainfo_limit']);
    },
  );
});
