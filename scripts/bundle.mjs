// `npm run bundle [DIR [MODULE ARGUMENT…]]`: the modules of the server in one file, and those of each of its threads in another, so that
// a process is there sooner: Node needs half a millisecond for each of some 400 small files. Writes into dist/bundle of the
// server, or DIR, with a list of what it was made from; the command uses it only while nothing on the list has changed. MODULE:
// another one that exports `main`, and what that is told for its rehearsal, with DIRECTORY for one that is removed again.
//
// Modules keep their borders: each becomes a function that is run when it is first needed, as before. CommonJS packages stay
// outside, but for those that every start needs.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import ts from 'typescript';

const root = new URL('..', import.meta.url).pathname;
const server = join(root, 'packages/reference-server');
const entry = resolve(process.argv[3] ?? join(server, 'dist/cli/main.js'));
const target = resolve(process.argv[2] ?? join(server, 'dist/bundle'));
/** What `main` is told: by default to run a whole cluster, with a push and pulls. */
const rehearsal = process.argv[3] === undefined ? ['demo', '--exit', '--data', 'DIRECTORY'] : process.argv.slice(4);
const REHEARSAL_LIMIT_MS = 120_000;
/** CommonJS packages that are included: the parser of configurations, the logger and what they need. */
const INCLUDED =
  /\/node_modules\/(yaml|pino|pino-std-serializers|@pinojs\/redact|atomic-sleep|on-exit-leak-free|pino-abstract-transport|process-warning|quick-format-unescaped|real-require|safe-stable-stringify|sonic-boom|split2|thread-stream)\//;

/** What `new URL(…)` names in `new Worker(new URL('./x-entry.js', import.meta.url))`: the module of a thread. */
const THREAD = /new URL\((?:"|')\.\/([\w-]+-entry)\.js(?:"|'), import\.meta\.url\)/g;

/** Every module that was read, and what it was then: time of its last change and size. @type {Map<string, [number, number]>} */
const modules = new Map();
/** Modules of threads, which become files of their own beside the bundle. @type {Set<string>} */
const threads = new Set();

/** @returns the source of a function that takes `require` and what a path's URL is, with `entry` and all that it imports inside */
function bundleOf(entry, result) {
  /** Module numbers by file, in the order in which they were found. */
  const numbers = new Map();
  const bodies = [];
  const include = (file) => {
    const known = numbers.get(file);
    if (known !== undefined) return known;
    const number = numbers.size;
    numbers.set(file, number);
    const { mtimeMs, size } = statSync(file);
    modules.set(file, [mtimeMs, size]);
    const source = readFileSync(file, 'utf8');
    bodies[number] = bodyOf(file, source)
      // No module calls something of its own by that name.
      .replace(/\brequire\((?:"([^"]+)"|'([^']+)')\)/g, (_call, double, single) => {
        const name = double ?? single;
        const found = resolveImport(name, file);
        return found === undefined ? `require(${JSON.stringify(name)})` : `$load(${include(found)})`;
      })
      .replace(THREAD, (_url, name) => {
        threads.add(resolve(dirname(file), `${name}.js`));
        return `new URL($urlOf(${JSON.stringify(`${name}.cjs`)}))`;
      })
      .replaceAll('import.meta.url', `$urlOf(${JSON.stringify(relative(target, file))})`)
      .replace(/^\/\/# sourceMappingURL=.*$/m, '');
    return number;
  };
  include(entry);
  const functions = bodies.map((body) => `(module, exports, require, $load, $urlOf) => {\n${body}\n}`);
  return (
    `((require, $urlOf) => {
const loaded = [];
function $load(number) {
  let module = loaded[number];
  if (module === undefined) {
    module = loaded[number] = { exports: {} };
    modules[number](module, module.exports, require, $load, $urlOf);
  }
  return module.exports;
}
const modules = [
${functions.join(',\n')}
];
${result}
})
`
      // One byte a character: half the memory, and quicker to read.
      .replace(/[^\x00-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  );
}

/** Source of the function that is a module, by the rules of CommonJS. */
function bodyOf(file, source) {
  if (file.endsWith('.json')) return `module.exports = ${source}`;
  if (isEsm(file)) return toCommonJs(file, source);
  const directory = `require('node:url').fileURLToPath($urlOf(${JSON.stringify(relative(target, dirname(file)))}))`;
  return source.replaceAll('__dirname', directory);
}

function toCommonJs(fileName, source) {
  return ts.transpileModule(source, {
    // By the other ending it would have to stay what it is.
    fileName: fileName.replace(/\.mjs$/, '.js'),
    compilerOptions: {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2022,
      esModuleInterop: true,
      removeComments: true,
    },
  }).outputText;
}

/** @returns the file to include; `undefined` for what stays outside */
function resolveImport(name, from) {
  if (name.startsWith('node:') || builtinModules.includes(name)) return undefined;
  if (!isEsm(from)) {
    const file = resolveRequire(name, from);
    return file !== undefined && INCLUDED.test(file) ? file : undefined;
  }
  if (name.startsWith('.')) return resolve(dirname(from), name);
  const file = fileURLToPath(import.meta.resolve(name, pathToFileURL(from)));
  return isEsm(file) || INCLUDED.test(file) ? file : undefined;
}

/** @returns `undefined` for what is not there: an optional package, or an example in a comment */
function resolveRequire(name, from) {
  try {
    return createRequire(from).resolve(name);
  } catch {
    return undefined;
  }
}

function isEsm(file) {
  if (file.endsWith('.mjs') || file.endsWith('.cjs')) return file.endsWith('.mjs');
  let directory = dirname(file);
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')).type === 'module';
}

const source = bundleOf(
  entry,
  'return { main: (args) => $load(0).main(args), loadAll: () => modules.forEach((_, number) => $load(number)) };',
);
mkdirSync(target, { recursive: true });
const file = join(target, 'server.js');
writeFileSync(file, source);
// Threads start sooner too without modules to find, and by CommonJS.
for (const thread of threads) {
  const name = basename(thread).replace(/\.js$/, '.cjs');
  const urlOf = `(path) => new URL(path, require('node:url').pathToFileURL(__filename)).href`;
  writeFileSync(join(target, name), `${bundleOf(thread, '$load(0);').trimEnd()}(require, ${urlOf});\n`);
}
// What the engine made of the modules when they were loaded and of the functions that were called, so that the next process
// need not do it again. Measured with a pull of 512 MiB: 5 to 9 % of the CPU time of both ends together.
const script = new Script(source, { filename: file });
const bundled = script.runInThisContext()(createRequire(file), (path) => new URL(path, pathToFileURL(file)).href);
bundled.loadAll();
await rehearse(bundled.main);
writeFileSync(join(target, 'server.cache'), script.createCachedData());
const made = [...modules].map(([module, was]) => [relative(target, module), ...was]);
writeFileSync(join(target, 'made-from.json'), JSON.stringify(made));
console.error(`${made.length} modules in ${relative(root, file)}`);

// Something that was rehearsed may still wait for something.
process.exit(0);

async function rehearse(main) {
  const directory = mkdtempSync(join(tmpdir(), 'kraken-rehearsal-'));
  // By `exit`, so that it goes too when somebody interrupts or the time is up.
  process.once('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  setTimeout(() => {
    console.error(`the rehearsal is not done after ${REHEARSAL_LIMIT_MS / 1000} s`);
    process.exit(1);
  }, REHEARSAL_LIMIT_MS).unref();
  const { write } = process.stdout;
  let said = '';
  process.stdout.write = (text) => {
    said += text;
    return true;
  };
  const code = await main(rehearsal.map((argument) => argument.split('DIRECTORY').join(directory)));
  process.stdout.write = write;
  if (code !== 0) throw new Error(`the rehearsal ended with ${code}:\n${said}`);
}
