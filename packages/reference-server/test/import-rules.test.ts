/**
 * The import rules (`npm run rules`) do fail a build that breaks them. Works on a copy of the sources: the rules and
 * the files are those of the repository, the offending files exist only in the copy. One run sees them all, because a
 * run costs seconds.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DEPCRUISE = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
const PACKAGES = ['core', 'p2p', 'backends'] as const;
/** npm packages that the copied sources import. */
const LIBRARIES = ['@noble', '@bufbuild', '@aws-sdk', 'undici', 'typescript'];

let tree = '';

test.before(async () => {
  // The real path: dependency-cruiser resolves links, and its rules look at paths below the working directory.
  tree = await realpath(await mkdtemp(join(tmpdir(), 'kraken-rules-')));
  for (const file of ['.dependency-cruiser.cjs', 'tsconfig.base.json', 'package.json']) {
    await cp(join(ROOT, file), join(tree, file));
  }
  await mkdir(join(tree, 'node_modules/@kraken'), { recursive: true });
  for (const name of LIBRARIES) await symlink(join(ROOT, 'node_modules', name), join(tree, 'node_modules', name));
  for (const name of PACKAGES) {
    const from = join(ROOT, 'packages', name);
    const to = join(tree, 'packages', name);
    await cp(join(from, 'src'), join(to, 'src'), { recursive: true });
    await cp(join(from, 'package.json'), join(to, 'package.json'));
    // What the package's exports point to must exist, or an import of it would be reported as unresolvable instead.
    const manifest = JSON.parse(await readFile(join(from, 'package.json'), 'utf8')) as {
      exports: Record<string, string>;
    };
    for (const target of Object.values(manifest.exports)) {
      await mkdir(dirname(join(to, target)), { recursive: true });
      await writeFile(join(to, target), 'export {};\n');
    }
    await symlink(to, join(tree, 'node_modules/@kraken', name));
  }
});

test.after.always(() => rm(tree, { recursive: true, force: true }));

interface Verdict {
  readonly exitCode: number;
  readonly output: string;
}

/** Run the rules over files or folders of the copy. */
function runRules(...paths: readonly string[]): Promise<Verdict> {
  const args = [DEPCRUISE, ...paths, '--config', '.dependency-cruiser.cjs', '--output-type', 'err'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: tree, maxBuffer: 16 * 2 ** 20 }, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : error.code;
      if (typeof exitCode === 'number') resolve({ exitCode, output: stdout + stderr });
      else reject(new Error('dependency-cruiser did not run', { cause: error }));
    });
  });
}

test.serial('the sources as they are pass', async (t) => {
  const { exitCode, output } = await runRules('packages/*/src');
  t.is(exitCode, 0, output);
  t.regex(output, /no dependency violations found/);
});

interface Offence {
  readonly title: string;
  readonly file: string;
  readonly text: string;
  readonly rule: string;
}

const OFFENCES: readonly Offence[] = [
  {
    title: 'core imports node:fs',
    file: 'packages/core/src/content/reads-files.ts',
    text: "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n",
    rule: 'core-is-pure',
  },
  {
    title: 'core imports an npm package that is not one of its two',
    file: 'packages/core/src/content/uses-npm.ts',
    text: "import { request } from 'undici';\nexport const ask = request;\n",
    rule: 'core-is-pure',
  },
  {
    title: 'core/wire imports a machine',
    file: 'packages/core/src/wire/runs-swarm.ts',
    text: "import { SwarmMachine } from '../swarm/swarm-machine.js';\nexport const machine = SwarmMachine;\n",
    rule: 'core-values-know-no-machine',
  },
  {
    title: 'a machine imports another machine',
    file: 'packages/core/src/swarm/asks-tracker.ts',
    text: "import { PeerStore } from '../tracker/index.js';\nexport const store = PeerStore;\n",
    rule: 'core-swarm-knows-no-other-machine',
  },
  {
    title: 'a policy imports a machine',
    file: 'packages/core/src/policy/knows-swarm.ts',
    text: "import { SwarmMachine } from '../swarm/index.js';\nexport const machine = SwarmMachine;\n",
    rule: 'core-policies-know-no-machine',
  },
  {
    title: 'p2p imports backends',
    file: 'packages/p2p/src/uses-backends.ts',
    text: "import { createBackendManager } from '@kraken/backends';\nexport const manager = createBackendManager;\n",
    rule: 'p2p-knows-no-sibling',
  },
  {
    title: 'p2p reaches into the sources of core',
    file: 'packages/p2p/src/reaches-in.ts',
    text: "import { parseDigest } from '../../core/src/content/index.js';\nexport const parse = parseDigest;\n",
    rule: 'no-deep-imports',
  },
];

/** Exit code and output of the one run over the offending files; the clean run has come before. */
let offending: Promise<Verdict> | undefined;
function verdict(): Promise<Verdict> {
  offending ??= (async () => {
    for (const { file, text } of OFFENCES) await writeFile(join(tree, file), text);
    return runRules(...OFFENCES.map(({ file }) => file));
  })();
  return offending;
}

for (const { title, file, rule } of OFFENCES) {
  test.serial(`fails: ${title}`, async (t) => {
    const { exitCode, output } = await verdict();
    t.is(exitCode, OFFENCES.length, 'one error each');
    t.true(output.includes(`error ${rule}: ${file}`), output);
  });
}

test.serial('the commands of the repository run the rules on whole imports', async (t) => {
  // With --include-only for the sources, imports of node: and of other packages are left out before any rule sees them.
  const root = await readFile(join(ROOT, 'package.json'), 'utf8');
  const suites = await readFile(join(ROOT, 'scripts/lib/quick-suites.mjs'), 'utf8');
  for (const text of [root, suites]) {
    t.true(text.includes('.dependency-cruiser.cjs'));
    t.false(text.includes('--include-only'));
  }
});
