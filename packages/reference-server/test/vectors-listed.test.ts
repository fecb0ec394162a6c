import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import test from 'ava';

const root = fileURLToPath(new URL('../../..', import.meta.url));

interface Listed {
  readonly file: string;
  readonly cases: number;
  readonly tests: readonly string[];
}

/** The rows of docs/VECTORS.md. */
const listed: readonly Listed[] = readFileSync(join(root, 'docs/VECTORS.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => {
    const [file = '', cases = '', , tests = ''] = line
      .split('|')
      .slice(1)
      .map((cell) => cell.trim());
    return {
      file: file.replaceAll('`', ''),
      cases: Number(cases),
      tests: tests.split('<br>').map((name) => name.replaceAll('`', '')),
    };
  });

/** Vector files in the packages. */
const existing = readdirSync(join(root, 'packages')).flatMap((name) => {
  const directory = `packages/${name}/test/fixtures/vectors`;
  if (!existsSync(join(root, directory))) return [];
  return readdirSync(join(root, directory)).map((file) => `${directory}/${file}`);
});

test('docs/VECTORS.md lists every vector file, once, and no other', (t) => {
  t.true(existing.length >= 15);
  t.deepEqual(listed.map(({ file }) => file).sort(), [...existing].sort());
});

test('the listed numbers of cases are those of the files', (t) => {
  for (const { file, cases } of listed) {
    const vectors = JSON.parse(readFileSync(join(root, file), 'utf8')) as { cases: readonly unknown[] };
    t.is(cases, vectors.cases.length, file);
  }
});

test('every vector file is run by tests that name it', (t) => {
  for (const { file, tests } of listed) {
    t.true(tests.length > 0, file);
    const name = (file.split('/').at(-1) ?? '').replace(/\.json$/, '');
    for (const path of tests) {
      t.true(path.startsWith(file.replace(/fixtures\/.*$/, '')), `${path} is not a test of the package of ${file}`);
      const text = readFileSync(join(root, path), 'utf8');
      t.true(text.includes(`${name}.json`) || text.includes(`'${name}'`), `${path} does not mention ${name}`);
    }
  }
});

test('copies of a vector file in several packages are the same', (t) => {
  const firsts = new Map<string, string>();
  for (const file of existing) {
    const name = file.split('/').at(-1) ?? '';
    const first = firsts.get(name) ?? file;
    firsts.set(name, first);
    t.true(readFileSync(join(root, file)).equals(readFileSync(join(root, first))), `${file} and ${first}`);
  }
});
