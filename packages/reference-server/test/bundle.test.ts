/** The bundle that makes the command start faster: it says what the modules say, and is not used once they have changed. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';

const run = promisify(execFile);
const entry = (await import(new URL('../bin/entry.js', import.meta.url).href)) as {
  isFresh(directory: URL): boolean;
  loadCommand(dist?: URL): Promise<{ main(args: readonly string[]): unknown }>;
};

async function directory(t: ExecutionContext, parent = tmpdir()): Promise<string> {
  const dir = await mkdtemp(join(parent, 'kraken-bundle-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test('a bundle is used while its modules are as they were', async (t) => {
  const dist = await directory(t);
  const url = pathToFileURL(`${dist}/`);
  const says = async (): Promise<unknown> => (await entry.loadCommand(url)).main([]);
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
  t.false(entry.isFresh(new URL('bundle/', url)), 'a module is gone');
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
      `const { loadCommand } = await import(${JSON.stringify(new URL('../bin/entry.js', import.meta.url).href)});
       const { main } = await loadCommand(${loaded});
       process.exitCode = await main(['--help']);`,
    ]);
  t.true(entry.isFresh(pathToFileURL(`${dir}/bundle/`)));
  const bundled = await command(`new URL(${JSON.stringify(pathToFileURL(`${dir}/`).href)})`);
  const { stdout } = await run(process.execPath, [
    '-e',
    `import(${JSON.stringify(new URL('../dist/cli/main.js', import.meta.url).href)}).then(({ main }) => main(['--help']))`,
  ]);
  t.is(bundled.stdout, stdout);
  t.regex(stdout, /kraken-reference-server agent/);
});
