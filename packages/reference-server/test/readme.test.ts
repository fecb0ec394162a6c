/**
 * What the documentation says is there: the README's example runs against a cluster, its commands and links exist, and
 * every file and symbol named in ARCHITECTURE, GLOSSARY and HACKING is where they say.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { silentLogger } from '@kraken/core/ports';
import test from 'ava';
import { RegistryClient } from '../dist/demo/registry-client.js';
import { startCluster } from '../dist/index.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Hand-written documents with links. */
const DOCUMENTS: readonly string[] = [
  'README.md',
  'CHANGELOG.md',
  'examples/README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  ...readdirSync(join(ROOT, 'docs/decisions')).map((name) => `docs/decisions/${name}`),
  ...readdirSync(join(ROOT, 'packages')).map((name) => `packages/${name}/README.md`),
];

test('the example of the README fetches a blob from a cluster', async (t) => {
  const [, code = ''] = /```js\n(import \{ writeFile \}[\s\S]*?)```/.exec(read('README.md')) ?? [];
  t.true(code.includes('fetchBlob('), 'the README has the example');
  const statements = code.split('\n').filter((line) => line.trim() !== '');
  t.true(statements.length <= 5, 'five lines');

  const directory = await mkdtemp(join(tmpdir(), 'kraken-readme-'));
  const cluster = await startCluster({
    dataDirectory: join(directory, 'cluster'),
    ports: 'any',
    agents: 1,
    origins: 1,
    pieceLengthBytes: 65_536,
    logger: silentLogger,
  });
  try {
    const content = Buffer.alloc(300_000, 'kraken ');
    const digest = await new RegistryClient(`${cluster.host}:${cluster.proxyPort}`).pushBlob(
      'readme/example',
      { size: content.length, read: () => pieces(content) },
      () => undefined,
    );
    const port = cluster.roles.find(({ name }) => name === 'tracker')?.role.ports['tracker'] ?? 0;
    t.true(code.includes('http://127.0.0.1:15003'));
    await writeFile(join(directory, 'example.mjs'), code.replace('127.0.0.1:15003', `${cluster.host}:${port}`));
    await mkdir(join(directory, 'node_modules/@kraken'), { recursive: true });
    await symlink(join(ROOT, 'packages/p2p'), join(directory, 'node_modules/@kraken/p2p'));
    await run(process.execPath, ['example.mjs', digest], { cwd: directory, timeout: 30_000 });
    const fetched = await readFile(join(directory, 'blob.bin'));
    t.is(`sha256:${createHash('sha256').update(fetched).digest('hex')}`, digest);
    t.is(fetched.length, content.length);
  } finally {
    await cluster.close(0);
    await rm(directory, { recursive: true, force: true });
  }
});

async function* pieces(content: Buffer): AsyncGenerator<Buffer> {
  await Promise.resolve();
  yield content;
}

test('the commands that the documents name exist', (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  let named = 0;
  for (const document of DOCUMENTS) {
    for (const [command, script = '', builtin = ''] of read(document).matchAll(
      /npm (?:run ([\w:-]+)|(start|test)\b)/g,
    )) {
      named++;
      t.true((script === '' ? builtin : script) in scripts, `${document}: ${command}`);
    }
    for (const [, file = ''] of read(document).matchAll(/\bnode ((?:packages|scripts|examples)\/[\w./-]+)/g)) {
      named++;
      t.true(existsSync(join(ROOT, file)), `${document}: node ${file}`);
    }
  }
  t.true(named > 10);
});

test('the links of the documents lead to files', (t) => {
  let links = 0;
  for (const document of DOCUMENTS) {
    for (const [, target = ''] of read(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(?:https?:|#)/.test(target)) continue;
      links++;
      const [path = ''] = target.split('#');
      t.true(existsSync(join(ROOT, dirname(document), path)), `${document}: ${target}`);
    }
  }
  t.true(links > 30);
});

test('files and symbols that ARCHITECTURE, GLOSSARY, HACKING and SIMULATOR name exist', (t) => {
  let files = 0;
  let symbols = 0;
  const wrong: string[] = [];
  for (const document of ['docs/ARCHITECTURE.md', 'docs/GLOSSARY.md', 'docs/HACKING.md', 'docs/SIMULATOR.md']) {
    // `core/src/wire/frame.ts` or `core/src/wire/frame.ts#FrameReader`, from the root or below packages/.
    for (const [, path = '', symbol] of read(document).matchAll(
      /`([\w@.-]+(?:\/[\w@.-]+)*\.(?:ts|mjs|cjs|js|json|md)|[\w@.-]+(?:\/[\w@.-]+)+\/?)(?:#([\w.]+))?`/g,
    )) {
      if (!isFilePath(path)) continue;
      files++;
      const found = [path, join('packages', path)].find((candidate) => existsSync(join(ROOT, candidate)));
      if (found === undefined) {
        wrong.push(`${document}: ${path}`);
        continue;
      }
      if (symbol === undefined) continue;
      symbols++;
      const text = read(found);
      if (!symbol.split('.').every((part) => new RegExp(`\\b${part}\\b`).test(text)))
        wrong.push(`${document}: ${path}#${symbol}`);
    }
  }
  t.deepEqual(wrong, []);
  t.true(files > 150, `${files} files`);
  t.true(symbols > 80, `${symbols} symbols`);
});

/** Names of files in the repository, not routes, packages or files that a program writes. */
function isFilePath(path: string): boolean {
  // `npm run docs` makes docs/api.
  if (path.startsWith('@') || path.startsWith('docs/api')) return false;
  if (path.includes('/'))
    return /^(?:packages|core|p2p|backends|registry-http|reference-server|scripts|docs|examples|benchmarks|\.ci)\//.test(
      path,
    );
  return /^(?:package|tsconfig|eslint|ava|typedoc|\.dependency-cruiser)[\w.-]*\.(?:json|js|cjs)$/.test(path);
}
