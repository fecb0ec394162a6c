/**
 * Loading configuration files: `extends` chains (parents first), `--secrets` on top, all problems at once.
 * Source: spec tracker-agent-ring.md §8, index-proxy-registry-config.md §6.1.
 */
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { isMap, isScalar, LineCounter, parseAllDocuments, type Document } from 'yaml';
import { decode } from './decode.js';
import { ConfigError, type Problem } from './problems.js';
import { withDefaults, zeroOf, type Kind } from './schema.js';

export interface LoadedConfig<Config> {
  /** With defaults filled in. */
  readonly config: Config;
  /** Keys that were set but have no effect here. */
  readonly warnings: readonly string[];
  /** Top-level keys that any of the files sets. */
  readonly presentKeys: ReadonlySet<string>;
}

/**
 * Load `files` in order onto one value; each may extend others.
 * @typeParam Config the value type of `schema` (`Value<typeof schema>`)
 * @throws ConfigError with every problem found
 */
export function loadConfig<Config>(
  schema: Kind,
  files: readonly string[],
  options: { readonly unknownKeys?: 'error' | 'ignore'; readonly defaults?: boolean } = {},
): LoadedConfig<Config> {
  const problems: Problem[] = [];
  const warnings: string[] = [];
  const presentKeys = new Set<string>();
  let value: unknown = zeroOf(schema);
  for (const file of files) {
    for (const source of extendsChain(resolve(file), problems)) {
      const root = source.document.contents;
      if (isMap(root)) for (const { key } of root.items) if (isScalar(key)) presentKeys.add(String(key.source));
      value = decode(schema, root, value, '', {
        document: source.document,
        problems,
        warnings,
        unknownKeys: options.unknownKeys ?? 'error',
        file: source.file,
        lineOf: (node) => (node.range == null ? undefined : source.lines.linePos(node.range[0]).line),
      });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const config = options.defaults === false ? value : withDefaults(schema, value);
  return { config: config as Config, warnings: [...new Set(warnings)], presentKeys };
}

interface Source {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

/** The file and its ancestors, oldest first. */
function extendsChain(file: string, problems: Problem[]): Source[] {
  const chain: Source[] = [];
  const seen = new Set<string>();
  for (let current: string | undefined = file; current !== undefined;) {
    if (seen.has(current)) {
      problems.push({
        key: 'extends',
        got: `a cycle at ${current}`,
        expected: 'a chain without repetition (cyclic reference in configuration extends detected)',
        file,
      });
      break;
    }
    seen.add(current);
    const source = parseFile(current, problems);
    if (source === undefined) break;
    chain.unshift(source);
    current = parentOf(source, problems);
  }
  return chain;
}

function parseFile(file: string, problems: Problem[]): Source | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    problems.push({
      key: 'file',
      got: (error as NodeJS.ErrnoException).code ?? String(error),
      expected: 'a readable file',
      file,
    });
    return undefined;
  }
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: '1.1',
    merge: true,
    uniqueKeys: false,
    lineCounter: lines,
    logLevel: 'silent',
  });
  const document = Array.isArray(documents) ? documents[0] : undefined;
  if (document === undefined) return undefined;
  for (const error of document.errors) {
    problems.push({
      key: 'yaml',
      got: error.message.split('\n')[0] ?? error.message,
      expected: 'valid YAML',
      file,
      line: lines.linePos(error.pos[0]).line,
    });
  }
  if (document.errors.length > 0) return undefined;
  // The extends key is the loader's own; schemas do not know it.
  return { file, document: document, lines };
}

function parentOf(source: Source, problems: Problem[]): string | undefined {
  const root = source.document.contents;
  if (!isMap(root)) return undefined;
  const node: unknown = root.get('extends', true);
  root.delete('extends');
  if (node === undefined || node === null) return undefined;
  if (!isScalar(node)) {
    problems.push({ key: 'extends', got: 'not a text', expected: 'the name of one file', file: source.file });
    return undefined;
  }
  const name = node.value === null ? '' : (node.source ?? '');
  if (name === '') return undefined;
  return isAbsolute(name) ? resolve(name) : resolve(dirname(source.file), name);
}
