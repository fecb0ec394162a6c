/** The bundle that makes the command start faster: it says what the modules say, and is not used once they have changed. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';

const run = promisify(execFile);
const entry = (await import(new URL('../bin/entry.cjs', import.meta.url).href)) as {
  isFresh(directory: string): boolean;
  loadCommand(dist?: string): Promise<{ main(args: readonly string[]): unknown }>;
};

async function directory(t: ExecutionContext, parent = tmpdir()): Promise<string> {
  const dir = await mkdtemp(join(parent, 'kraken-bundle-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test('a bundle is used while its modules are as they were', async (t) => {
  const dist = await directory(t);
  const says = async (): Promise<unknown> => (await entry.loadCommand(dist)).main([]);
  for (const name of ['cli', 'bundle']) await mkdir(join(dist, name));
  const module = join(dist, 'cli/main.js');
  await writeFile(join(dist, 'package.json'), '{"type":"module"}');
  await writeFile(module, 'export const main = () => "modules";');
  t.is(await says(), 'modules', 'there is none');

  const { mtimeMs, size } = await stat(module);
  await writeFile(join(dist, 'bundle/made-from.json'), JSON.stringify([['../cli/main.js', mtimeMs, size]]));
  await writeFile(join(dist, 'bundle/server.js'), '(() => ({ main: () => "bundle" }))');
  await writeFile(join(dist, 'bundle/server.cache'), 'of another engine');
  t.is(await says(), 'bundle', 'a cache that is no good only costs time');

  await utimes(module, 1, 1);
  t.is(await says(), 'modules', 'a module has changed');
  await rm(module);
  t.false(entry.isFresh(join(dist, 'bundle')), 'a module is gone');
});

test('the bundle of the real modules says what they say', async (t) => {
  // From here the packages are found that stay outside the bundle.
  const dir = await directory(t, new URL('.', import.meta.url).pathname);
  const root = new URL('../../../', import.meta.url);
  await run(process.execPath, [new URL('scripts/bundle.mjs', root).pathname, join(dir, 'bundle')]);
  const command = (loaded: string): Promise<{ stdout: string }> =>
    run(process.execPath, [
      '--input-type=module',
      '-e',
      `const { loadCommand } = await import(${JSON.stringify(new URL('../bin/entry.cjs', import.meta.url).href)});
       const { main } = await loadCommand(${loaded});
       process.exitCode = await main(['--help']);`,
    ]);
  t.true(entry.isFresh(join(dir, 'bundle')));
  const bundled = await command(JSON.stringify(dir));
  const { stdout } = await run(process.execPath, [
    '-e',
    `import(${JSON.stringify(new URL('../dist/cli/main.js', import.meta.url).href)}).then(({ main }) => main(['--help']))`,
  ]);
  t.is(bundled.stdout, stdout);
  t.regex(stdout, /kraken-reference-server agent/);

  const accepted = await run(process.execPath, [
    '-e',
    `const { readFileSync } = require('node:fs');
     const file = (name) => ${JSON.stringify(join(dir, 'bundle'))} + '/' + name;
     const options = { filename: file('server.js'), cachedData: readFileSync(file('server.cache')) };
     console.log(!new (require('node:vm').Script)(readFileSync(file('server.js'), 'latin1'), options).cachedDataRejected);`,
  ]);
  t.is(accepted.stdout, 'true\n', 'what was compiled in the rehearsal is used');

  const thread = new Worker(join(dir, 'bundle/hash-thread-entry.cjs'));
  t.teardown(() => thread.terminate());
  const bytes = Buffer.from('one leaf');
  thread.postMessage({
    type: 'bytes',
    job: 1,
    feed: 1,
    bytes,
    first: true,
    last: true,
    length: bytes.length,
    width: 1,
  });
  const [reply] = (await once(thread, 'message')) as [{ hash: Uint8Array }];
  t.is(Buffer.from(reply.hash).toString('hex'), createHash('sha256').update(bytes).digest('hex'));
});
