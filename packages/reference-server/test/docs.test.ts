import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { stringify } from 'yaml';
import { ERRORS } from '@kraken/core/errors';
import { agentKeys, buildIndexKeys, originKeys, proxyKeys, trackerKeys } from '../dist/config/component-keys.js';
import { loadConfig } from '../dist/config/index.js';
import type { Kind } from '../dist/config/schema.js';
import { BLOB, openProbes } from './malformed-probes.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const COMPONENTS: Readonly<Record<string, Kind>> = {
  agent: agentKeys,
  origin: originKeys,
  tracker: trackerKeys,
  'build-index': buildIndexKeys,
  proxy: proxyKeys,
};

async function inDirectory<T>(use: (dir: string) => T | Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'kraken-docs-'));
  try {
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Cells of the table rows below a heading. */
function rowsBelow(document: string, heading: string): string[][] {
  const section = document.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
    .map((line) =>
      line
        .slice(2, -2)
        .split(' | ')
        .map((cell) => cell.replaceAll('\\|', '|')),
    );
}

const generate = (...args: string[]): { status: number | null; stderr: string } => {
  const script = join(root, 'scripts/generate-docs.mjs');
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', cwd: root });
};

test('the generated documents are up to date, and the check notices when they are not', async (t) => {
  const { status, stderr } = generate('--check');
  t.is(status, 0, stderr);
  await inDirectory((dir) => {
    cpSync(join(root, 'docs/CONFIG.md'), join(dir, 'CONFIG.md'));
    writeFileSync(join(dir, 'ERRORS.md'), '# Errors\n');
    const stale = generate('--check', '--docs', dir);
    t.is(stale.status, 1);
    t.deepEqual(stale.stderr.match(/[A-Z]+\.md/g), ['ERRORS.md', 'VECTORS.md']);
  });
});

test('every code of the catalogue has its row in docs/ERRORS.md', (t) => {
  const rows = rowsBelow(readFileSync(join(root, 'docs/ERRORS.md'), 'utf8'), 'Catalogue');
  t.deepEqual(
    rows.map(([code, , retry, http]) => [code, retry, http]),
    Object.entries(ERRORS).map(([code, { retry, http }]) => [`\`${code}\``, retry, String(http)]),
  );
});

test('every key is documented, and none without words', (t) => {
  const manual = readFileSync(join(root, 'docs/CONFIG.md'), 'utf8');
  const walk = (kind: Kind, path: string, section: string): void => {
    if (kind.type !== 'struct') return;
    for (const [name, field] of Object.entries(kind.fields)) {
      const at = path === '' ? name : `${path}.${name}`;
      t.true(section.includes(`\`${at}`), at);
      t.true(field.says !== '', `${at} says nothing`);
      if (field.ignored === true) continue;
      if (field.kind.type === 'list') walk(field.kind.item, `${at}[]`, section);
      else walk(field.kind, at, section);
    }
  };
  for (const [name, kind] of Object.entries(COMPONENTS)) {
    const section = manual.split(`\n## ${name}\n`)[1]?.split('\n## ')[0] ?? '';
    walk(kind, '', section);
  }
});

test('malformed input is answered as docs/ERRORS.md says', async (t) => {
  const rows = rowsBelow(readFileSync(join(root, 'docs/ERRORS.md'), 'utf8'), 'Malformed input');
  t.is(rows.length, 43);
  await inDirectory(async (dir) => {
    const { probes, close } = await openProbes(dir);
    try {
      t.deepEqual(
        rows.map(([where, input]) => `${where}: ${input}`),
        Object.keys(probes),
      );
      for (const [where = '', input = '', answer = '', codeCell = ''] of rows) {
        const row = `${where}: ${input}`;
        const code = codeCell === '–' ? undefined : codeCell.replaceAll('`', '');
        const probe = probes[row];
        const seen = probe === undefined ? undefined : await probe();
        if (seen === undefined) t.fail(row);
        else if ('codes' in seen) for (const got of seen.codes) t.is(got, code ?? '', row);
        else {
          const status = Number(answer.slice(0, 3));
          for (const got of seen.answers) {
            t.is(got.status, status, row);
            if (where.startsWith('registry')) t.is(got.code, code, row);
            // Elsewhere the code is not on the wire, but it fixes the status.
            else if (code !== undefined) t.is(ERRORS[code as keyof typeof ERRORS].http, status, row);
            if (answer.includes('whole blob')) t.is(got.length, BLOB.length, row);
            if (answer.includes('Content-Range: bytes')) t.is(got.headers['content-range'], `bytes */${BLOB.length}`);
            if (answer.includes('`Range` says')) t.is(got.headers.range, '0-0', row);
            if (answer.includes('`Allow`')) t.truthy(got.headers.allow, row);
          }
        }
      }
    } finally {
      await close();
    }
  });
});

test('every example file loads without a problem or a key that has no effect', (t) => {
  const examples = join(root, 'examples/cluster');
  for (const directory of [examples, join(examples, 'tls')]) {
    const files = readdirSync(directory).filter((name) => name.endsWith('.yaml'));
    t.deepEqual(
      files.sort(),
      Object.keys(COMPONENTS)
        .map((name) => `${name}.yaml`)
        .sort(),
    );
    for (const name of files) {
      const kind = COMPONENTS[name.replace('.yaml', '')];
      if (kind === undefined) throw new Error(name);
      const { config, warnings, presentKeys } = loadConfig<Example>(kind, [join(directory, name)]);
      t.deepEqual(warnings, [], name);
      t.true(presentKeys.has('access'), name);
      t.is(config.access.listen, '127.0.0.1');
      const isTls = directory !== examples;
      t.is(config.tls.server.disabled, !isTls, name);
      t.is(config.tls.client.disabled, !isTls, name);
      t.is(config.access.loopback_needs_certificate, isTls, name);
    }
  }
});

interface Example {
  readonly access: { readonly listen: string; readonly loopback_needs_certificate: boolean };
  readonly tls: { readonly server: { readonly disabled: boolean }; readonly client: { readonly disabled: boolean } };
}

interface ConfigCase {
  readonly kind: string;
  readonly component: string;
  readonly yaml?: string;
  readonly config: Record<string, unknown>;
}
const { cases } = JSON.parse(
  readFileSync(new URL('../test/fixtures/vectors/config.json', import.meta.url), 'utf8'),
) as { cases: ConfigCase[] };

/** Recorded values as a file would state them: without what is zero, durations and sizes as text. */
function fileValue(value: unknown): unknown {
  if (value === null || value === '' || value === false || value === 0) return undefined;
  if (value === '$time_encoder') return 'iso8601';
  if (Array.isArray(value)) return value.map(fileValue);
  if (typeof value !== 'object') return value;
  if ('$duration_ns' in value) return value.$duration_ns === 0 ? undefined : `${Number(value.$duration_ns) / 1e6}ms`;
  if ('$bytes' in value) return value.$bytes === 0 ? undefined : String(value.$bytes);
  const kept = Object.entries(value).flatMap(([name, item]) => {
    const inner = fileValue(item);
    return inner === undefined ? [] : [[name, inner] as const];
  });
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** Children that the vectors do not have, in the manner of a deployment. Dead keys of Kraken's samples included. */
const MORE_CHILDREN: readonly { component: string; yaml: string }[] = [
  {
    component: 'build-index',
    yaml: `extends: $BASE
origin: {hosts: {dns: "origin:80"}}
cluster: {hosts: {dns: "build-index:80"}, healthcheck: {disabled: true}}
backends:
- namespace: library/.*
  backend: {testfs: {addr: "testfs:80", root: tags, name_path: docker_tag}}
  bandwidth: {enable: true, egress_bits_per_sec: 8589934592}
tagserver: {cache: {ttl: 5m}, duplicate_replicate_stagger: 20m}
tag_types:
- {namespace: library/.*, type: docker, root: tags}
- {namespace: .*, type: default}
remotes: {"index.zone-b:443": [library/.*]}
writeback: {retry_interval: 1m, sync_retry_backoff: {enabled: true, max_retries: 3}}
metrics: {backend: statsd, statsd: {host_port: "statsd:8125", prefix: kraken}}
`,
  },
  {
    component: 'proxy',
    yaml: `extends: $BASE
origin: {hosts: {static: ["origin1:15002", "origin2:15002"]}}
build_index: {hosts: {dns: "build-index:80"}}
registry: {docker: {notifications: {endpoints: [{name: x, url: "http://hook/"}]}}}
server: {prefetch_min_blob_size: 1MB}
tls:
  name: kraken
  cas: [{path: /etc/kraken/tls/ca/server.crt}]
  server: {cert: {path: /etc/kraken/tls/ca/server.crt}, key: {path: /etc/kraken/tls/ca/server.key}}
  client: {cert: {path: /etc/kraken/tls/client/client.crt}, key: {path: /etc/kraken/tls/client/client.key}}
`,
  },
  { component: 'tracker', yaml: 'extends: $BASE\nlogging: {level: debug}\norigin: {hosts: {dns: "origin:80"}}\n' },
  {
    component: 'agent',
    yaml: `extends: $BASE
registry_backup: backup.example:443
container_runtime: {containerd: {address: /run/containerd/containerd.sock}}
tracker: {hosts: {dns: "tracker:80"}, healthcheck: {fails: 5, fail_timeout: 1m}}
build_index: {hosts: {dns: "build-index:80"}}
network_event: {enabled: true, log_path: /var/log/kraken/kraken-agent/network-events}
`,
  },
];

/** The keys with an effect must have the values that Go read. */
function compareUsed(
  t: { deepEqual(a: unknown, b: unknown, m?: string): unknown },
  kind: Kind,
  got: unknown,
  recorded: unknown,
  path: string,
): void {
  if (kind.type === 'struct') {
    for (const [name, field] of Object.entries(kind.fields)) {
      if (field.ignored === true) continue;
      const below = (recorded as Record<string, unknown> | null | undefined)?.[name];
      compareUsed(t, field.kind, (got as Record<string, unknown>)[name], below, `${path}.${name}`);
    }
    return;
  }
  if (kind.type === 'list' && kind.item.type === 'string') t.deepEqual(got, recorded ?? [], path);
  if (kind.type === 'list' || kind.type === 'map') return;
  const value = recorded as { $duration_ns?: number; $bytes?: number } | null | undefined;
  const want = value?.$duration_ns === undefined ? (value?.$bytes ?? value) : value.$duration_ns / 1e6;
  if (want !== undefined && want !== null) t.deepEqual(got, want, path);
}

/** Tests that a cell of docs/WEAKNESSES.md names: `[file](../path) “title”`. */
const testsNamed = (cell: string): { path: string; title: string }[] =>
  [...cell.matchAll(/\]\(\.\.\/([^)]+)\) “([^”]+)”/g)].map(([, path = '', title = '']) => ({ path, title }));

/** Whether a test with this title, as it stands in the source, is in the file. */
function hasTest(path: string, title: string): boolean {
  const quoted = title.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  const source = readFileSync(join(root, path), 'utf8');
  return path.endsWith('.test.ts') && new RegExp(`\\btest(?:\\.serial)?\\(\\s*(['"\`])${quoted}\\1,`).test(source);
}

test('docs/WEAKNESSES.md has all 46, and every test and file that it names exists', (t) => {
  t.true(hasTest('packages/reference-server/test/docs.test.ts', 'every key is documented, and none without words'));
  t.false(hasTest('packages/reference-server/test/docs.test.ts', 'every key is documented'), 'a part of a title');
  const document = readFileSync(join(root, 'docs/WEAKNESSES.md'), 'utf8');
  const weaknesses = rowsBelow(document, 'Weaknesses');
  t.deepEqual(
    weaknesses.map(([number]) => Number(number)),
    Array.from({ length: 46 }, (_, n) => n + 1),
  );
  const named: { path: string; title: string }[] = [];
  for (const [number = '', there = '', here = '', seenTo = '', shownBy = ''] of weaknesses) {
    t.true(there.length > 10 && here.length > 5, number);
    const [, source = ''] = /^\[[^\]]+\]\(\.\.\/(packages\/[^)]+\/src\/[^)]+\.ts)\)$/.exec(seenTo) ?? [];
    t.true(source !== '' && existsSync(join(root, source)), `${number}: ${seenTo}`);
    t.true(testsNamed(shownBy).length > 0, number);
    named.push(...testsNamed(shownBy));
  }
  const states = weaknesses.map((row) => row[5]?.trim() ?? '').filter((state) => state !== '');
  t.true(states.every((state) => state === 'kept' || state === 'open'));
  t.deepEqual([states.filter((state) => state === 'open').length, states.length], [0, 3], 'open, and kept or open');

  const clauses = rowsBelow(document, 'Agreed on the wire and on disk');
  t.is(clauses.length, 25);
  const marked = ['1.2, 1.3', '1.6', '2.2', '2.5', '6.2'];
  t.deepEqual(
    marked.filter((section) => !clauses.some(([at]) => at === section)),
    [],
    'what the notes mark as binding',
  );
  for (const [section = '', , shownBy = ''] of clauses) {
    t.true(testsNamed(shownBy).length > 0, section);
    named.push(...testsNamed(shownBy));
  }
  t.true(named.length > 100, `${named.length} tests`);
  for (const { path, title } of named) t.true(hasTest(path, title), `${path}: ${title}`);
});

test('files of a Go deployment load unchanged: Kraken’s base files, and children of them', async (t) => {
  const bases = cases.filter(({ kind }) => kind === 'base_yaml');
  const children = cases.filter(({ kind }) => kind === 'extends_base');
  t.is(bases.length, 5);
  t.is(children.length, 3);
  await inDirectory((dir) => {
    for (const { component, config } of bases) {
      const kind = COMPONENTS[component];
      if (kind === undefined) throw new Error(component);
      const file = join(dir, `${component}.yaml`);
      writeFileSync(file, stringify(fileValue(config)));
      const loaded = loadConfig(kind, [file], { defaults: false });
      t.true(loaded.warnings.includes('nginx'), component);
      compareUsed(t, kind, loaded.config, config, component);
    }
    for (const { component, yaml = '', config } of [
      ...children,
      ...MORE_CHILDREN.map((child) => ({ ...child, config: undefined })),
    ]) {
      const kind = COMPONENTS[component];
      if (kind === undefined) throw new Error(component);
      const file = join(dir, `child-of-${component}.yaml`);
      writeFileSync(file, yaml.replace('$BASE', `${component}.yaml`));
      const loaded = loadConfig(kind, [file], { defaults: false });
      t.true(loaded.warnings.includes('nginx'), component);
      if (config !== undefined) compareUsed(t, kind, loaded.config, config, `child of ${component}`);
    }
  });
});

test('every end-to-end test file is a suite of its own, with a time limit', async (t) => {
  const { e2eSuites } = (await import(join(root, 'scripts/lib/e2e-suites.mjs'))) as {
    e2eSuites: { args: string[]; limitSeconds: number }[];
  };
  const run = e2eSuites.flatMap(({ args }) => args.filter((arg) => arg.endsWith('.e2e.test.js')));
  const files = ['backends', 'reference-server'].flatMap((name) =>
    readdirSync(join(root, 'packages', name, 'test/e2e'))
      .filter((file) => file.endsWith('.e2e.test.ts'))
      .map((file) => `packages/${name}/dist-test/e2e/${file.replace(/ts$/, 'js')}`),
  );
  t.deepEqual([...run].sort(), [...files].sort());
  t.true(e2eSuites.every(({ limitSeconds }) => limitSeconds > 0));
});
